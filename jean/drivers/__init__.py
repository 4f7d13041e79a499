"""What drives a head, per frame: speech, lips, expression and pose, read from clips and other sources."""
