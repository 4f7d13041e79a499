"""LSE-C, LSE-D and offset: how well lips and sound agree, by SyncNet.

The definition is that of SyncNet's authors: distances between the vectors of lips and sound at shifts of
up to 15 frames, averaged over time; LSE-D is the smallest average, LSE-C the median minus the smallest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jean.errors import ArtefactError, InputError
from jean.metrics.lip_sync.mfcc import RATE_HZ, mfcc_rows
from jean.metrics.lip_sync.precision import full_precision

if TYPE_CHECKING:
    import torch

    from jean.models.syncnet import SyncNet

FPS = 25.0
SIZE_PX = 224
SAMPLES_PER_FRAME = 640
ROWS_PER_FRAME = 4
SHIFT = 15  # largest shift looked at, frames
WINDOW = 5
SHORTEST = WINDOW + 1  # frames; the authors leave out the last window
MEDIAN_FRAMES = 9  # the authors smooth the confidence over time by this median
DROPPED = 100  # the authors' pipeline leaves out tracks of this many frames or fewer
BATCH = 16  # windows computed at once: about 0.5 GB


@dataclass(frozen=True)
class LipSync:
    """How well lips and sound agree.

    Attributes:
        confidence: LSE-C, higher is better.
        distance: LSE-D, lower is better.
        offset: frames by which the lips come after the sound (negative: before it).
        frame_confidence: float32 [N − 5], the confidence over time, median-filtered over 9 frames.
        distances: float32 [31], mean distance when lips of frame i meet sound of frame i − 15 … i + 15.
        notes: what a reader must know to trust the numbers.
    """

    confidence: float
    distance: float
    offset: int
    frame_confidence: np.ndarray
    distances: np.ndarray
    notes: tuple[str, ...] = ()


def lip_sync_error(
    frames: np.ndarray, audio: np.ndarray, weights: str | Path | Mapping[str, torch.Tensor], device: str = "cpu"
) -> LipSync:
    """LSE-C, LSE-D and offset of one face track.

    Args:
        frames: uint8 [N, 224, 224, 3], RGB face crops, 25 frames a second, N of 6 or more.
        audio: int16 [S], mono, 16 kHz, beginning with the first frame.
        weights: SyncNet's state dict or the file that holds it.
        device: where the networks run.

    Returns:
        The scores over the N − 5 windows that both have (fewer if the sound is shorter).

    Raises:
        InputError: another shape or type, or less than six frames of pictures or sound.
        ArtefactError: the weights are not SyncNet's.
    """
    if frames.ndim != 4:
        raise InputError(f"frames have shape {list(frames.shape)}, not [N, {SIZE_PX}, {SIZE_PX}, 3].")
    scorer = SyncScorer(load_syncnet(weights, device), [audio])
    for frame in frames:
        scorer.add(frame)
    return scorer.result()[0]


class SyncScorer:
    """The same over frames that come one at a time, against one sound or several.

    Memory does not grow with the number of frames but by 31 numbers each.

    Args:
        net: as ``load_syncnet`` returns it.
        sounds: each int16 [S], mono, 16 kHz, beginning with the first frame.
    """

    def __init__(self, net: SyncNet, sounds: Sequence[np.ndarray]):
        for audio in sounds:
            if audio.ndim != 1 or audio.dtype != np.int16:
                raise InputError(f"sound must be int16 [S], not {audio.dtype} {list(audio.shape)}.")
        self._net = net
        self._tracks = [_Distances(net, audio) for audio in sounds]
        self._waiting: list[np.ndarray] = []
        self.frames = 0

    def add(self, frame: np.ndarray) -> None:
        """Takes one face crop, RGB uint8 [224, 224, 3]."""
        if frame.shape != (SIZE_PX, SIZE_PX, 3) or frame.dtype != np.uint8:
            raise InputError(
                f"a face crop must be uint8 [{SIZE_PX}, {SIZE_PX}, 3], not {frame.dtype} {list(frame.shape)}."
            )
        self._waiting.append(frame)
        self.frames += 1
        if len(self._waiting) == BATCH + WINDOW - 1:
            self._embed()

    def result(self) -> list[LipSync]:
        """The scores for each sound.

        Raises:
            InputError: pictures or sound are shorter than six frames.
        """
        if len(self._waiting) >= WINDOW:
            self._embed()
        return [track.result(self.frames) for track in self._tracks]

    def _embed(self) -> None:
        import torch

        device = next(self._net.parameters()).device
        stack = np.stack(self._waiting)[..., ::-1]  # the weights were trained on BGR
        pixels = torch.from_numpy(np.ascontiguousarray(stack.transpose(3, 0, 1, 2))).to(device).float()
        with full_precision():
            lips = self._net.lips(pixels).cpu()
        self._waiting = self._waiting[1 - WINDOW :]
        for track in self._tracks:
            track.extend(lips)


class _Distances:
    """Distances of lips and one sound at all shifts, in step with the frames."""

    def __init__(self, net: SyncNet, audio: np.ndarray):
        import torch

        self._net, self._audio = net, audio
        self._seconds_in_frames = len(audio) // SAMPLES_PER_FRAME
        self._lips = torch.zeros(0, 1024)  # windows not compared yet, the first of them number ``_done``
        self._sound = torch.zeros(SHIFT, 1024)  # windows from number ``_done`` − 15; zeros before the first
        self._done = self._heard = 0
        self._rows: list[torch.Tensor] = []

    def extend(self, lips: torch.Tensor) -> None:
        """Takes the next windows of lips [B, 1024]; compares those whose neighbours are known."""
        import torch

        self._lips = torch.cat([self._lips, lips])
        # the authors leave out the last window, and which that is shows only at the end
        known = min(self._done + len(self._lips) - 1, self._seconds_in_frames - WINDOW)
        self._advance(max(known - SHIFT, self._done), known)

    def result(self, frames: int) -> LipSync:
        """The scores, once all ``frames`` were seen."""
        import torch

        count = min(frames, self._seconds_in_frames) - WINDOW
        if count < 1:
            raise InputError(
                f"{frames} frames and {len(self._audio) / RATE_HZ:.2f} s of sound are too short for lip sync "
                f"({SHORTEST} frames of 25 a second are the least)."
            )
        self._advance(count, count)
        table = torch.cat(self._rows)  # [count, 31]
        means = table.mean(0)
        best = int(means.argmin())
        middle = means.median()
        over_time = (middle - table[:, best]).numpy()
        return LipSync(
            confidence=float(middle - means[best]),
            distance=float(means[best]),
            offset=SHIFT - best,
            frame_confidence=median_filter(over_time, MEDIAN_FRAMES),
            distances=means.numpy(),
            notes=_notes(frames, len(self._audio), count),
        )

    def _advance(self, stop: int, end: int) -> None:
        """Compares windows up to ``stop``; sound from ``end`` on counts as zero, as before the first window."""
        import torch
        from torch.nn.functional import pairwise_distance

        self._hear(min(stop + SHIFT, end))
        rows = stop - self._done
        if rows <= 0:
            return
        missing = rows + 2 * SHIFT - len(self._sound)
        sound = torch.cat([self._sound, torch.zeros(max(missing, 0), 1024)])
        lips = self._lips[:rows]
        shifts = [pairwise_distance(lips, sound[shift : shift + rows]) for shift in range(2 * SHIFT + 1)]
        self._rows.append(torch.stack(shifts, 1))
        self._lips, self._sound, self._done = self._lips[rows:], self._sound[rows:], stop

    def _hear(self, stop: int) -> None:
        """Embeds windows of sound up to number ``stop``."""
        import torch

        device = next(self._net.parameters()).device
        while self._heard < stop:
            first, end = self._heard, min(self._heard + 4 * BATCH, stop)
            rows = mfcc_rows(self._audio, ROWS_PER_FRAME * first, ROWS_PER_FRAME * (end - 1) + 20)
            windows = np.stack([rows[ROWS_PER_FRAME * n : ROWS_PER_FRAME * n + 20].T for n in range(end - first)])
            with full_precision():
                made = self._net.sound(torch.from_numpy(windows[:, None]).float().to(device)).cpu()
            self._sound = torch.cat([self._sound, made])
            self._heard = end


def load_syncnet(weights: str | Path | Mapping[str, torch.Tensor], device: str = "cpu") -> SyncNet:
    """The network from a state dict, or from the file that holds one (``.safetensors`` or torch's own).

    Raises:
        ArtefactError: unreadable, or not SyncNet's.
    """
    from jean.models import syncnet

    if isinstance(weights, (str, Path)):
        path = Path(weights)
        stamp = path.stat() if path.is_file() else None
        return _from_file(path, stamp and (stamp.st_mtime_ns, stamp.st_size), device)
    try:
        return syncnet.load(weights).to(device)
    except ValueError as error:
        raise ArtefactError(
            f"these weights are not SyncNet's ({error}).", "Run: jean models pull syncnet_v2.model"
        ) from error


@lru_cache(maxsize=1)
def _from_file(path: Path, stamp: Any, device: str) -> SyncNet:
    from jean.models import syncnet
    from jean.weights.tensors import read_tensors

    try:
        return syncnet.load(read_tensors(path)).to(device)
    except ValueError as error:
        raise ArtefactError(f"{path} is not SyncNet ({error}).", "Run: jean models pull syncnet_v2.model") from error


def median_filter(values: np.ndarray, size: int) -> np.ndarray:
    """Running median of [T, ...] over an odd number of rows, zeros beyond both ends (scipy's ``medfilt``)."""
    half = size // 2
    padded = np.pad(values, [(half, half)] + [(0, 0)] * (values.ndim - 1))
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, size, 0), axis=-1).astype(values.dtype)


def to_int16(audio: np.ndarray) -> np.ndarray:
    """float [S] in [-1, 1] as int16, rounded, as a 16-bit wav holds it."""
    return np.clip(np.round(np.asarray(audio, np.float64) * 32768.0), -32768, 32767).astype(np.int16)


def _notes(frames: int, samples: int, windows: int) -> tuple[str, ...]:
    notes = []
    if frames <= DROPPED:
        notes.append(
            f"LSE over {frames} frames: the authors' pipeline drops tracks of {DROPPED} frames or fewer; scored here."
        )
    if windows <= 2 * SHIFT:
        notes.append("LSE: the clip is shorter than the range of shifts, so large shifts meet mostly padding.")
    if abs(samples / RATE_HZ - frames / FPS) > 1 / FPS:
        notes.append(
            f"LSE: {frames / FPS:.2f} s of pictures and {samples / RATE_HZ:.2f} s of sound; the common part counts."
        )
    return tuple(notes)
