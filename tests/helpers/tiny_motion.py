"""A small motion model with random weights, and clips to train one on, from formulas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from jean.clips.clip import Clip
from jean.clips.meta import ExpressionSpec, ExtractorSpec
from jean.clips.writer import ClipWriter
from jean.drivers.motion_model import FORMAT, MOTION_FILE, MotionFacts, NetworkSizes, save_motion_model
from jean.drivers.motion_sound import WIDTH as SOUND_WIDTH
from jean.drivers.motion_vector import LIPS, WIDTH
from jean.drivers.relocate import relocate, relocate_irises
from jean.geometry import Camera, invert_pose, make_pose, rotation_matrix
from jean.media.rates import RATE_HZ
from jean.models.motion_network import MotionNetwork

EMOTIONS = ["happy", "sad"]
SIZES = {
    "kind": "flow", "width": WIDTH, "lips": LIPS, "sound": SOUND_WIDTH, "emotions": 2, "hidden": 16, "layers": 1,
    "heads": 2, "expressions": 3,
}  # fmt: skip


def face_shape() -> np.ndarray:
    """A rigid face [68, 3], cm, with open eyes."""
    random = np.random.default_rng(5)
    shape = np.concatenate([random.uniform(-6, 6, (68, 2)), np.full((68, 1), -4.0)], 1)
    for side, first in ((-1, 36), (1, 42)):
        x = side * 3.0
        shape[first : first + 6, :2] = np.array([x, -2.66]) + np.array(
            [[-1.4, 0], [-0.5, -0.4], [0.5, -0.4], [1.4, 0], [0.5, 0.4], [-0.5, 0.4]]
        )
    return shape


def random_network(seed: int = 0, kind: str = "flow") -> MotionNetwork:
    """A network with random weights and a basis of random axes."""
    torch.manual_seed(seed)
    network = NetworkSizes(**SIZES | {"kind": kind}).build()
    if kind == "flow":
        torch.nn.init.normal_(network.velocity_out.weight, std=0.3)
    for name in ("face_axes", "lip_axes"):
        getattr(network, name).copy_(0.05 * torch.randn(getattr(network, name).shape))
    network.shape.copy_(torch.from_numpy(face_shape()))
    network.pose.copy_(torch.from_numpy(invert_pose(make_pose(np.eye(3), np.array([0.0, 0.0, 60.0])))))
    network.expression.copy_(0.1 * torch.randn(network.expression.shape))
    network.blink_hazard[0], network.blink_length[0], network.blink_length_std[0] = -3.5, -1.4, 0.1
    return network.eval()


def write_motion_run(folder: Path, tracker: str = "tiny", seed: int = 0) -> Path:
    """A folder with a motion model of random weights, as a run of train-motion leaves one."""
    facts = MotionFacts(
        format=FORMAT,
        network=NetworkSizes(**SIZES),
        emotions=EMOTIONS,
        tracker=ExtractorSpec(name=tracker, version="1"),
        expression=ExpressionSpec(name="tiny", version="1", names=["a", "b", "c"], upper=[True, True, False]),
        focal=1.7,
        people=1,
        synthetic=False,
    )
    folder.mkdir(parents=True, exist_ok=True)
    save_motion_model(folder / MOTION_FILE, random_network(seed).state_dict(), facts)
    return folder


def write_motion_clip(folder: Path, emotion: str, seed: int, frames: int = 90, fps: float = 25.0) -> Path:
    """A clip whose head pitches down when sad and nods with its loudness; it blinks now and then."""
    random, times = np.random.default_rng(seed), np.arange(frames) / fps
    down = {"happy": -0.1, "sad": 0.15}.get(emotion, 0.0)
    beat = 0.5 + 0.5 * np.sin(2 * np.pi * 2 * times + random.uniform(0, 6))
    turn = np.stack([down + 0.08 * beat, 0.1 * np.sin(times + seed), 0 * times], 1)
    poses = invert_pose(make_pose(rotation_matrix(turn), np.tile([0.0, 0.0, 60.0], (frames, 1))))
    shape, camera = face_shape(), Camera(110.0, (32.0, 32.0), 64, 64)
    offsets = 0.02 * random.standard_normal((frames, 68, 2))
    offsets[:, 17:27, 1] += 4 * down
    offsets[:, 57:68, 1] += 0.5 * beat[:, None]
    closed = (np.arange(frames) % 40 >= 20) & (np.arange(frames) % 40 < 24)
    offsets[:, [37, 38, 43, 44], 1] += 0.7 * closed[:, None]
    gaze = np.stack([8 * np.sign(np.sin(3 * times + seed)), 0 * times], 1)
    wave = np.zeros(round(frames / fps * RATE_HZ), np.float32)
    seconds = np.arange(len(wave)) / RATE_HZ
    tone = sum(np.sin(2 * np.pi * 130 * k * seconds) / k for k in range(1, 9))
    wave += (0.1 * tone * np.interp(seconds, times, beat)).astype(np.float32)
    writer = ClipWriter(folder)
    writer.arrays(
        {
            "times_s": times,
            "valid": np.ones(frames, bool),
            "landmarks": relocate(shape, offsets, poses, camera).astype(np.float32),
            "irises": relocate_irises(shape, offsets, gaze, poses, camera).astype(np.float32),
            "camera_to_world": poses,
            "tracker_camera_to_world": poses,
            "shape": shape.astype(np.float32),
            "expression": np.stack([beat, turn[:, 0], 0 * beat], 1).astype(np.float32),
        }
    )
    writer.sound(wave)
    writer.finish(
        pictures=False,
        frames=frames,
        size_px=64,
        fps=fps,
        camera={"focal_px": camera.focal_px, "center_px": list(camera.center_px)},
        tracker={"name": "tiny", "version": "1"},
        expression={"name": "tiny", "version": "1", "names": ["a", "b", "c"], "upper": [True, True, False]},
        valid=frames,
    )
    return Clip.open(folder, pictures=False).folder


def write_motion_clips(folder: Path, people: int = 3, frames: int = 90) -> Path:
    """Clips FOLDER/pN/EMOTION_001 of several people."""
    for person in range(people):
        for number, emotion in enumerate(("neutral", *EMOTIONS)):
            write_motion_clip(folder / f"p{person}" / f"{emotion}_001", emotion, 10 * person + number, frames)
    return folder
