"""What commands and packages share: files, images, configs, processes."""
