"""Reads the frames of a video one by one, selected by time stamp."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np

from jean.media.container import open_media, video_stream
from jean.media.decode import Warn, timed_frames
from jean.media.frame import ToRgb
from jean.media.image_sequence import STILL_FPS, ImageSequence, is_sequence, read_images
from jean.media.probe import probe

Item = TypeVar("Item")

END_S = 1e-3  # Matroska rounds time stamps to milliseconds


def read_frames(
    path: str | Path,
    fps: float | None = None,
    start_s: float = 0.0,
    stop_s: float | None = None,
    warn: Warn = warnings.warn,
) -> Iterator[tuple[float, np.ndarray]]:
    """Yields (seconds since the first frame, RGB uint8 [H, W, 3]) in constant memory.

    Images are upright (rotation and mirroring applied), have square pixels and all have one size. With
    ``fps``, image n is the frame whose time stamp is nearest to ``start_s`` + n / ``fps``, and that instant
    is its time; the last image lies before the end of the last frame. Without ``fps``, every frame is
    yielded with its own time. HDR and wide-gamut video is converted to BT.709; highlights above white are clipped.

    Args:
        path: any video file, an image, or a folder of numbered images. Images whose rate nothing states have the rate
            ``fps``, so that each is one frame.
        fps: frames per second of the result; None yields the frames of the file unchanged.
        start_s: first time.
        stop_s: times stay below this; None reads to the end.
        warn: called with a message about damage that did not stop the reading, and about a file that is
            shorter than it states. With ``fps``, frames that cannot be decoded are replaced by neighbours.

    Raises:
        InputError: not a media file, no video, nothing that can be decoded, or impossible time stamps.
        SetupError: PyAV is not installed.
    """
    convert: ToRgb | None = None
    path = Path(path)
    if is_sequence(path):
        images = ImageSequence.open(path).timed(fps or STILL_FPS)
        yield from read_images(_between(images, start_s, stop_s) if fps is None else pick(images, fps, start_s, stop_s))
        return
    with open_media(path) as container:
        stream = video_stream(container, path)
        timed = timed_frames(container, stream, path, warn)
        selection = _between(timed, start_s, stop_s) if fps is None else pick(timed, fps, start_s, stop_s)
        for time_s, frame in selection:
            convert = convert or ToRgb(frame, stream.sample_aspect_ratio, str(path), warn)
            yield time_s, convert(frame)  # a repeated frame is converted again, because callers may modify it


def sample_frames(path: str | Path, count: int, warn: Warn = warnings.warn) -> Iterator[tuple[float, np.ndarray]]:
    """Yields about ``count`` evenly spaced frames of a video, in the form of ``read_frames``.

    Raises:
        InputError, SetupError: as ``read_frames``.
    """
    if is_sequence(path):
        images = list(ImageSequence.open(Path(path)).timed(STILL_FPS))
        chosen = np.unique(np.linspace(0, len(images) - 1, count).round().astype(int))
        yield from read_images((images[n][0], images[n][2]) for n in chosen)
        return
    info = probe(path)
    fps = min(info.fps, count / info.duration_s)
    yield from read_frames(path, fps, start_s=min(0.5 / fps, 0.5 * info.duration_s), warn=warn)


def pick(
    timed: Iterable[tuple[float, float, Item]], fps: float, start_s: float = 0.0, stop_s: float | None = None
) -> Iterator[tuple[float, Item]]:
    """Selects the item nearest in time to each instant ``start_s`` + n / ``fps``.

    Args:
        timed: (time, duration, item) in seconds, times strictly increasing.
        fps: instants per second.
        start_s: first instant.
        stop_s: instants stay below this, and below the end of the last item.

    Yields:
        (instant, item); the earlier of two items at the same distance.
    """
    number = 0
    current: tuple[float, float, Item] | None = None

    def repeat_until(end_s: float) -> Iterator[tuple[float, Item]]:
        nonlocal number
        while current is not None and (instant := start_s + number / fps) <= end_s:
            if stop_s is not None and instant >= stop_s - 1e-9:
                return
            yield instant, current[2]
            number += 1

    for item in timed:
        if current is not None:
            yield from repeat_until(0.5 * (current[0] + item[0]) + 1e-9)
        if stop_s is not None and start_s + number / fps >= stop_s - 1e-9:
            return
        current = item
    if current is not None:
        yield from repeat_until(max(current[0], current[0] + current[1] - END_S))


def _between(
    timed: Iterable[tuple[float, float, Item]], start_s: float, stop_s: float | None
) -> Iterator[tuple[float, Item]]:
    for time_s, _, item in timed:
        if stop_s is not None and time_s >= stop_s:
            return
        if time_s >= start_s:
            yield time_s, item
