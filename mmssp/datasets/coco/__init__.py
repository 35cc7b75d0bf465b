"""COCO-style JSON: read, drawn as masks, kept in a cache."""
