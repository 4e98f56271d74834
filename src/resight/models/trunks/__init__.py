"""One trunk a file: what turns images into feature maps, layer by layer."""
