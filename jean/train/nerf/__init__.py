"""Training of one person's head (sections 3.3 and 8.4)."""
