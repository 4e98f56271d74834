"""Figures, ranked lists and the page that shows a run."""
