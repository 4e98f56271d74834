"""From videos, folders of frames and cameras to the best crops of everyone who passes."""
