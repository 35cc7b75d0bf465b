"""What `shapes5i.py` draws with: silhouettes, textures, and scenes made of both."""
