"""Full single precision on the GPU, where convolutions otherwise round their inputs to 10 bits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def full_precision() -> Iterator[None]:
    """No gradients, and no TF32 in convolutions: scores must not depend on where they are computed."""
    import torch

    # torch's default allows TF32 in cuDNN, which moves distances by more than the tolerance of 1e-3
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield
