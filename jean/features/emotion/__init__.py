"""Emotion features of a face image: one network per file."""
