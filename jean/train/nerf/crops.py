"""Random square crops of random training frames, for heads that draw pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from jean.drivers.person_frames import PersonFrames
from jean.train.nerf.batch import RayBatch, RayBatches, TrainingImages


class CropBatches(RayBatches):
    """Draws batches of F crops of one size, each from one frame.

    Where ``RayBatches`` draws more pixels from a region, pixels of the region weigh more here.

    Args:
        data: the person's frames.
        rays: pixels per batch; a crop has as many of them as a square with whole pixels allows.
        frames: F, crops per batch, drawn with replacement.
        fractions: of the weight that falls into the boxes of mouth, eyes, face, head, and whole frame; also of the
            crops that are centred in them.
        device: where batches are wanted.
        images: source of the pixels; None creates one.
    """

    def __init__(
        self,
        data: PersonFrames,
        rays: int,
        frames: int,
        fractions: Sequence[float],
        device: torch.device,
        images: TrainingImages | None = None,
    ):
        side = min(data.size_px, max(1, int((rays / frames) ** 0.5)))
        super().__init__(data, frames * side * side, frames, fractions, device, images)
        self.side = side
        self.fractions = torch.tensor(fractions, device=device) / sum(fractions)
        self.along = torch.arange(side, device=device)
        y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
        self.cells = torch.stack([x, y], -1).view(-1, 2).to(device)

    def draw(self, generator: torch.Generator) -> RayBatch:
        """A random batch.

        Args:
            generator: source of every random number; on the device of the batches.
        """
        device, side = self.train.device, self.side
        chosen = self.train[torch.randint(len(self.train), (self.frames,), generator=generator, device=device)]
        region = torch.bucketize(torch.rand(self.frames, generator=generator, device=device), self.bounds, right=True)
        low, high = self.boxes[chosen, region].split(2, 1)
        centre = low + (high - low) * torch.rand((self.frames, 2), generator=generator, device=device)
        corner = (centre - side / 2).round().long().clamp(0, self.size - side)
        cell = (corner[:, None] + self.cells).view(-1, 2)
        values = self.images.at(chosen[self.frame], cell[:, 0], cell[:, 1])
        batch = RayBatch(chosen, self.frame, cell + 0.5, *(value / 255 for value in values))
        return replace(batch, weight=self._weight(chosen, corner), crop_px=(side, side))

    def _weight(self, frames: torch.Tensor, corner: torch.Tensor) -> torch.Tensor:
        """Weights [R] of the crops' pixels: how many times more often ``RayBatches`` draws them than random pixels.

        Args:
            frames: dataset frames of the crops [F].
            corner: left and top of the crops [F, 2], px.
        """
        boxes = self.boxes[frames]  # [F, regions, 4]
        low, high = boxes.split(2, 2)
        share = self.fractions * self.size**2 / (high - low).prod(2).clamp_min(1.0)  # [F, regions]
        at = corner[:, None, :, None] + self.along  # [F, 1, 2, side]
        covered = torch.minimum(at + 1, high[..., None]) - torch.maximum(at, low[..., None])  # of each pixel
        inside = covered.clamp(0, 1)  # [F, regions, 2, side]
        return torch.einsum("fry,frx,fr->fyx", inside[:, :, 1], inside[:, :, 0], share).reshape(-1)
