"""Scores of whole folders: pairs of results and references, tables, reports."""
