"""Video, audio and images: all reading and writing. No other package imports PyAV.

Importing this package loads numpy at most. Without PyAV, plain PCM ``.wav`` files can still be read and
written, and ``open_writer`` writes PNG frames; every other function raises a ``SetupError`` that names the
package to install.

Time zero is the first frame of a video, or the first sample of a file without video. Frames and audio of one
file share it.
"""

from jean.media.audio import read_audio, read_audio_native
from jean.media.container import has_av, read_tags
from jean.media.frames_writer import FramesWriter
from jean.media.image import encode_png, read_image, read_opacity, write_opacity, write_png
from jean.media.image_sequence import is_sequence, media_digest
from jean.media.probe import MediaInfo, probe
from jean.media.rates import RATE_HZ, count_frames, rational_fps
from jean.media.read import read_frames, sample_frames
from jean.media.video_writer import VideoWriter
from jean.media.wav import read_wav, write_wav
from jean.media.write import Writer, open_writer

__all__ = [
    "RATE_HZ",
    "FramesWriter",
    "MediaInfo",
    "VideoWriter",
    "Writer",
    "count_frames",
    "encode_png",
    "has_av",
    "is_sequence",
    "media_digest",
    "open_writer",
    "probe",
    "rational_fps",
    "read_audio",
    "read_audio_native",
    "read_frames",
    "read_image",
    "read_opacity",
    "read_tags",
    "read_wav",
    "sample_frames",
    "write_opacity",
    "write_png",
    "write_wav",
]
