"""Readers of pictures and classes, one data set a file; each is registered where it is defined."""
