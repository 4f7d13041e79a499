"""Measures of quality: one metric per file."""
