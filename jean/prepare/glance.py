"""A few frames spread over a video: by decoding a short one, by seeking in a long one, in seconds either way."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np

from jean.errors import InputError

SHORT = 400  # frames that are decoded about as quickly as a dozen seeks are made
FORWARD = 30  # frames decoded at most after a key frame to come nearer to the wanted time


def glance(path: Path, duration_s: float, frame_count: int, count: int) -> list[tuple[float, np.ndarray]]:
    """Up to ``count`` frames at about evenly spread times.

    Where key frames are rare or a file cannot be searched in, fewer come back, the first frame at least.

    Args:
        path: a video.
        duration_s: of it.
        frame_count: frames in it.
        count: frames wanted.

    Returns:
        (time in seconds, upright RGB uint8 [H, W, 3]), times strictly increasing.

    Raises:
        InputError: no media, no video, or not one frame can be decoded.
    """
    if frame_count <= SHORT:
        from jean.media import sample_frames

        return list(sample_frames(path, count, lambda _: None))
    found: dict[float, np.ndarray] = {}
    for target_s in (np.arange(count) + 0.5) * duration_s / count:
        try:
            time_s, image = _frame_near(path, float(target_s))
        except InputError:
            continue  # a damaged stretch; the others may still show a face
        found[time_s] = image
    if not found:
        time_s, image = _frame_near(path, None)
        found[time_s] = image
    return sorted(found.items())


def _frame_near(path: Path, target_s: float | None) -> tuple[float, np.ndarray]:
    """A frame between the key frame before a time and that time, or the first frame."""
    import av

    from jean.media.container import open_media, video_stream
    from jean.media.frame import ToRgb

    with open_media(path) as container:
        stream = video_stream(container, path)
        start = stream.start_time or 0
        if target_s is not None:
            try:
                container.seek(start + int(target_s / stream.time_base), stream=stream)
            except av.error.FFmpegError as error:
                raise InputError(f"{path} cannot be searched in.") from error
        nearest, time_s = None, 0.0
        for frame in islice(container.decode(stream), FORWARD if target_s is not None else 1):
            nearest, time_s = frame, 0.0 if frame.pts is None else float((frame.pts - start) * stream.time_base)
            if target_s is None or time_s >= target_s:
                break
        if nearest is not None:
            return time_s, ToRgb(nearest, stream.sample_aspect_ratio, str(path), lambda _: None)(nearest)
    raise InputError(f"{path}: not one picture could be decoded.", "The file is damaged: copy it again.")
