"""Clip folders on disk: format, corpora of many people, concatenation."""
