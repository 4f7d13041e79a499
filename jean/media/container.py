"""Opens media files safely and turns every failure of the decoder into one line."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jean.errors import InputError, SetupError

# Demuxers that read one self-contained file. Left out on purpose: playlists and manifests (hls, dash,
# concat, sdp: they open other files and addresses), devices, and tty, which takes any text for a video.
DEMUXERS = (
    "mov,matroska,webm,avi,mpeg,mpegts,mpegvideo,m4v,h264,hevc,av1,obu,ivf,flv,asf,ogg,mxf,nut,gif,apng,dv,rm,wtv,"
    "yuv4mpegpipe,wav,w64,aiff,caf,au,mp3,aac,flac,ac3,eac3,amr,amrnb,amrwb,wv,tta,"
    "png_pipe,jpeg_pipe,jpegls_pipe,webp_pipe,bmp_pipe,tiff_pipe,pam_pipe,pgm_pipe,ppm_pipe"
)

# Room for 8K (33 megapixels) in any shape; a damaged header may claim far more and take all memory.
MAX_PIXELS = 1 << 26

# A longer pause between time stamps is taken for damage: filling it would go on for hours.
MAX_GAP_S = 60.0

CONVERT = "Convert it, for example: ffmpeg -i FILE -c:v libx264 -c:a aac NEW.mp4"


def import_av(need: str) -> Any:
    """The ``av`` module.

    Args:
        need: what it is wanted for, the start of the message.

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
    """The path of a readable, non-empty, regular file.

    Raises:
        InputError: it is none.
    """
    path = Path(path)
    try:
        facts = path.stat()
        if stat.S_ISREG(facts.st_mode):
            with open(path, "rb"):
                pass
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}.", "Check the path.") from error
    except ValueError as error:  # a NUL in the name
        raise InputError(f"cannot read {str(path)!r}: {error}.", "Check the path.") from error
    if not stat.S_ISREG(facts.st_mode):
        raise InputError(f"{path} is not a file.", "Give the path of a media file.")
    if facts.st_size == 0:
        raise InputError(f"{path} is empty.", "Copy or download it again.")
    return path


@contextmanager
def decoder_errors(path: Path) -> Iterator[None]:
    """Turns what PyAV raises over damaged data into an ``InputError``."""
    av = import_av(f"reading {path}")
    try:
        yield
    except InputError:
        raise
    # Damaged headers also surface as plain Python errors out of PyAV's arithmetic and text decoding
    except (av.error.FFmpegError, ValueError, ArithmeticError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise InputError(f"{path} is damaged or of an unknown kind ({reason}).", CONVERT) from error


@contextmanager
def open_media(path: str | Path) -> Iterator[Any]:
    """Opens a file for reading; the body's decoder failures become ``InputError``.

    The name is handed over as a ``file:`` address, so that no character in it (``:``, ``|``, a leading
    ``-``) means anything, and nothing but this file can be opened by it.

    Yields:
        An ``av.container.InputContainer``.

    Raises:
        InputError: unreadable, empty, or not media.
        SetupError: PyAV is not installed.
    """
    path = check_file(path)
    av = import_av(f"reading {path}")
    options = {"protocol_whitelist": "file", "format_whitelist": DEMUXERS}
    try:
        # Not ``options``, which PyAV 16 also gives to streams that are not there yet, and crashes
        container = av.open(f"file:{path.absolute()}", container_options=options, metadata_errors="replace")
    except (av.error.FFmpegError, ValueError, ArithmeticError) as error:
        raise InputError(f"{path} is not a video or sound file that can be read.", CONVERT) from error
    with container:
        with decoder_errors(path):
            yield container


def read_tags(path: str | Path) -> dict[str, str]:
    """The tags of a media file, e.g. ``comment``.

    Raises:
        InputError: not media.
        SetupError: PyAV is not installed.
    """
    with open_media(path) as container:
        return dict(container.metadata)


def video_stream(container: Any, path: Path) -> Any:
    """The picture stream (not the cover of a song), decoding on several threads.

    Raises:
        InputError: there is none, or its pictures are larger than ``MAX_PIXELS``.
    """
    from av.stream import Disposition

    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not streams:
        raise InputError(f"{path} holds no video.", "Give a video file.")
    stream = _first_choice(streams)
    if stream.codec_context is None or not stream.codec_context.width or not stream.codec_context.height:
        raise InputError(f"{path}: its video is of a kind that cannot be decoded.", CONVERT)
    if stream.codec_context.width * stream.codec_context.height > MAX_PIXELS:
        size = f"{stream.codec_context.width}×{stream.codec_context.height}"
        raise InputError(f"{path} claims pictures of {size} pixels.", "Scale it down to 8K or less first.")
    stream.thread_type = "AUTO"
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}  # pictures may also grow on the way
    return stream


def audio_stream(container: Any) -> Any | None:
    """The sound stream that a player would choose, or None."""
    streams = [stream for stream in container.streams.audio if stream.codec_context is not None]
    return _first_choice(streams) if streams else None


def _first_choice(streams: list[Any]) -> Any:
    from av.stream import Disposition

    return min(streams, key=lambda stream: (not stream.disposition & Disposition.default, stream.index))
