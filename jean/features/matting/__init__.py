"""Matting: opacity of head and torso per pixel."""
