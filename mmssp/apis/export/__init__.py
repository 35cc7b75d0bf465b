"""What leaves: masks as files that labelling and training tools read."""
