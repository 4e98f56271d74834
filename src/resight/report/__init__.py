"""Figures, ranked lists and the HTML report of a run."""
