"""The losses of the paper, each by its equation, and the priors of the fast preset."""

from __future__ import annotations

from torch import Tensor


def photometric_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Eq. 6: squared error of ray colours [R, 3], as a mean over rays and channels."""
    return (predicted - target).square().mean()


def opacity_loss(opacity: Tensor, matte: Tensor) -> Tensor:
    """Squared difference of accumulated opacity [R] and matte [R], both in [0, 1]."""
    return (opacity - matte).square().mean()
