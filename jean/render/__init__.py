"""Rays, marching and compositing."""
