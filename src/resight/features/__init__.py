"""Embedding any number of crops, and storing their features in a folder."""
