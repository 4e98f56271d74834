"""Extracting the best crops of all persons in videos, folders of frames and camera streams."""
