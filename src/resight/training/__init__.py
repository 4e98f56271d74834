"""Recipes, stages, schedules, the trainer, checkpoints and runs."""
