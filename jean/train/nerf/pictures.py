"""The pictures that training draws its pixels from: on the card where they fit, else mapped from the clips' files."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from torch import Tensor

from jean.drivers.person_frames import PersonFrames

SHARE = 0.5  # of a card's free memory that pictures may take: the rest is the model's and its gradients'
BYTES = 5  # a pixel's: three colours, two mattes


class Pictures:
    """Frames, mattes and plates as uint8, read pixel by pixel.

    Args:
        data: the person's frames.
        device: where pixels are wanted.
        free: bytes free on it; None asks a card.

    Attributes:
        resident: whether they lie where they are wanted, so that reading them waits for nothing.
        line: says so.
    """

    def __init__(self, data: PersonFrames, device: torch.device, free: int | None = None):
        self.size, self.device = data.size_px, device
        wanted = len(data.clip_of) * self.size**2 * BYTES
        on_card = device.type != "cpu" and wanted <= SHARE * (_free(device) if free is None else free)
        self.resident = on_card or device.type == "cpu"
        self.home = device if on_card else torch.device("cpu")
        counts = [clip.frame_count for clip in data.clips]
        self.firsts = [0, *np.cumsum(counts)[:-1].tolist()]
        self.clip_of = torch.from_numpy(data.clip_of).to(self.home)
        self.plates = _flat(np.stack([clip.background for clip in data.clips])).to(self.home)
        mapped = [(_flat(clip.frames), _flat(clip.matte)) for clip in data.clips]
        # one tensor of all clips on the card; files cannot be put together
        self.parts = [_moved(mapped, device)] if on_card else mapped
        gigabytes = f"{wanted / 1e9:.1f} GB"
        where = f"on {device}" if on_card else "read from disk, pixel by pixel"
        too_large = "" if self.resident else f": more than half of what is free on {device}"
        self.line = f"pictures: {gigabytes}, {where}{too_large}."

    def at(self, frame: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Colours [R, 3], mattes [R, 2] and plates [R, 3], uint8, of pixels ``x``, ``y`` [R] of dataset frames [R]."""
        frame, cell = frame.to(self.home), (y * self.size + x).to(self.home)
        pixels, clip = self.size**2, self.clip_of[frame]
        plate = self.plates[clip * pixels + cell]
        if len(self.parts) == 1:
            row = frame * pixels + cell
            rgb, matte = (values[row] for values in self.parts[0])
        else:
            rgb, matte = plate.new_empty(len(frame), 3), plate.new_empty(len(frame), 2)
            for index in clip.unique().tolist():
                mine = (clip == index).nonzero()[:, 0]
                row = (frame[mine] - self.firsts[index]) * pixels + cell[mine]
                rgb[mine], matte[mine] = (values[row] for values in self.parts[index])
        return rgb.to(self.device), matte.to(self.device), plate.to(self.device)


def _free(device: torch.device) -> int:
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # by torch, for no tensor
    return int(torch.cuda.mem_get_info(device)[0]) + kept


def _flat(pictures: np.ndarray) -> Tensor:
    """uint8 [pixels, C] on the memory of ``pictures`` [T, H, W, C], which may be a file's."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # nor is it written to
        return torch.from_numpy(pictures).view(-1, pictures.shape[-1])


def _moved(mapped: list[tuple[Tensor, Tensor]], device: torch.device) -> tuple[Tensor, Tensor]:
    """All clips' colours and mattes on a card, in one tensor each; copied clip by clip."""
    made = []
    for parts in zip(*mapped, strict=True):
        whole = torch.empty(sum(map(len, parts)), parts[0].shape[1], dtype=torch.uint8, device=device)
        for target, part in zip(whole.split([len(part) for part in parts]), parts, strict=True):
            target.copy_(part)
        made.append(whole)
    return made[0], made[1]
