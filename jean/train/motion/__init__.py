"""Training of the motion model: cues and blinks from sound and emotion."""
