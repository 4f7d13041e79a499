"""Random pixels of random training frames, drawn on the device that trains."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from jean.drivers.person_frames import PersonFrames
from jean.errors import UsageError
from jean.train.engine import ranks
from jean.train.nerf.torso_prior import torso_behind_head

MEMORY_FRACTION = 0.5  # of a GPU's free memory that images may take: the model and its gradients need the rest
BYTES_PER_PIXEL = 5  # three colours, two mattes; plates and torsos are few

_PER_PIXEL = ("frame", "pixels", "rgb", "matte", "plate", "torso", "weight")  # fields of RayBatch


@dataclass(frozen=True)
class RayBatch:
    """R pixels of F frames.

    Attributes:
        frames: dataset frames, int [F].
        frame: which of the F frames each pixel belongs to, int [R].
        pixels: pixel centres (x, y) [R, 2], px.
        rgb: [R, 3], in [0, 1].
        matte: opacity of head and torso [R, 2], in [0, 1].
        plate: clean background behind the pixel [R, 3], in [0, 1].
        torso: colour, opacity and weight of the torso where the head hides it [R, 5], in [0, 1]
            (``torso_behind_head``).
        weight: of each pixel's colour error [R]; mean near 1.
        crop_px: (width, height) of the F crops that the pixels fill row by row; None for scattered pixels.
    """

    frames: Tensor
    frame: Tensor
    pixels: Tensor
    rgb: Tensor
    matte: Tensor
    plate: Tensor
    torso: Tensor
    weight: Tensor | None = field(default=None, kw_only=True)
    crop_px: tuple[int, int] | None = field(default=None, kw_only=True)

    def share(self) -> RayBatch:
        """This rank's pixels, or crops, of a batch that all ranks have drawn alike; of the same frames.

        Raises:
            UsageError: the ranks do not divide the pixels, or the crops.
        """
        if ranks.count() == 1:
            return self
        crop = 1 if self.crop_px is None else self.crop_px[0] * self.crop_px[1]
        units, what = len(self.pixels) // crop, "rays" if self.crop_px is None else "crops"
        if units % ranks.count():
            key = "--set rays" if self.crop_px is None else "--set frames_per_step"
            raise UsageError(f"{units} {what} cannot be shared equally by {ranks.count()} ranks.", f"Change {key}.")
        rows = torch.arange(units * crop, device=self.pixels.device).view(units, crop)[ranks.index() :: ranks.count()]
        own = rows.flatten()
        values = {name: getattr(self, name) for name in _PER_PIXEL}
        return replace(self, **{name: value[own] for name, value in values.items() if value is not None})

    def torso_pixels(self) -> Tensor | None:
        """Pixels whose torso has a target, bool [R]; None for scattered pixels, whose torso is always computed.

        Most pixels of a crop show the face alone, and the torso layer takes as long as the head.
        """
        return None if self.crop_px is None else (self.matte[:, 0] < 0.99) | (self.torso[:, 4] > 0)


class RayBatches:
    """Draws batches of one size.

    Args:
        data: the person's frames.
        rays: R, pixels per batch.
        frames: F, frames per batch, drawn with replacement.
        fractions: of the pixels that fall into the boxes of mouth, eyes, face, head, and whole frame.
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
        self.images = images or TrainingImages(data, device)
        self.size = data.size_px
        self.train = torch.from_numpy(data.train).to(device)
        self.boxes = torch.from_numpy(data.boxes).float().to(device)
        self.frame = (torch.arange(rays) // -(-rays // frames)).to(device)
        bounds = torch.tensor(fractions, dtype=torch.float64).cumsum(0)
        self.bounds = (bounds / bounds[-1])[:-1].float().to(device)
        self.frames, self.rays = frames, rays

    def draw(self, generator: torch.Generator) -> RayBatch:
        """A random batch.

        Args:
            generator: source of every random number; on the device of the batches.
        """
        rays, device = self.rays, self.train.device
        chosen = self.train[torch.randint(len(self.train), (self.frames,), generator=generator, device=device)]
        region = torch.bucketize(torch.rand(rays, generator=generator, device=device), self.bounds, right=True)
        index = chosen[self.frame]
        low, high = self.boxes[index, region].split(2, 1)
        cell = low + (high - low) * torch.rand((rays, 2), generator=generator, device=device)
        cell = cell.long().clamp(0, self.size - 1)
        values = self.images.at(index, cell[:, 0], cell[:, 1])
        return RayBatch(chosen, self.frame, cell + 0.5, *(value / 255 for value in values))


class TrainingImages:
    """Frames, mattes and plates as uint8, read pixel by pixel: on the GPU where they fit, else from the clips' files.

    Args:
        data: the person's frames.
        device: where pixels are wanted.
        free_bytes: free memory of the device; None asks the GPU.

    Attributes:
        resident: whether the images lie on ``device``, so that reading them does not synchronise.
        line: a message that says so.
    """

    def __init__(self, data: PersonFrames, device: torch.device, free_bytes: int | None = None):
        self.size, self.device = data.size_px, device
        needed = len(data.clip_of) * self.size**2 * BYTES_PER_PIXEL
        free = 0 if device.type == "cpu" else _free_bytes(device) if free_bytes is None else free_bytes
        on_gpu = device.type != "cpu" and needed <= MEMORY_FRACTION * free
        self.resident = on_gpu or device.type == "cpu"
        self.home = device if on_gpu else torch.device("cpu")
        counts = [clip.frame_count for clip in data.clips]
        self.firsts = [0, *np.cumsum(counts)[:-1].tolist()]
        self.clip_of = torch.from_numpy(data.clip_of).to(self.home)
        self.plates = _pixel_rows(np.stack([clip.background for clip in data.clips])).to(self.home)
        torsos = [torso_behind_head(clip.frames, clip.matte) for clip in data.clips]
        self.torsos = _pixel_rows(np.stack(torsos)).to(self.home)
        mapped = [(_pixel_rows(clip.frames), _pixel_rows(clip.matte)) for clip in data.clips]
        # on a GPU one tensor holds all clips; memory-mapped files cannot be joined
        self.parts = [_join(mapped, device)] if on_gpu else mapped
        where = f"on {device}" if on_gpu else "read from disk, pixel by pixel"
        reason = "" if self.resident else f": more than half of the free memory of {device}"
        self.line = f"images: {needed / 1e9:.1f} GB, {where}{reason}."

    def at(self, frame: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Colours [R, 3], mattes [R, 2], plates [R, 3] and torsos behind the head [R, 5] of pixels, uint8.

        Args:
            frame: dataset frames [R]; x, y: columns and rows [R].
        """
        frame, cell = frame.to(self.home), (y * self.size + x).to(self.home)
        pixels, clip = self.size**2, self.clip_of[frame]
        plate, torso = (images[clip * pixels + cell] for images in (self.plates, self.torsos))
        if len(self.parts) == 1:
            row = frame * pixels + cell
            rgb, matte = (values[row] for values in self.parts[0])
        else:
            rgb, matte = plate.new_empty(len(frame), 3), plate.new_empty(len(frame), 2)
            for index in clip.unique().tolist():
                own = (clip == index).nonzero()[:, 0]
                row = (frame[own] - self.firsts[index]) * pixels + cell[own]
                rgb[own], matte[own] = (values[row] for values in self.parts[index])
        rgb, matte, plate, torso = (values.to(self.device) for values in (rgb, matte, plate, torso))
        return rgb, matte, plate, torso


def _free_bytes(device: torch.device) -> int:
    cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # kept by torch, in no tensor
    return int(torch.cuda.mem_get_info(device)[0]) + cached


def _pixel_rows(images: np.ndarray) -> Tensor:
    """uint8 [pixels, C] on the memory of ``images`` [T, H, W, C], which may be a memory-mapped file."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # it is only read
        return torch.from_numpy(images).view(-1, images.shape[-1])


def _join(mapped: list[tuple[Tensor, Tensor]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Colours and mattes of all clips on a GPU, one tensor each, copied clip by clip."""
    joined = []
    for parts in zip(*mapped, strict=True):
        whole = torch.empty(sum(map(len, parts)), parts[0].shape[1], dtype=torch.uint8, device=device)
        for target, part in zip(whole.split([len(part) for part in parts]), parts, strict=True):
            target.copy_(part)
        joined.append(whole)
    return joined[0], joined[1]
