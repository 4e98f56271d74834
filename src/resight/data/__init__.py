"""Crops, their splits, their pixels: everything before a model sees a batch."""
