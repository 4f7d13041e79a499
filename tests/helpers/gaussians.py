"""Random Gaussians in front of a camera, for tests of the rasteriser."""

from __future__ import annotations

import torch
from torch import Tensor

NAMES = ("centres", "scales", "rotations", "opacities", "colours", "world_to_camera", "intrinsics")


def gaussians(
    count: int, size: int = 40, channels: int = 3, seed: int = 0, dtype: torch.dtype = torch.float32, scale: float = 0.5
) -> list[Tensor]:
    """Arguments of ``splat`` up to the intrinsics: a cloud of 16 cm that fills a picture of ``size`` px."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    centres, scales = normal(count, 3) * 4, (normal(count, 3) * 0.4).exp() * scale
    opacities, colours = (normal(count) * 2).sigmoid(), torch.rand(count, channels, generator=generator).double()
    turn = torch.linalg.qr(normal(3, 3))[0]
    turn *= turn.det()  # a rotation, not a reflection
    pose = torch.cat([turn, torch.tensor([[0.3], [-0.5], [60.0]])], 1)
    lens = torch.tensor([2.8 * size, 0.52 * size, 0.47 * size])
    return [t.to(dtype) for t in (centres, scales, normal(count, 4), opacities, colours, pose, lens)]
