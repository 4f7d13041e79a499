"""Video and sound, in and out: the only place that knows of PyAV.

Importing this package loads numpy at most. Without PyAV, plain PCM ``.wav`` files can be read and
written and results become PNG frames (``open_writer``); everything else says what to install.

Time zero is the first picture of a video (the first sample of a file without pictures); frames and
sound of one file share it.
"""

from jean.media.audio import read_audio, read_audio_native
from jean.media.container import has_av, read_tags
from jean.media.frames_writer import FramesWriter
from jean.media.probe import MediaInfo, probe
from jean.media.read import count_frames, read_frames, sample_frames
from jean.media.video_writer import VideoWriter
from jean.media.wav import read_wav, write_wav
from jean.media.write import Writer, open_writer, rational_fps

__all__ = [
    "FramesWriter",
    "MediaInfo",
    "VideoWriter",
    "Writer",
    "count_frames",
    "has_av",
    "open_writer",
    "probe",
    "rational_fps",
    "read_audio",
    "read_audio_native",
    "read_frames",
    "read_tags",
    "read_wav",
    "sample_frames",
    "write_wav",
]
