"""Torch operators with gradients over the compiled kernels: one operator per file."""
