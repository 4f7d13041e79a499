"""Plots and renderings that show what a training run has learned."""
