"""Camera, head pose, shape and texture, fitted to the tracked landmarks of a whole video."""
