"""Rendering of a trained head: speech drives the lips, a second source the expression, a third the head pose."""
