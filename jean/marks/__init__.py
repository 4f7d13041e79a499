"""Marks of synthetic pictures: a visible label, an invisible watermark, and signed content credentials (C2PA)."""
