"""What a video file holds, found by reading it once without decoding."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jean.errors import InputError
from jean.media.container import audio_stream, open_media, video_stream
from jean.media.frame import ToRgb
from jean.media.read import timed_frames


@dataclass(frozen=True)
class MediaInfo:
    """Facts about a video.

    Attributes:
        path: of the file.
        width_px: of the images that ``read_frames`` yields (upright, square pixels).
        height_px: likewise.
        fps: frames a second, the mean for a variable rate.
        duration_s: from the first picture to the end of the last.
        frame_count: pictures in the file (an estimate where it is damaged).
        rotation: clockwise turn that was asked for and is applied: 0, 90, 180, 270 degrees.
        variable_rate: the pictures are not equally far apart.
        audio_rate_hz: samples a second, None for a silent file.
        audio_duration_s: from the first picture to the end of the sound; 0 for a silent file.
    """

    path: Path
    width_px: int
    height_px: int
    fps: float
    duration_s: float
    frame_count: int
    rotation: int
    variable_rate: bool
    audio_rate_hz: int | None
    audio_duration_s: float

    @property
    def has_audio(self) -> bool:
        """Whether there is sound."""
        return self.audio_rate_hz is not None


def probe(path: str | Path, warn: Callable[[str], None] = warnings.warn) -> MediaInfo:
    """Reads the facts: decodes the first picture and walks over all packets.

    Raises:
        InputError: no media, no video, empty, or damaged beyond the first picture.
        SetupError: PyAV is not installed.
    """
    path = Path(path)
    with open_media(path) as container:
        stream = video_stream(container, path)
        _, lasts_s, first = next(timed_frames(container, stream, path, warn))
        convert = ToRgb(first, stream.sample_aspect_ratio, str(path), warn)
        convert(first)
        start_s = _start(first, stream)
    with open_media(path) as container:
        video, audio = video_stream(container, path), audio_stream(container)
        times_s, sound_end_s = _walk(container, video, audio)
        times_s = times_s[times_s >= start_s - 1e-6]
        if not len(times_s):
            raise InputError(f"{path} is damaged: it holds no time stamps.", "Convert it first.")
        fps, variable = _rate(times_s, video, lasts_s)
        gap_s = 1 / fps
        return MediaInfo(
            path=path,
            width_px=convert.size[0],
            height_px=convert.size[1],
            fps=fps,
            duration_s=float(times_s[-1] - start_s + gap_s),
            frame_count=len(times_s),
            rotation=convert.turn.degrees,
            variable_rate=variable,
            audio_rate_hz=None if audio is None else int(audio.codec_context.sample_rate),
            audio_duration_s=0.0 if audio is None else max(0.0, sound_end_s - start_s),
        )


def _start(first: Any, stream: Any) -> float:
    """Time stamp of the first picture, seconds."""
    if first.pts is not None:
        return float(first.pts * first.time_base)
    return float((stream.start_time or 0) * stream.time_base)


def _walk(container: Any, video: Any, audio: Any | None) -> tuple[np.ndarray, float]:
    """Sorted time stamps of the pictures and the end of the sound, seconds."""
    import av

    times_s, sound_end_s = [], 0.0
    streams = (video,) if audio is None else (video, audio)
    try:
        for packet in container.demux(*streams):
            stamp = packet.pts if packet.pts is not None else packet.dts
            if stamp is None or not packet.size or getattr(packet, "is_discard", False):
                continue
            time_s = float(stamp * packet.time_base)
            if packet.stream.index == video.index:
                times_s.append(time_s)
            else:
                sound_end_s = max(sound_end_s, time_s + float((packet.duration or 0) * packet.time_base))
    except av.error.InvalidDataError:
        pass  # damaged from here on; what was read counts, and reading the frames warns
    return np.unique(times_s), sound_end_s


def _rate(times_s: np.ndarray, stream: Any, first_lasts_s: float) -> tuple[float, bool]:
    """(frames a second, whether they vary)."""
    stated = float(stream.average_rate or 0)
    if len(times_s) < 2:
        return stated or 1 / first_lasts_s, False
    gaps_s = np.diff(times_s)
    measured = float(1 / gaps_s.mean())
    # Two ticks: rounding to the container's clock is no variation
    spread_s = 0.1 * float(np.median(gaps_s)) + 2 * float(stream.time_base)
    variable = bool(gaps_s.max() - gaps_s.min() > spread_s)
    return (stated if not variable and abs(stated / measured - 1) < 0.005 else measured), variable
