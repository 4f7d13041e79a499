"""Writes a video with audio, frame by frame."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from jean.errors import InputError, SetupError, UsageError
from jean.files import atomic_path
from jean.media.container import import_av
from jean.media.frame import BICUBIC, BT709, EXACT, FULL, LIMITED
from jean.media.image import check_rgb
from jean.media.rates import rational_fps
from jean.media.resample import resample

AAC_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
AAC_SAMPLES = 1024  # samples in an AAC frame
LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}


class VideoWriter:
    """Writes H.264 video and AAC audio; a ``Writer``.

    Frames are encoded immediately, into a temporary file, which gets its name only after the ``with`` block
    ends without an exception; otherwise it is removed. Colours are BT.709 with limited range, and tagged so.
    All of the audio is written, independent of the number of frames. Its sampling rate is kept if AAC
    supports it; otherwise it becomes 48 kHz. Chroma subsampling (4:2:0) needs even sizes: an odd width or
    height is extended by a copy of its last column or row, and ``note`` tells the user.

    Args:
        path: the file, normally ``.mp4``.
        size: (width, height) of the frames, px.
        fps: frames per second, a number or an exact fraction; see ``rational_fps``.
        audio: (float [S] or [S, C] in [-1, 1], sampling rate in Hz), or None.
        crf: quality for x264, 0 (best) to 51; 18 is visually lossless.
        metadata: tags; mp4 keeps title, artist, comment, description, copyright and date.
        before_rename: called with the complete temporary file, see ``jean.files.atomic_path``.

    Raises:
        SetupError: PyAV is not installed, or the file cannot be written.
        InputError: the audio cannot be encoded, or no frame was written.
        UsageError: the size is impossible.
    """

    def __init__(
        self,
        path: str | Path,
        size: tuple[int, int],
        fps: float | Fraction,
        audio: tuple[np.ndarray, int] | None = None,
        crf: int = 18,
        metadata: dict[str, str] | None = None,
        before_rename: Callable[[Path], None] = lambda temporary: None,
    ):
        import_av(f"writing {path}")
        self.path = Path(path)
        self.note = ""
        self._size = size
        self._rate = fps if isinstance(fps, Fraction) else rational_fps(fps)
        self._crf = crf
        self._metadata = metadata or {}
        self._before_rename = before_rename
        self._sound = _aac_audio(audio, self.path)
        self._frames = 0
        self._samples = 0
        width, height = size
        if width < 2 or height < 2 or max(size) > 16384:  # limit of H.264
            raise UsageError(f"a video of {width}×{height} pixels is not possible.", "Choose another size.")
        self._coded = (width + width % 2, height + height % 2)
        if self._coded != size:
            self.note = (
                f"H.264 needs even sizes: {self.path.name} has {self._coded[0]}×{self._coded[1]} pixels instead of "
                f"{width}×{height}."
            )

    def __enter__(self) -> VideoWriter:
        import av
        from av.video.reformatter import VideoReformatter

        self._reformatter = VideoReformatter()  # reuses its tables for all frames
        with ExitStack() as stack:
            temporary = stack.enter_context(atomic_path(self.path, self._before_rename))
            stack.enter_context(self._errors())
            options = {} if self.path.suffix.lower() == ".mkv" else {"movflags": "+faststart"}
            if self._sound is not None and options:  # otherwise durations are rounded to milliseconds
                options["movie_timescale"] = str(self._sound[1])
            self._container: Any = stack.enter_context(
                av.open(f"file:{temporary.absolute()}", "w", container_options=options)
            )
            self._container.metadata.update(self._metadata)
            self._video: Any = self._container.add_stream("libx264", rate=self._rate)
            self._video.width, self._video.height = self._coded
            self._video.pix_fmt = "yuv420p"
            # chromaloc=1: the conversion centres chroma between its four pixels; untagged means the left edge.
            # preset fast: four fifths of the time of "medium", at the same quality and 2 % more bytes
            self._video.options = {"crf": str(self._crf), "preset": "fast", "x264-params": "chromaloc=1"}
            context = self._video.codec_context
            context.color_primaries = context.color_trc = context.colorspace = BT709
            context.color_range = LIMITED
            self._audio: Any = None
            if self._sound is not None:
                wave, rate_hz = self._sound
                self._audio = self._container.add_stream("aac", rate=rate_hz)
                self._audio.layout = LAYOUTS[wave.shape[1]]
                # 96 kbit/s per channel is transparent; AAC allows at most 6 bits per sample
                self._audio.bit_rate = wave.shape[1] * min(96_000, 4 * rate_hz)
            self._stack = stack.pop_all()
        return self

    def write(self, rgb: np.ndarray) -> None:
        """Appends a frame, uint8 [H, W, 3].

        Raises:
            ValueError: another shape or type.
            SetupError: the frame cannot be written.
        """
        import av

        check_rgb(rgb, self._size)
        padding = (self._coded[1] - rgb.shape[0], self._coded[0] - rgb.shape[1])
        if any(padding):
            rgb = np.pad(rgb, ((0, padding[0]), (0, padding[1]), (0, 0)), mode="edge")
        frame = self._reformatter.reformat(
            av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), "rgb24"),
            format="yuv420p",
            src_colorspace=BT709,
            dst_colorspace=BT709,
            src_color_range=FULL,
            dst_color_range=LIMITED,
            interpolation=EXACT | BICUBIC,
        )
        frame.pts, frame.time_base = self._frames, 1 / self._rate
        with self._errors():
            self._container.mux(self._video.encode(frame))
            self._frames += 1
            self._write_sound(float(self._frames / self._rate))

    def _write_sound(self, until_s: float) -> None:
        """Encodes the audio up to ``until_s``, so that both streams are interleaved in the file."""
        import av

        if self._sound is None:
            return
        wave, rate_hz = self._sound
        while self._samples < min(len(wave), until_s * rate_hz):
            block = wave[self._samples : self._samples + AAC_SAMPLES]
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block.T), "fltp", LAYOUTS[wave.shape[1]])
            frame.sample_rate, frame.pts, frame.time_base = rate_hz, self._samples, Fraction(1, rate_hz)
            self._container.mux(self._audio.encode(frame))
            self._samples += len(block)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._stack.__exit__(kind, error, trace)
            return
        with self._stack:
            if not self._frames:
                raise InputError(f"{self.path} would have no frame.", "Check the length of the inputs.")
            self._container.mux(self._video.encode(None))
            self._write_sound(math.inf)
            if self._audio is not None:
                self._container.mux(self._audio.encode(None))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Converts failures of the encoder or the disk to ``SetupError``."""
        import av

        try:
            yield
        except av.error.FFmpegError as error:
            reason = error.strerror or str(error)
            raise SetupError(
                f"cannot write {self.path}: {reason}.", "Free some space or choose another --output."
            ) from error


def _aac_audio(audio: tuple[np.ndarray, int] | None, path: Path) -> tuple[np.ndarray, int] | None:
    """Audio as float32 [S, C] at a sampling rate that AAC supports; None if there is no audio."""
    if audio is None or not len(audio[0]):
        return None
    wave, rate_hz = np.asarray(audio[0], np.float32), int(audio[1])
    wave = wave[:, None] if wave.ndim == 1 else wave
    if wave.shape[1] not in LAYOUTS:
        raise InputError(
            f"{path.name} cannot store audio with {wave.shape[1]} channels.", "Mix the audio down to stereo."
        )
    if not np.isfinite(wave).all():
        raise InputError(f"the audio for {path} has samples that are not numbers.", "Check the audio file.")
    if rate_hz not in AAC_RATES_HZ:
        wave, rate_hz = resample(wave, rate_hz, 48000), 48000
    return np.clip(wave, -1.0, 1.0), rate_hz
