"""What commands are asked for: their options, known before PyTorch is imported."""
