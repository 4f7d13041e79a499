"""Clips on disk: their format, their preparation, and the datasets the trainers read."""
