"""Random pixels of random training frames, drawn where training runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from jean.drivers.person_frames import PersonFrames
from jean.train.nerf.pictures import Pictures


@dataclass(frozen=True)
class RayBatch:
    """R pixels of F frames.

    Attributes:
        frames: [F] int, indices into the dataset.
        frame: [R] int, to which of the F frames a pixel belongs.
        pixels: [R, 2], pixel centres (x, y), px.
        rgb: [R, 3] in [0, 1].
        matte: [R, 2] in [0, 1], head and torso.
        plate: [R, 3] in [0, 1], the clean background behind the pixel.
    """

    frames: Tensor
    frame: Tensor
    pixels: Tensor
    rgb: Tensor
    matte: Tensor
    plate: Tensor


class Batches:
    """Draws batches of one size.

    Args:
        data: the person's frames.
        rays: R; frames: F, drawn with replacement.
        shares: of the pixels that fall into the mouth's box, the eyes', the face's, the head's, anywhere.
        device: where batches are wanted.
        pictures: where their pixels are read; None finds a place.
    """

    def __init__(
        self,
        data: PersonFrames,
        rays: int,
        frames: int,
        shares: Sequence[float],
        device: torch.device,
        pictures: Pictures | None = None,
    ):
        self.pictures = pictures or Pictures(data, device)
        self.size = data.size_px
        self.train = torch.from_numpy(data.train).to(device)
        self.boxes = torch.from_numpy(data.boxes).float().to(device)
        self.frame = (torch.arange(rays) // -(-rays // frames)).to(device)
        bounds = torch.tensor(shares, dtype=torch.float64).cumsum(0)
        self.bounds = (bounds / bounds[-1])[:-1].float().to(device)
        self.frames, self.rays = frames, rays

    def draw(self, generator: torch.Generator) -> RayBatch:
        """A batch; every draw comes from ``generator``, which must be of the device of the batches."""
        rays, device = self.rays, self.train.device
        chosen = self.train[torch.randint(len(self.train), (self.frames,), generator=generator, device=device)]
        region = torch.bucketize(torch.rand(rays, generator=generator, device=device), self.bounds, right=True)
        index = chosen[self.frame]
        low, high = self.boxes[index, region].split(2, 1)
        cell = low + (high - low) * torch.rand((rays, 2), generator=generator, device=device)
        cell = cell.long().clamp(0, self.size - 1)
        rgb, matte, plate = self.pictures.at(index, cell[:, 0], cell[:, 1])
        return RayBatch(chosen, self.frame, cell + 0.5, rgb / 255, matte / 255, plate / 255)
