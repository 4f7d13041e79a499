"""Mattings: separation of head, torso and background."""
