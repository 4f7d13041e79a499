"""Ray marching, fields and compositing: a torch reference, torch operators, compiled CPU and CUDA code."""
