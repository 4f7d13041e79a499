"""All that drives a video, frame by frame: speech, expression and pose, brought to its rate and length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from jean.data import drivers
from jean.data.audio_windows import neighbour_rows
from jean.data.driver_filters import silence_gate
from jean.data.person import Person
from jean.errors import InputError
from jean.features import registry
from jean.media import read_audio
from jean.models.talking_head import Frames
from jean.progress import Progress
from jean.synthesize.config import RenderConfig
from jean.synthesize.expression import expressions
from jean.synthesize.poses import head_poses
from jean.train.checkpoint import Checkpoint
from jean.types import Camera


@dataclass(frozen=True)
class Drive:
    """What drives the T frames of a video.

    Attributes:
        camera: of every frame.
        poses: camera_to_world [T, 4, 4].
        own_frames: the training clip's frames [T] that the poses belong to; None where they come from elsewhere.
        windows: audio windows [T, window, D].
        heard: the windows that each frame hears: int [T], or [T, N] where the model smooths over N neighbours.
        expression: expression vectors [T, E].
        offsets: of the landmarks beside the rigid head, [T, 68, 2], cm.
    """

    camera: Camera
    poses: np.ndarray
    own_frames: np.ndarray | None
    windows: np.ndarray
    heard: np.ndarray
    expression: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.windows)

    def frame(self, index: int, device: torch.device) -> Frames:
        """What the model takes for one frame."""
        return Frames(
            camera_to_world=torch.from_numpy(self.poses[index].astype(np.float32))[None].to(device),
            focal_px=torch.tensor([self.camera.focal_px], device=device),
            center_px=torch.tensor([self.camera.center_px], device=device),
            audio=torch.from_numpy(self.windows[self.heard[index]])[None].to(device),
            expression=torch.from_numpy(self.expression[index])[None].to(device),
            offsets=torch.from_numpy(self.offsets[index])[None].to(device),
        )


def gather(
    config: RenderConfig, checkpoint: Checkpoint, person: Person, fps: float, size: int, progress: Progress
) -> Drive:
    """Reads the three sources. The speech decides how many frames there are.

    Raises:
        UsageError: an expression that the run does not know or take.
        InputError: a source without sound, face or poses.
        ArtefactError: a source prepared for other features than the run's.
    """
    meta = checkpoint.payload["meta"]
    windows = _speech(config, meta, fps)
    times = (np.arange(len(windows)) + 0.5) / fps
    expression, offsets = expressions(config, checkpoint, person, times, progress)
    poses, own_frames = head_poses(config, person, times, fps)
    neighbours = meta["model"].get("audio_attention", 0)
    heard = neighbour_rows(len(windows), neighbours, fps / float(meta["fps"])) if neighbours else np.arange(len(times))
    return Drive(person.camera.resized(size), poses, own_frames, windows, heard, expression, offsets)


def _speech(config: RenderConfig, meta: dict[str, Any], fps: float) -> np.ndarray:
    """Audio windows [T, window, D] of the whole sound."""
    assert config.audio is not None  # render() saw to it
    (name, made), *_ = meta["audio"].items()
    windows = drivers.speech(config.audio, name, made, fps)
    if not len(windows):
        raise InputError(f"{config.audio} holds no sound.", "Choose another --audio.")
    if config.silence_gate:
        windows = silence_gate(windows, read_audio(config.audio), registry.create("audio", name), fps)
    return np.zeros_like(windows) if meta.get("speech") == "none" else windows
