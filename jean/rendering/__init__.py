"""Rendering: speech decides the lips, a second source the expression, a third the pose."""
