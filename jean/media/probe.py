"""Properties of a video file, read from its packets without decoding all frames."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jean.errors import InputError
from jean.media.container import audio_stream, open_media, video_stream
from jean.media.decode import Warn, timed_frames
from jean.media.frame import ToRgb
from jean.media.image import read_image
from jean.media.image_sequence import STILL_FPS, ImageSequence, is_sequence
from jean.media.wav import wav_blocks


@dataclass(frozen=True)
class MediaInfo:
    """Properties of a video file.

    Attributes:
        path: of the file.
        width_px: width of the images that ``read_frames`` yields (upright, square pixels).
        height_px: height of these images.
        fps: frames per second; the mean if the rate varies.
        duration_s: from the first frame to the end of the last.
        frame_count: frames in the file; an estimate if the file is damaged.
        rotation: clockwise rotation stored in the file, already applied to the images: 0, 90, 180 or 270 degrees.
        variable_rate: whether the distance between frames varies.
        audio_rate_hz: sampling rate; None for a file without audio.
        audio_duration_s: from the first frame to the end of the audio; 0 for a file without audio.
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
        """Whether the file has audio."""
        return self.audio_rate_hz is not None


def probe(path: str | Path, warn: Warn = warnings.warn, fps: float = STILL_FPS) -> MediaInfo:
    """Reads the properties of a video: decodes the first frame and scans all packets.

    Args:
        path: any video file, an image, or a folder of numbered images.
        warn: called with a message about damage, missing images or an unusual rotation.
        fps: rate of numbered images that state none.

    Raises:
        InputError: not a media file, no video, empty, or no frame can be decoded.
        SetupError: PyAV is not installed.
    """
    path = Path(path)
    if is_sequence(path):
        return _probe_images(ImageSequence.open(path), fps, warn)
    with open_media(path) as container:
        stream = video_stream(container, path)
        _, first_duration_s, first = next(timed_frames(container, stream, path, warn))
        convert = ToRgb(first, stream.sample_aspect_ratio, str(path), warn)
        convert(first)
        start_s = _start(first, stream)
    with open_media(path) as container:
        video, audio = video_stream(container, path), audio_stream(container)
        times_s, audio_end_s = _scan(container, video, audio)
        times_s = times_s[times_s >= start_s - 1e-6]
        if not len(times_s):
            raise InputError(f"{path} is damaged: it has no time stamps.", "Convert it first.")
        fps, variable = _rate(times_s, video, first_duration_s)
        return MediaInfo(
            path=path,
            width_px=convert.size[0],
            height_px=convert.size[1],
            fps=fps,
            duration_s=float(times_s[-1] - start_s + 1 / fps),
            frame_count=len(times_s),
            rotation=convert.turn.degrees,
            variable_rate=variable,
            audio_rate_hz=None if audio is None else int(audio.codec_context.sample_rate),
            audio_duration_s=0.0 if audio is None else max(0.0, audio_end_s - start_s),
        )


def _probe_images(sequence: ImageSequence, fps: float, warn: Warn) -> MediaInfo:
    image = read_image(sequence.images[0])
    if missing := sequence.missing():
        warn(f"{sequence.path}: {missing} of {sequence.numbers[-1] + 1} numbers are missing; other images replace them")
    rate = sequence.fps or fps
    samples, rate_hz = 0, None
    for block, block_rate_hz in wav_blocks(sequence.sound) if sequence.sound is not None else ():
        samples, rate_hz = samples + len(block), block_rate_hz
    return MediaInfo(
        path=sequence.path,
        width_px=image.shape[1],
        height_px=image.shape[0],
        fps=rate,
        duration_s=(sequence.numbers[-1] + 1) / rate,
        frame_count=len(sequence.images),
        rotation=0,
        variable_rate=missing > 0,
        audio_rate_hz=rate_hz,
        audio_duration_s=samples / rate_hz if rate_hz else 0.0,
    )


def _start(first: Any, stream: Any) -> float:
    """Time stamp of the first frame, seconds."""
    if first.pts is not None:
        return float(first.pts * first.time_base)
    return float((stream.start_time or 0) * stream.time_base)


def _scan(container: Any, video: Any, audio: Any | None) -> tuple[np.ndarray, float]:
    """Sorted time stamps of the frames and the end of the audio, seconds."""
    import av

    times_s, audio_end_s = [], 0.0
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
                audio_end_s = max(audio_end_s, time_s + float((packet.duration or 0) * packet.time_base))
    except av.error.InvalidDataError:
        pass  # damaged from here on: use the packets up to here; read_frames warns about the damage
    return np.unique(times_s), audio_end_s


def _rate(times_s: np.ndarray, stream: Any, first_duration_s: float) -> tuple[float, bool]:
    """Frames per second, and whether the rate varies."""
    stated = float(stream.average_rate or 0)
    if len(times_s) < 2:
        return stated or 1 / first_duration_s, False
    gaps_s = np.diff(times_s)
    measured = float(1 / gaps_s.mean())
    # Two ticks of tolerance, because time stamps are rounded to the clock of the container
    tolerance_s = 0.1 * float(np.median(gaps_s)) + 2 * float(stream.time_base)
    variable = bool(gaps_s.max() - gaps_s.min() > tolerance_s)
    return (stated if not variable and abs(stated / measured - 1) < 0.005 else measured), variable
