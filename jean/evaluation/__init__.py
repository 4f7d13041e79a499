"""Scores videos and compares systems: pairing, scoring, tables, report."""
