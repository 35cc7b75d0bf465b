"""The labelled images: found in folders, checked against each other, kept in files."""
