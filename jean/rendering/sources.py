"""What drives a video per frame: speech, expression and pose, at the video's rate and length, within the support."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from jean.checkpoint import Checkpoint
from jean.drivers import sources
from jean.drivers.audio_windows import neighbour_rows
from jean.drivers.filters import silence_gate
from jean.drivers.person import Person
from jean.errors import InputError
from jean.features import registry
from jean.media import read_audio
from jean.models.talking_head import Frames, TalkingHead
from jean.progress import Progress
from jean.rendering.config import RenderConfig
from jean.rendering.expression import expressions
from jean.rendering.limits import NOTABLE, Reduction, warn_of_reductions
from jean.rendering.poses import head_poses, orbit_camera
from jean.types import Camera


@dataclass(frozen=True)
class Drive:
    """Drivers of the T frames of a video.

    Attributes:
        camera: intrinsics, the same in every frame.
        poses: camera_to_world [T, 4, 4].
        own_frames: frame of the training clip [T] that each pose belongs to; None where the poses come from elsewhere.
        speech: the audio part of e_in, float32 [T, audio_width].
        expression: expression vectors, float32 [T, E].
        offsets: landmark offsets from the rigid head, float32 [T, 68, 2], cm.
        reductions: how much the support limit has taken from each driver, by name.
    """

    camera: Camera
    poses: np.ndarray
    own_frames: np.ndarray | None
    speech: np.ndarray
    expression: np.ndarray
    offsets: np.ndarray
    reductions: dict[str, Reduction]

    def __len__(self) -> int:
        return len(self.poses)

    def frame(self, index: int, device: torch.device) -> Frames:
        """The model's input for one frame."""
        return Frames(
            camera_to_world=torch.from_numpy(self.poses[index].astype(np.float32))[None].to(device),
            focal_px=torch.tensor([self.camera.focal_px], device=device),
            center_px=torch.tensor([self.camera.center_px], device=device),
            audio=None,
            lips=torch.from_numpy(self.speech[index])[None].to(device),
            expression=torch.from_numpy(self.expression[index])[None].to(device),
            offsets=torch.from_numpy(self.offsets[index])[None].to(device),
        )


def gather(
    config: RenderConfig,
    checkpoint: Checkpoint,
    model: TalkingHead,
    person: Person,
    fps: float,
    size: int,
    progress: Progress,
) -> Drive:
    """Reads the three sources and limits them to the person's support. The speech decides the number of frames.

    Raises:
        UsageError: an expression that the run does not know or take.
        InputError: a source without sound, face or poses.
        ArtefactError: a source prepared for other features than the run's.
    """
    meta, support = checkpoint.payload["meta"], person.support
    windows = _windows(config, meta, fps)
    times = (np.arange(len(windows)) + 0.5) / fps
    expression, offsets = expressions(config, checkpoint, person, times, progress)
    poses, own_frames = head_poses(config, person, times, fps)
    neighbours = meta["model"].get("audio_attention", 0)
    heard = neighbour_rows(len(windows), neighbours, fps / float(meta["fps"])) if neighbours else np.arange(len(times))
    speech = _speech(model, windows, heard)
    left: dict[str, np.ndarray] = {}
    expression, left["expression"] = support.expression.limit(expression)
    offsets, left["upper_offsets"], lower = support.limit_offsets(offsets)
    if not meta["model"].get("spoken", True):  # otherwise speech decides the lower face
        left["lower_offsets"] = lower
    poses, left["pose"] = support.pose.limit(poses)
    if support.lips is not None:
        speech, left["lips"] = support.lips.limit(speech)
    reductions = {name: Reduction.of(fraction) for name, fraction in left.items()}
    warn_of_reductions(reductions, config, progress.warn)
    poses = orbit_camera(poses, config, times)
    if support.pose.limit(poses)[1].min() < 1 - NOTABLE:
        progress.warn(
            "--yaw, --pitch or --orbit turn the head further than training has shown: its sides may break up."
        )
    return Drive(
        person.camera.resized(size),
        poses,
        own_frames,
        speech.astype(np.float32),
        expression.astype(np.float32),
        offsets.astype(np.float32),
        reductions,
    )


def _windows(config: RenderConfig, meta: dict[str, Any], fps: float) -> np.ndarray:
    """Audio windows [T, window, D] of the whole sound."""
    assert config.audio is not None  # render() saw to it
    (name, made), *_ = meta["audio"].items()
    windows = sources.speech(config.audio, name, made, fps)
    if not len(windows):
        raise InputError(f"{config.audio} holds no sound.", "Choose another --audio.")
    if config.silence_gate:
        windows = silence_gate(windows, read_audio(config.audio), registry.create("audio", name), fps)
    return np.zeros_like(windows) if meta.get("speech") == "none" else windows


@torch.no_grad()
def _speech(model: TalkingHead, windows: np.ndarray, heard: np.ndarray, batch: int = 256) -> np.ndarray:
    """The audio part of e_in [T, audio_width].

    Args:
        windows: [T, window, D]; heard: rows of it that each frame takes, int [T], or [T, N] for a smoothing model.
        batch: frames at a time.
    """
    device = model.expression_mean.device
    parts = [
        model.audio_embedding(torch.from_numpy(windows[heard[start : start + batch]]).to(device))
        for start in range(0, len(windows), batch)
    ]
    return torch.cat(parts).cpu().numpy()
