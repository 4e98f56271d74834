"""Trunks, one per file: networks that turn images into feature maps, layer by layer."""
