"""An mp4 with sound, frame by frame."""

from __future__ import annotations

import math
from collections.abc import Iterator
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
from jean.media.resample import resample

AAC_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
AAC_SAMPLES = 1024
LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}


class VideoWriter:
    """Writes H.264 and AAC; used in a ``with`` statement.

    Frames are encoded as they come, under a temporary name: the file appears, whole, at a clean end,
    and an exception leaves nothing. Colours are BT.709, limited range, tagged as such. The sound is
    muxed whole, whatever the number of frames; its rate is kept if AAC has it, else it becomes
    48 kHz. 4:2:0 has no odd sizes: an odd width or height gains one column or row, a copy of its
    neighbour, and ``note`` says so.

    Args:
        path: the file, ``.mp4`` as a rule.
        size: (width, height) of the frames, px.
        fps: frames a second, a number or an exact fraction; see ``rational_fps``.
        audio: (float [S] or [S, C] in [-1, 1], samples a second), or None.
        crf: x264's quality, 0 to 51; 18 looks the same as the source.
        metadata: tags; mp4 keeps the usual ones (title, artist, comment, description, copyright, date).

    Raises:
        SetupError: PyAV is missing, or the file cannot be written.
        InputError: the sound cannot be encoded, or no frame came.
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
    ):
        from jean.media.write import rational_fps

        import_av(f"writing {path}")
        self.path = Path(path)
        self.note = ""
        self._size = size
        self._rate = fps if isinstance(fps, Fraction) else rational_fps(fps)
        self._crf = crf
        self._metadata = metadata or {}
        self._sound = _for_aac(audio, self.path)
        self._frames = 0
        self._samples = 0
        width, height = size
        if width < 2 or height < 2 or max(size) > 16384:  # H.264 and its players end there
            raise UsageError(f"a video of {width}×{height} pixels is not possible.", "Choose another size.")
        self._coded = (width + width % 2, height + height % 2)
        if self._coded != size:
            self.note = f"{width}×{height} is odd: {self.path.name} has {self._coded[0]}×{self._coded[1]} pixels."

    def __enter__(self) -> VideoWriter:
        import av
        from av.video.reformatter import VideoReformatter

        self._reformatter = VideoReformatter()  # keeps its tables from frame to frame
        with ExitStack() as stack:
            temporary = stack.enter_context(atomic_path(self.path))
            stack.enter_context(self._errors())
            options = {} if self.path.suffix.lower() == ".mkv" else {"movflags": "+faststart"}
            if self._sound is not None and options:  # else lengths are rounded to milliseconds
                options["movie_timescale"] = str(self._sound[1])
            self._container: Any = stack.enter_context(
                av.open(f"file:{temporary.absolute()}", "w", container_options=options)
            )
            self._container.metadata.update(self._metadata)
            self._video: Any = self._container.add_stream("libx264", rate=self._rate)
            self._video.width, self._video.height = self._coded
            self._video.pix_fmt = "yuv420p"
            # The conversion puts chroma in the middle of its four pixels; untagged means their left edge
            # "fast" takes four fifths of the time of "medium", at the same quality and 2 % more bytes
            self._video.options = {"crf": str(self._crf), "preset": "fast", "x264-params": "chromaloc=1"}
            context = self._video.codec_context
            context.color_primaries = context.color_trc = context.colorspace = BT709
            context.color_range = LIMITED
            self._audio: Any = None
            if self._sound is not None:
                wave, rate_hz = self._sound
                self._audio = self._container.add_stream("aac", rate=rate_hz)
                self._audio.layout = LAYOUTS[wave.shape[1]]
                # 96 kbit/s a channel is transparent; AAC allows no more than 6 bits a sample
                self._audio.bit_rate = wave.shape[1] * min(96_000, 4 * rate_hz)
            self._stack = stack.pop_all()
        return self

    def write(self, rgb: np.ndarray) -> None:
        """Adds a frame, uint8 [H, W, 3].

        Raises:
            ValueError: another shape or type.
            SetupError: it cannot be written.
        """
        import av

        if rgb.dtype != np.uint8 or rgb.shape != (self._size[1], self._size[0], 3):
            raise ValueError(f"frame is {rgb.dtype} {rgb.shape}, not uint8 of {self._size[0]}×{self._size[1]}")
        missing = (self._coded[1] - rgb.shape[0], self._coded[0] - rgb.shape[1])
        if any(missing):
            rgb = np.pad(rgb, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
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
        """Encodes the sound up to ``until_s``, so that both streams lie side by side in the file."""
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
                raise InputError(f"no frame was made for {self.path}.", "Check the length of the inputs.")
            self._container.mux(self._video.encode(None))
            self._write_sound(math.inf)
            if self._audio is not None:
                self._container.mux(self._audio.encode(None))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turns a failure of the encoder or of the disk into one line."""
        import av

        try:
            yield
        except av.error.FFmpegError as error:
            reason = error.strerror or str(error)
            raise SetupError(
                f"cannot write {self.path}: {reason}.", "Free some space or choose another --output."
            ) from error


def _for_aac(audio: tuple[np.ndarray, int] | None, path: Path) -> tuple[np.ndarray, int] | None:
    """The sound as float32 [S, C] at a rate that AAC knows; None for none at all."""
    if audio is None or not len(audio[0]):
        return None
    wave, rate_hz = np.asarray(audio[0], np.float32), int(audio[1])
    wave = wave[:, None] if wave.ndim == 1 else wave
    if wave.shape[1] not in LAYOUTS:
        raise InputError(f"sound of {wave.shape[1]} channels cannot go into {path.name}.", "Mix it down to stereo.")
    if not np.isfinite(wave).all():
        raise InputError(f"the sound for {path} holds samples that are not numbers.", "Check the sound file.")
    if rate_hz not in AAC_RATES_HZ:
        wave, rate_hz = resample(wave, rate_hz, 48000), 48000
    return np.clip(wave, -1.0, 1.0), rate_hz
