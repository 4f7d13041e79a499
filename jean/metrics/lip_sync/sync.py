"""LSE-C, LSE-D and offset of one face track, by SyncNet.

As SyncNet's authors define them: compute the distance between lip and audio embeddings at shifts of −15 to 15 frames,
and average over time at each shift. LSE-D is the smallest mean; LSE-C is the median of the means minus the smallest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jean.errors import ArtefactError, InputError
from jean.metrics.base import full_precision
from jean.metrics.lip_sync.sound import RATE_HZ, mfcc_rows

if TYPE_CHECKING:
    import torch

    from jean.models.syncnet import SyncNet

FPS = 25.0
SIZE_PX = 224
SAMPLES_PER_FRAME = 640
MFCC_ROWS_PER_FRAME = 4
MFCC_ROWS_PER_WINDOW = 20
MAX_SHIFT = 15  # frames
WINDOW = 5  # frames per lip embedding
MIN_FRAMES = WINDOW + 1  # the authors drop the last window
MEDIAN_WINDOWS = 9  # width of the authors' median filter of the confidence over time
AUTHORS_MIN_FRAMES = 100  # the authors' pipeline drops tracks of this many frames or fewer
BATCH = 16  # windows per forward pass: about 0.5 GB


@dataclass(frozen=True)
class LipSync:
    """How well lips and sound agree.

    Attributes:
        confidence: LSE-C, higher is better.
        distance: LSE-D, lower is better.
        offset: delay of the lips against the sound in frames of 1/25 s; negative if the lips are early.
        frame_confidence: confidence over time, float32 [N − 5], median-filtered over 9 windows.
        distances: mean distance between the lips of frame i and the sound of frames i − 15 … i + 15, float32 [31].
        notes: facts that a reader needs to judge the numbers.
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
    """Computes LSE-C, LSE-D and offset of one face track.

    Args:
        frames: RGB face crops at 25 frames/s, uint8 [N, 224, 224, 3], N ≥ 6.
        audio: int16 [S], mono, 16 kHz, starting with the first frame.
        weights: SyncNet's state dict or the file that holds it.
        device: where the networks run.

    Returns:
        The scores over the N − 5 windows that frames and sound have in common; fewer if the sound is shorter.

    Raises:
        InputError: wrong shape or type, or fewer than six frames of images or sound.
        ArtefactError: the weights are not SyncNet's.
    """
    if frames.ndim != 4:
        raise InputError(f"frames have shape {list(frames.shape)}, not [N, {SIZE_PX}, {SIZE_PX}, 3].")
    scorer = SyncScorer(load_syncnet(weights, device), [audio])
    for frame in frames:
        scorer.add(frame)
    return scorer.result()[0]


class SyncScorer:
    """Computes the same scores from frames that arrive one at a time, against one or several sounds.

    Memory grows by 31 numbers per frame and sound.

    Args:
        net: the network returned by ``load_syncnet``.
        sounds: each int16 [S], mono, 16 kHz, starting with the first frame.
    """

    def __init__(self, net: SyncNet, sounds: Sequence[np.ndarray]):
        for audio in sounds:
            if audio.ndim != 1 or audio.dtype != np.int16:
                raise InputError(f"sound must be int16 [S], not {audio.dtype} {list(audio.shape)}.")
        self._net = net
        self._tracks = [_ShiftDistances(net, audio) for audio in sounds]
        self._pending: list[np.ndarray] = []
        self.frames = 0

    def add(self, frame: np.ndarray) -> None:
        """Adds the next face crop, RGB uint8 [224, 224, 3]."""
        if frame.shape != (SIZE_PX, SIZE_PX, 3) or frame.dtype != np.uint8:
            raise InputError(
                f"a face crop must be uint8 [{SIZE_PX}, {SIZE_PX}, 3], not {frame.dtype} {list(frame.shape)}."
            )
        self._pending.append(frame)
        self.frames += 1
        if len(self._pending) == BATCH + WINDOW - 1:
            self._embed()

    def result(self) -> list[LipSync]:
        """Returns the scores for each sound.

        Raises:
            InputError: images or sound are shorter than six frames.
        """
        if len(self._pending) >= WINDOW:
            self._embed()
        return [track.result(self.frames) for track in self._tracks]

    def _embed(self) -> None:
        import torch

        device = next(self._net.parameters()).device
        stack = np.stack(self._pending)[..., ::-1]  # the weights were trained on BGR
        pixels = torch.from_numpy(np.ascontiguousarray(stack.transpose(3, 0, 1, 2))).to(device).float()
        with full_precision():
            lips = self._net.lips(pixels).cpu()
        self._pending = self._pending[1 - WINDOW :]
        for track in self._tracks:
            track.extend(lips)


class _ShiftDistances:
    """Distances between lips and one sound at all shifts, computed as frames arrive."""

    def __init__(self, net: SyncNet, audio: np.ndarray):
        import torch

        self._net, self._audio = net, audio
        self._audio_frames = len(audio) // SAMPLES_PER_FRAME
        self._lips = torch.zeros(0, 1024)  # embeddings of windows not yet compared, from window ``_compared`` on
        # embeddings from window ``_compared`` − 15 on; zeros before the first window
        self._sound = torch.zeros(MAX_SHIFT, 1024)
        self._compared = self._embedded_sound = 0
        self._rows: list[torch.Tensor] = []

    def extend(self, lips: torch.Tensor) -> None:
        """Adds lip embeddings [B, 1024] and compares the windows whose neighbours are all available."""
        import torch

        self._lips = torch.cat([self._lips, lips])
        # the authors drop the last window, and which one is the last is known only at the end
        available = min(self._compared + len(self._lips) - 1, self._audio_frames - WINDOW)
        self._advance(max(available - MAX_SHIFT, self._compared), available)

    def result(self, frames: int) -> LipSync:
        """Returns the scores after the last of ``frames`` frames."""
        import torch

        count = min(frames, self._audio_frames) - WINDOW
        if count < 1:
            raise InputError(
                f"{frames} frames and {len(self._audio) / RATE_HZ:.2f} s of sound are too short for lip sync "
                f"(at least {MIN_FRAMES} frames at 25 frames/s)."
            )
        self._advance(count, count)
        table = torch.cat(self._rows)  # [count, 31]
        means = table.mean(0)
        best = int(means.argmin())
        median = means.median()
        return LipSync(
            confidence=float(median - means[best]),
            distance=float(means[best]),
            offset=MAX_SHIFT - best,
            frame_confidence=_median_filter((median - table[:, best]).numpy()),
            distances=means.numpy(),
            notes=_notes(frames, len(self._audio), count),
        )

    def _advance(self, stop: int, end: int) -> None:
        """Compares windows up to ``stop``; sound from window ``end`` on counts as zero, as before the first window."""
        import torch
        from torch.nn.functional import pairwise_distance

        self._embed_sound(min(stop + MAX_SHIFT, end))
        rows = stop - self._compared
        if rows <= 0:
            return
        missing = rows + 2 * MAX_SHIFT - len(self._sound)
        sound = torch.cat([self._sound, torch.zeros(max(missing, 0), 1024)])
        lips = self._lips[:rows]
        shifts = [pairwise_distance(lips, sound[shift : shift + rows]) for shift in range(2 * MAX_SHIFT + 1)]
        self._rows.append(torch.stack(shifts, 1))
        self._lips, self._sound, self._compared = self._lips[rows:], self._sound[rows:], stop

    def _embed_sound(self, stop: int) -> None:
        """Embeds windows of sound up to window ``stop``."""
        import torch

        device = next(self._net.parameters()).device
        while self._embedded_sound < stop:
            first, end = self._embedded_sound, min(self._embedded_sound + 4 * BATCH, stop)
            starts = [MFCC_ROWS_PER_FRAME * n for n in range(end - first)]
            last_row = MFCC_ROWS_PER_FRAME * (end - 1) + MFCC_ROWS_PER_WINDOW
            rows = mfcc_rows(self._audio, MFCC_ROWS_PER_FRAME * first, last_row)
            windows = np.stack([rows[start : start + MFCC_ROWS_PER_WINDOW].T for start in starts])
            with full_precision():
                embeddings = self._net.sound(torch.from_numpy(windows[:, None]).float().to(device)).cpu()
            self._sound = torch.cat([self._sound, embeddings])
            self._embedded_sound = end


def load_syncnet(weights: str | Path | Mapping[str, torch.Tensor], device: str = "cpu") -> SyncNet:
    """Builds SyncNet from a state dict, or from a file that holds one (``.safetensors`` or torch's format).

    Raises:
        ArtefactError: the file is unreadable, or the weights are not SyncNet's.
    """
    from jean.models import syncnet

    if isinstance(weights, (str, Path)):
        path = Path(weights)
        stamp = path.stat() if path.is_file() else None
        return _load_file(path, stamp and (stamp.st_mtime_ns, stamp.st_size), device)
    try:
        return syncnet.load(weights).to(device)
    except ValueError as error:
        raise ArtefactError(
            f"these weights are not SyncNet's ({error}).", "Run: jean models pull syncnet_v2.model"
        ) from error


@lru_cache(maxsize=1)
def _load_file(path: Path, stamp: Any, device: str) -> SyncNet:
    """Loads the file once for all results; ``stamp`` (time and size) makes a changed file another key."""
    from jean.models import syncnet
    from jean.weights.tensors import read_tensors

    try:
        return syncnet.load(read_tensors(path)).to(device)
    except ValueError as error:
        raise ArtefactError(f"{path} is not SyncNet ({error}).", "Run: jean models pull syncnet_v2.model") from error


def _median_filter(values: np.ndarray) -> np.ndarray:
    """The authors' running median over 9 windows [T] with zeros beyond both ends.

    Equals their ``scipy.signal.medfilt``, which would warn about tracks shorter than the filter.
    """
    from scipy.ndimage import median_filter

    return median_filter(values, MEDIAN_WINDOWS, mode="constant")


def _notes(frames: int, samples: int, windows: int) -> tuple[str, ...]:
    notes = []
    if frames <= AUTHORS_MIN_FRAMES:
        notes.append(
            f"LSE over {frames} frames: the authors' pipeline drops tracks of {AUTHORS_MIN_FRAMES} frames or fewer; "
            "this track is scored."
        )
    if windows <= 2 * MAX_SHIFT:
        notes.append("LSE: the clip is shorter than the range of shifts, so large shifts compare mostly padding.")
    if abs(samples / RATE_HZ - frames / FPS) > 1 / FPS:
        notes.append(
            f"LSE: {frames / FPS:.2f} s of images and {samples / RATE_HZ:.2f} s of sound; the common part is scored."
        )
    return tuple(notes)
