"""One trunk per file: turns images into feature maps, layer by layer."""
