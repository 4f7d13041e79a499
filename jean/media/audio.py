"""Reads the audio of a media file, aligned with its video."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from jean.errors import InputError
from jean.media.container import MAX_GAP_S, audio_stream, check_file, has_av, import_av, open_media, video_stream
from jean.media.decode import Warn, timed_frames
from jean.media.image_sequence import SOUND_FILE, ImageSequence, is_sequence
from jean.media.rates import RATE_HZ
from jean.media.resample import resample_blocks
from jean.media.wav import to_float, wav_blocks
from jean.row_file import gather_rows

Block = tuple[np.ndarray, int]  # samples float32 [n, C], sampling rate in Hz

# Smaller time stamp errors are ignored: cutting or padding the audio would click, while the shift is inaudible.
JITTER_S = 0.025
# Lossy decoders overshoot full scale slightly. A larger peak means that the samples have another scale.
MAX_PEAK = 1.5


def read_audio(path: str | Path, rate_hz: int = RATE_HZ, warn: Warn = warnings.warn) -> np.ndarray:
    """Reads audio as mono float32 [S] in [-1, 1]: the mean of the channels, resampled.

    A long sound lies in an unnamed file that is mapped, see ``gather_rows``.
    Sample 0 is time zero: the first frame if the file has video. Audio before it is cut, audio that begins
    later is preceded by silence, gaps are filled with silence, and the padding of the encoder is removed.

    Args:
        path: any file with audio.
        rate_hz: sampling rate of the result.
        warn: called with a message about damage, and about samples far outside [-1, 1], which are clipped.

    Raises:
        InputError: not a media file, no audio, no samples, or samples that are NaN or infinite.
        SetupError: PyAV is not installed and the file is not a plain PCM wav.
    """
    blocks = _blocks(Path(path), warn)
    first, native_hz = next(blocks)

    def mono() -> Iterator[np.ndarray]:
        yield first.mean(axis=1)
        for block, _ in blocks:
            yield block.mean(axis=1)

    return gather_rows(np.clip(block, -1, 1) for block in resample_blocks(mono(), native_hz, rate_hz))


def read_audio_native(path: str | Path, warn: Warn = warnings.warn) -> tuple[np.ndarray, int]:
    """Reads audio with all channels at the sampling rate of the file; otherwise like ``read_audio``.

    Returns:
        float32 [S, C] in [-1, 1], and the sampling rate in Hz.

    Raises:
        InputError, SetupError: as ``read_audio``.
    """
    blocks = _blocks(Path(path), warn)
    first, rate_hz = next(blocks)
    return gather_rows(np.clip(block, -1, 1) for block in chain([first], (block for block, _ in blocks))), rate_hz


def _blocks(path: Path, warn: Warn) -> Iterator[Block]:
    """Yields at least one block (float32 [n, C], sampling rate), aligned with time zero and checked."""
    if path.is_dir() and is_sequence(path):
        sound = ImageSequence.open(path).sound
        if sound is None:
            raise InputError(f"{path} has no audio.", f"Put {SOUND_FILE} beside the images.")
        path = sound
    check_file(path)
    if has_av():
        source = _placed(path, warn)
    elif path.suffix.lower() == ".wav":
        source = wav_blocks(path)
    else:
        import_av(f"reading the audio of {path}")
        return
    shape: tuple[int, int] | None = None
    peak = 0.0
    count = 0
    for block, rate_hz in source:
        if not np.isfinite(block).all():
            raise InputError(f"{path} has audio samples that are not numbers.", "Export the audio again.")
        if shape is None:
            shape = (block.shape[1], rate_hz)
        elif shape != (block.shape[1], rate_hz):
            raise InputError(f"{path} changes its sampling rate or number of channels.", "Convert it first.")
        if len(block):
            count += len(block)
            peak = max(peak, float(np.abs(block).max()))
            yield block, rate_hz
    if not count:
        raise InputError(f"{path} has no audio.", "Give a file with audio.")
    if peak > MAX_PEAK:
        warn(f"{path} has audio samples up to {peak:.3g}, outside [-1, 1]; they are clipped")


def _placed(path: Path, warn: Warn) -> Iterator[Block]:
    """Yields decoded blocks from time zero to the end of the stream, with silence in the gaps."""
    video_s = _video_start(path)
    with open_media(path) as container:
        stream = audio_stream(container)
        if stream is None:
            raise InputError(f"{path} has no audio.", "Give a file with audio.")
        zero_s, written, tolerance = 0.0, 0, -1
        end: int | None = None  # in samples, if the container states it exactly
        for time_s, block, rate_hz in _decoded(container, stream, path, warn):
            if tolerance < 0:  # the first block is aligned to the sample
                tolerance = 0
                zero_s = video_s if video_s is not None else time_s or 0.0
                if "mp4" in container.format.name and stream.duration:
                    ends_s = float(((stream.start_time or 0) + stream.duration) * stream.time_base)
                    end = round((ends_s - zero_s) * rate_hz)
            gap = 0 if time_s is None else round((time_s - zero_s) * rate_hz) - written
            if abs(gap) > MAX_GAP_S * rate_hz:
                raise InputError(f"{path} is damaged: its audio jumps by {gap / rate_hz:.0f} s.", "Convert it first.")
            if gap > tolerance:
                yield np.zeros((gap, block.shape[1]), np.float32), rate_hz
                written += gap
            elif gap < -tolerance:
                block = block[-gap:]
            if end is not None:
                block = block[: max(0, end - written)]
            if len(block):
                tolerance = round(JITTER_S * rate_hz)
            written += len(block)
            yield block, rate_hz


def _decoded(container: Any, stream: Any, path: Path, warn: Warn) -> Iterator[tuple[float | None, np.ndarray, int]]:
    """Yields (time stamp in seconds, float32 [n, C], rate)."""
    import av

    unreadable = packets = 0
    demuxer = container.demux(stream)
    while True:
        packet = None
        try:
            packet = next(demuxer, None)
            if packet is None:
                break
            packets += 1
            frames = packet.decode()
        except av.error.InvalidDataError:
            unreadable += 1
            if packet is None:
                break
            continue
        for frame in frames:
            if not frame.samples:
                continue
            samples = to_float(frame.to_ndarray())
            samples = samples.T if frame.format.is_planar else samples.reshape(frame.samples, -1)
            yield (None if frame.pts is None else float(frame.pts * frame.time_base)), samples, frame.sample_rate
    if unreadable:
        warn(f"{path} is damaged: {unreadable} of {packets} audio packets could not be decoded")


def _video_start(path: Path) -> float | None:
    """Time stamp of the first frame in seconds; None for a file without video."""
    with open_media(path) as container:
        try:
            stream = video_stream(container, path)
            frame = next(timed_frames(container, stream, path, lambda _: None))[2]
        except InputError:  # no video, or none that can be decoded: use the audio alone
            return None
        return None if frame.pts is None else float(frame.pts * frame.time_base)
