"""Ranking and scores: arrays in, numbers out."""
