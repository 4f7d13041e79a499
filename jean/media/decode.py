"""Decodes the frames of a video stream in order, with their time stamps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jean.errors import InputError
from jean.media.container import MAX_GAP_S

# Receives one line about damage that did not stop the reading.
Warn = Callable[[str], None]


def timed_frames(container: Any, stream: Any, path: Path, warn: Warn) -> Iterator[tuple[float, float, Any]]:
    """Yields (seconds since the first frame, duration in seconds, ``av.VideoFrame``) in increasing time order.

    Args:
        container: an open ``av.container.InputContainer``.
        stream: its video stream.
        path: of the file, for messages.
        warn: called with a message about damage.

    Raises:
        InputError: no frame could be decoded, or the time stamps jump by more than ``MAX_GAP_S``.
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
            if packet is None or unreadable > 100 + packets:  # the demuxer no longer advances
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
            frame_s = float((frame.duration or 0) * frame.time_base)
            frame_s = frame_s if 0 < frame_s <= MAX_GAP_S else usual_s
            end_s = time_s - first_s + frame_s
            yield time_s - first_s, frame_s, frame
    if not decoded:
        raise InputError(f"{path} is damaged: none of its frames can be decoded.", "Copy the file again.")
    if unreadable:
        warn(f"{path} is damaged: {unreadable} of {packets} frames could not be decoded correctly")
    if disordered:
        warn(f"{path}: {disordered} frames with time stamps out of order were skipped")
    stated_s = float((stream.duration or 0) * stream.time_base)
    if stated_s > end_s + max(0.5, 2 * usual_s):
        warn(f"{path} states a video duration of {stated_s:.2f} s, but contains only {end_s:.2f} s")
