"""Per-frame drivers of a head: speech, lips, expression and pose, from clips and other sources."""
