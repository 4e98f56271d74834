"""Synthetic pedestrians seen by several cameras."""
