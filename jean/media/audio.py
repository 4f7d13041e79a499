"""The sound of a file, in step with its pictures."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jean.errors import InputError
from jean.media.container import MAX_GAP_S, audio_stream, check_file, has_av, import_av, open_media, video_stream
from jean.media.read import timed_frames
from jean.media.resample import resample_blocks
from jean.media.wav import to_float, wav_blocks

Warn = Callable[[str], None]
Block = tuple[np.ndarray, int]

# Time stamps that disagree by less are left alone: cutting or padding would click, and no one hears it
JITTER_S = 0.025
LOUD = 1.5  # decoders overshoot full scale a little; more than this is a wrong scale


def read_audio(path: str | Path, rate_hz: int = 16000, warn: Warn = warnings.warn) -> np.ndarray:
    """float32 mono [S] in [-1, 1]: the mean of the channels, resampled; sample 0 is time zero.

    Time zero is the first picture if the file has any. Sound before it is cut, later sound is
    preceded by silence, gaps are filled with silence, and the encoder's own padding is taken off.

    Args:
        path: any file with sound.
        rate_hz: samples a second wanted.
        warn: told about damage, and about samples far outside [-1, 1], which are clipped.

    Raises:
        InputError: no sound, not one sample, samples that are not numbers, or no media.
        SetupError: PyAV is not installed and the file is no plain PCM wav.
    """
    blocks = _blocks(Path(path), warn)
    first, native_hz = next(blocks)

    def mono() -> Iterator[np.ndarray]:
        yield first.mean(axis=1)
        for block, _ in blocks:
            yield block.mean(axis=1)

    wave = np.concatenate(list(resample_blocks(mono(), native_hz, rate_hz)))
    return np.clip(wave, -1.0, 1.0, out=wave)


def read_audio_native(path: str | Path, warn: Warn = warnings.warn) -> tuple[np.ndarray, int]:
    """(float32 [S, C] in [-1, 1], samples a second): all channels at their own rate, as ``read_audio``.

    Raises:
        InputError, SetupError: as ``read_audio``.
    """
    blocks = list(_blocks(Path(path), warn))
    wave = np.concatenate([block for block, _ in blocks])
    return np.clip(wave, -1.0, 1.0, out=wave), blocks[0][1]


def _blocks(path: Path, warn: Warn) -> Iterator[Block]:
    """Yields (float32 [n, C], rate), placed on the time line, checked; at least one block."""
    check_file(path)
    if has_av():
        source = _placed(path, warn)
    elif path.suffix.lower() == ".wav":
        source = wav_blocks(path)
    else:
        import_av(f"reading the sound of {path}")
        return
    shape: tuple[int, int] | None = None
    loudest = 0.0
    count = 0
    for block, rate_hz in source:
        if not np.isfinite(block).all():
            raise InputError(f"{path} holds sound samples that are not numbers.", "Export the sound again.")
        if shape is None:
            shape = (block.shape[1], rate_hz)
        elif shape != (block.shape[1], rate_hz):
            raise InputError(f"{path} changes its sampling rate or channels.", "Convert it first.")
        if len(block):
            count += len(block)
            loudest = max(loudest, float(np.abs(block).max()))
            yield block, rate_hz
    if not count:
        raise InputError(f"{path} holds no sound.", "Give a file with sound.")
    if loudest > LOUD:
        warn(f"{path} holds samples up to {loudest:.3g}, outside [-1, 1]; they are clipped")


def _placed(path: Path, warn: Warn) -> Iterator[Block]:
    """Decoded blocks with silence where there is none, from time zero to the stream's end."""
    video_s = _video_start(path)
    with open_media(path) as container:
        stream = audio_stream(container)
        if stream is None:
            raise InputError(f"{path} has no sound.", "Give a file with sound, or record some.")
        zero_s, written, tolerance = 0.0, 0, -1
        end: int | None = None  # in samples, where the container knows it exactly
        for time_s, block, rate_hz in _decoded(container, stream, path, warn):
            if tolerance < 0:  # the first one is placed to the sample
                tolerance = 0
                zero_s = video_s if video_s is not None else time_s or 0.0
                if "mp4" in container.format.name and stream.duration:
                    ends_s = float(((stream.start_time or 0) + stream.duration) * stream.time_base)
                    end = round((ends_s - zero_s) * rate_hz)
            gap = 0 if time_s is None else round((time_s - zero_s) * rate_hz) - written
            if abs(gap) > MAX_GAP_S * rate_hz:
                raise InputError(f"{path} is damaged: its sound jumps by {gap / rate_hz:.0f} s.", "Convert it first.")
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
        warn(f"{path} is damaged: {unreadable} of {packets} pieces of its sound could not be decoded")


def _video_start(path: Path) -> float | None:
    """Time stamp of the first picture, None for a file without pictures."""
    with open_media(path) as container:
        try:
            stream = video_stream(container, path)
            frame = next(timed_frames(container, stream, path, lambda _: None))[2]
        except InputError:  # a song, or pictures beyond repair: the sound stands alone
            return None
        return None if frame.pts is None else float(frame.pts * frame.time_base)
