"""Embedding any number of crops into a folder of features."""
