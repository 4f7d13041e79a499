"""Frames of a video, one at a time, by time stamps."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from jean.errors import InputError
from jean.media.container import MAX_GAP_S, open_media, video_stream
from jean.media.frame import ToRgb

Item = TypeVar("Item")
Warn = Callable[[str], None]

ROUNDING = 1e-6  # of a frame: what floating point may add to duration · fps
END_S = 1e-3  # Matroska rounds times to milliseconds


def count_frames(duration_s: float, fps: float) -> int:
    """Number of frames that cover ``duration_s``: ⌈duration · fps⌉, forgiving floating-point rounding."""
    return max(0, math.ceil(duration_s * fps - ROUNDING))


def read_frames(
    path: str | Path,
    fps: float | None = None,
    start_s: float = 0.0,
    stop_s: float | None = None,
    warn: Warn = warnings.warn,
) -> Iterator[tuple[float, np.ndarray]]:
    """Yields (time in seconds from the first picture, RGB uint8 [H, W, 3]) in constant memory.

    Images are upright (rotation and mirroring applied) with square pixels, all of one size. With
    ``fps``, image n is the one whose time stamp is nearest to ``start_s`` + n / ``fps``, the time that
    comes with it, up to the end of the last picture. Without, every picture comes with its own time.
    High dynamic range is not tone-mapped.

    Args:
        path: any video file.
        fps: frames a second, None for the pictures as they are.
        start_s: first time wanted.
        stop_s: times stay below it; None for all.
        warn: told about damage that was passed over (unreadable pictures are replaced by their
            neighbours when ``fps`` is given) and about a file shorter than it promises.

    Raises:
        InputError: no media, no video, nothing that can be decoded, or impossible time stamps.
        SetupError: PyAV is not installed.
    """
    convert: ToRgb | None = None
    path = Path(path)
    with open_media(path) as container:
        stream = video_stream(container, path)
        pictures = timed_frames(container, stream, path, warn)
        chosen = _between(pictures, start_s, stop_s) if fps is None else pick(pictures, fps, start_s, stop_s)
        for time_s, frame in chosen:
            convert = convert or ToRgb(frame, stream.sample_aspect_ratio, str(path), warn)
            yield time_s, convert(frame)  # a repeated picture is made anew: its taker may draw on it


def sample_frames(path: str | Path, count: int, warn: Warn = warnings.warn) -> Iterator[tuple[float, np.ndarray]]:
    """Yields about ``count`` pictures spread evenly over a video, as ``read_frames`` does.

    Raises:
        InputError: as ``read_frames``.
    """
    from jean.media.probe import probe

    info = probe(path)
    fps = min(info.fps, count / info.duration_s)
    yield from read_frames(path, fps, start_s=min(0.5 / fps, 0.5 * info.duration_s), warn=warn)


def pick(
    timed: Iterable[tuple[float, float, Item]], fps: float, start_s: float = 0.0, stop_s: float | None = None
) -> Iterator[tuple[float, Item]]:
    """Chooses the item nearest in time to each instant ``start_s`` + n / ``fps``.

    Args:
        timed: (time, duration, item) in seconds, times strictly increasing.
        fps: instants a second.
        start_s: first instant.
        stop_s: instants stay below it, and below the end of the last item.

    Yields:
        (instant, item); of two as near as each other the earlier.
    """
    number = 0
    held: tuple[float, float, Item] | None = None

    def due(end_s: float) -> Iterator[tuple[float, Item]]:
        nonlocal number
        while held is not None and (instant := start_s + number / fps) <= end_s:
            if stop_s is not None and instant >= stop_s - 1e-9:
                return
            yield instant, held[2]
            number += 1

    for item in timed:
        if held is not None:
            yield from due(0.5 * (held[0] + item[0]) + 1e-9)
        if stop_s is not None and start_s + number / fps >= stop_s - 1e-9:
            return
        held = item
    if held is not None:
        yield from due(max(held[0], held[0] + held[1] - END_S))


def _between(
    timed: Iterable[tuple[float, float, Item]], start_s: float, stop_s: float | None
) -> Iterator[tuple[float, Item]]:
    for time_s, _, item in timed:
        if stop_s is not None and time_s >= stop_s:
            return
        if time_s >= start_s:
            yield time_s, item


def timed_frames(container: Any, stream: Any, path: Path, warn: Warn) -> Iterator[tuple[float, float, Any]]:
    """Yields (seconds from the first picture, duration in seconds, ``av.VideoFrame``), times increasing.

    Raises:
        InputError: nothing could be decoded, or the time stamps jump by more than ``MAX_GAP_S``.
    """
    import av

    rate = float(stream.average_rate or stream.guessed_rate or 25)
    usual_s = 1 / rate if rate > 0 else 0.04
    first_s = last_s = None
    decoded = packets = unreadable = disordered = 0
    end_s = 0.0
    demuxer = container.demux(stream)
    while True:
        try:
            packet = next(demuxer, None)
            if packet is None:
                break
            packets += packet.size > 0 and not getattr(packet, "is_discard", False)
            frames = packet.decode()
        except av.error.InvalidDataError:
            unreadable += 1
            if packet is None or unreadable > 100 + packets:  # the demuxer itself stands still
                break
            continue
        for frame in frames:
            decoded += 1
            unreadable += bool(frame.is_corrupt)
            time_s = None if frame.pts is None else float(frame.pts * frame.time_base)
            if time_s is None:
                time_s = 0.0 if last_s is None else last_s + usual_s
            if first_s is None:
                first_s = time_s
            elif last_s is not None and time_s <= last_s + 1e-6:
                disordered += 1
                continue
            elif last_s is not None and time_s - last_s > MAX_GAP_S:
                raise InputError(
                    f"{path} is damaged: its time stamps jump from {last_s:.1f} to {time_s:.1f} s.",
                    "Cut or convert it first.",
                )
            last_s = time_s
            lasts_s = float((frame.duration or 0) * frame.time_base)
            lasts_s = lasts_s if 0 < lasts_s <= MAX_GAP_S else usual_s
            end_s = time_s - first_s + lasts_s
            yield time_s - first_s, lasts_s, frame
    if not decoded:
        raise InputError(f"{path}: not one picture could be decoded.", "The file is damaged: copy it again.")
    if unreadable:
        warn(f"{path} is damaged: {unreadable} of {packets} pictures could not be decoded well")
    if disordered:
        warn(f"{path}: {disordered} pictures with time stamps out of order were left out")
    promised_s = float((stream.duration or 0) * stream.time_base)
    if promised_s > end_s + max(0.5, 2 * usual_s):
        warn(f"{path} promises {promised_s:.2f} s of video and holds {end_s:.2f} s")
