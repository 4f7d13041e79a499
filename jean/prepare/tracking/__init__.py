"""Which face of each frame belongs to the person."""
