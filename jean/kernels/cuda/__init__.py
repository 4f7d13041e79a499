"""CUDA kernels: compilation by NVRTC, launches, comparison with torch."""
