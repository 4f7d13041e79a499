"""Measures of quality, one file each, and the evaluation over files."""
