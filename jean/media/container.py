"""Opens media files safely; reports failures of decoders as ``InputError``, of encoders as ``SetupError``."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jean.errors import InputError, JeanError, SetupError, is_exhausted
from jean.files import refuse_url

# Demuxers that read one self-contained file. Excluded for safety: playlists and manifests (hls, dash,
# concat, sdp), which open other files and URLs; devices; and tty, which accepts any text as video.
DEMUXERS = (
    "mov,matroska,webm,avi,mpeg,mpegts,mpegvideo,m4v,h264,hevc,av1,obu,ivf,flv,asf,ogg,mxf,nut,gif,apng,dv,rm,wtv,"
    "yuv4mpegpipe,wav,w64,aiff,caf,au,mp3,aac,flac,ac3,eac3,amr,amrnb,amrwb,wv,tta,"
    "png_pipe,jpeg_pipe,jpegls_pipe,webp_pipe,bmp_pipe,tiff_pipe,pam_pipe,pgm_pipe,ppm_pipe"
)

# Files that are recognised as videos in a folder; a file that is named directly may have any suffix
VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg"})

# Enough for 8K (33 megapixels) in any shape. A damaged header may state far more and exhaust the memory.
MAX_PIXELS = 1 << 26

# A longer gap between time stamps counts as damage; filling it could take hours.
MAX_GAP_S = 60.0

CONVERT = "Convert it, for example: ffmpeg -i FILE -c:v libx264 -c:a aac NEW.mp4"


def import_av(need: str) -> Any:
    """Imports PyAV.

    Args:
        need: what needs it; the start of the error message.

    Returns:
        The module ``av``.

    Raises:
        SetupError: PyAV is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise SetupError(f"{need} needs PyAV, which is not installed.", "Run: pip install av") from error
    return av


def has_av() -> bool:
    """Whether PyAV can be imported."""
    try:
        import av  # noqa: F401
    except ImportError:
        return False
    return True


def check_file(path: str | Path) -> Path:
    """Checks that ``path`` is a readable, non-empty, regular file, and returns it.

    Raises:
        InputError: it is not.
    """
    path = Path(path)
    refuse_url(path)
    try:
        status = path.stat()
        if stat.S_ISREG(status.st_mode):
            with open(path, "rb"):
                pass
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}.", "Check the path.") from error
    except ValueError as error:  # a NUL in the name
        raise InputError(f"cannot read {str(path)!r}: {error}.", "Check the path.") from error
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path} is not a file.", "Give the path of a media file.")
    if status.st_size == 0:
        raise InputError(f"{path} is empty.", "Copy or download it again.")
    return path


@contextmanager
def decoder_errors(path: Path) -> Iterator[None]:
    """Converts the exceptions that PyAV raises on damaged data to ``InputError``."""
    av = import_av(f"reading {path}")
    try:
        yield
    except InputError:
        raise
    # Damaged headers also cause plain Python errors in PyAV's arithmetic and text decoding
    except (av.error.FFmpegError, ValueError, ArithmeticError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise _fault(error, path, f"{path} is damaged or has an unknown format ({reason}).") from None


def _fault(error: Exception, path: Path, message: str) -> JeanError:
    """The error to raise for a failure of the decoder: the machine's where it is out of memory or threads.

    A damaged file can ask for more memory than any machine has, so FFmpeg's own code does not decide.
    """
    if isinstance(error, (MemoryError, BlockingIOError)) and is_exhausted():
        return SetupError(f"not enough memory to decode {path}.", "Close other programs, or decode a smaller video.")
    return InputError(message, CONVERT)


@contextmanager
def open_media(path: str | Path) -> Iterator[Any]:
    """Opens a media file for reading; decoder failures in the ``with`` block become ``InputError``.

    FFmpeg receives the path as a ``file:`` URL, so that no character in it (``:``, ``|``, a leading ``-``)
    has a special meaning, and no other file can be opened through it.

    Yields:
        An ``av.container.InputContainer``.

    Raises:
        InputError: the file is unreadable, empty, or not a media file.
        SetupError: PyAV is not installed.
    """
    path = check_file(path)
    av = import_av(f"reading {path}")
    options = {"protocol_whitelist": "file", "format_whitelist": DEMUXERS}
    try:
        # Not ``options``: PyAV 16 also applies those to streams that do not exist yet, and crashes
        container = av.open(f"file:{path.absolute()}", container_options=options, metadata_errors="replace")
    except (av.error.FFmpegError, ValueError, ArithmeticError) as error:
        raise _fault(error, path, f"{path} is not a readable video or audio file.") from None
    with container:
        with decoder_errors(path):
            yield container


def read_tags(path: str | Path) -> dict[str, str]:
    """The metadata tags of a media file, for example ``comment``.

    Raises:
        InputError: not a media file.
        SetupError: PyAV is not installed.
    """
    with open_media(path) as container:
        return dict(container.metadata)


def video_stream(container: Any, path: Path) -> Any:
    """Selects the video stream (not the cover image of a song) and sets it to decode on several threads.

    Raises:
        InputError: there is none, it cannot be decoded, or its frames are larger than ``MAX_PIXELS``.
    """
    from av.stream import Disposition

    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not streams:
        raise InputError(f"{path} has no video.", "Give a video file.")
    stream = _first_choice(streams)
    if stream.codec_context is None or not stream.codec_context.width or not stream.codec_context.height:
        raise InputError(f"{path} has video in a format that cannot be decoded.", CONVERT)
    if stream.codec_context.width * stream.codec_context.height > MAX_PIXELS:
        size = f"{stream.codec_context.width}×{stream.codec_context.height}"
        raise InputError(f"{path} states frames of {size} pixels.", "Scale it down to 8K or less first.")
    stream.thread_type = "AUTO"
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}  # the frame size may also change later
    return stream


def audio_stream(container: Any) -> Any | None:
    """Selects the audio stream that a player would choose; None if there is none."""
    streams = [stream for stream in container.streams.audio if stream.codec_context is not None]
    return _first_choice(streams) if streams else None


def _first_choice(streams: list[Any]) -> Any:
    from av.stream import Disposition

    return min(streams, key=lambda stream: (not stream.disposition & Disposition.default, stream.index))


@contextmanager
def encoder_errors(path: Path) -> Iterator[None]:
    """Converts failures of an encoder, or of the disk below it, to ``SetupError``.

    Args:
        path: the file that is written, for the message.
    """
    import av

    try:
        yield
    except av.error.FFmpegError as error:
        reason = error.strerror or str(error)
        raise SetupError(f"cannot write {path}: {reason}.", "Free some space or choose another --output.") from error
