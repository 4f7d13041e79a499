"""Creates prepared clips of a few small frames, without a tracker."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from jean.clips.audio_track import AudioTrack
from jean.clips.meta import ARRAYS_FILE, META
from jean.clips.writer import ClipWriter, audio_spec, file_facts
from jean.features.audio.logmel import LogMel
from jean.files import read_json, write_json, write_safetensors
from jean.geometry import Camera, invert_pose, make_pose, project, rotation_matrix
from jean.media.rates import RATE_HZ

NAMES = ["browInnerUp", "eyeBlinkLeft", "jawOpen"]


def make_clip(folder: Path, frames: int = 20, size: int = 48, sound: bool = True, seed: int = 0) -> Path:
    """Writes a clip of a turning ball with two dark eyes before a grey wall; its mouth opens with the sound."""
    import cv2

    random = np.random.default_rng(seed)
    camera = Camera(size * 1.6, (size / 2, size / 2), size, size)
    times = np.arange(frames) / 25
    yaw = 0.25 * np.sin(2 * np.pi * times)
    opening = 0.5 + 0.5 * np.sin(2 * np.pi * 3 * times)
    poses, images, mattes, marks = [], [], [], []
    ring = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    shape = np.stack([6 * np.sin(ring), 8 * np.cos(ring), np.full(68, -4.0)], -1).astype(np.float32)
    shape[48:] = np.stack([2 * np.sin(ring[:20] * 3.4), 5 + np.cos(ring[:20] * 3.4), np.full(20, -6.0)], -1)
    for t in range(frames):
        head = make_pose(rotation_matrix(np.array([0.0, yaw[t], 0.0])), np.array([0.0, 0.0, 45.0]))
        pose = invert_pose(head)
        points = project(shape.astype(np.float64), camera, pose)
        image = np.full((size, size, 3), 128, np.uint8)
        mask = np.zeros((size, size), np.uint8)
        centre = (size // 2, size // 2)
        cv2.ellipse(mask, centre, (size // 4, size // 3), 0, 0, 360, 255, -1)
        body = np.zeros_like(mask)
        body[int(size * 0.85) :] = 255
        body[mask > 0] = 0
        image[mask > 0] = (210, 160, 130)
        image[body > 0] = (40, 60, 120)
        for x in (-3.0, 3.0):
            eye = project(np.array([[x, -2.0, -9.0]]), camera, pose)[0]
            cv2.circle(image, (int(eye[0]), int(eye[1])), max(1, size // 24), (20, 20, 30), -1)
        mouth = project(np.array([[0.0, 4.0, -9.0]]), camera, pose)[0]
        cv2.ellipse(
            image,
            (int(mouth[0]), int(mouth[1])),
            (size // 12, int(1 + opening[t] * size / 16)),
            0,
            0,
            360,
            (90, 20, 30),
            -1,
        )
        poses.append(pose)
        images.append(image)
        mattes.append(np.stack([mask, body], -1))
        marks.append(points)
    writer = ClipWriter(folder)
    with writer.pictures() as stream:
        for image, matte in zip(images, mattes, strict=True):
            stream.write(image, matte)
    writer.background(np.full((size, size, 3), 128, np.uint8))
    writer.arrays(
        {
            "times_s": times,
            "valid": np.ones(frames, bool),
            "landmarks": np.stack(marks).astype(np.float32),
            "irises": np.full((frames, 2, 2), np.nan, np.float32),
            "camera_to_world": np.stack(poses),
            "tracker_camera_to_world": np.stack(poses),
            "shape": shape,
            "expression": np.stack([np.sin(times), random.random(frames), opening], -1).astype(np.float32),
        }
    )
    if sound:
        samples = np.arange(int(frames / 25 * RATE_HZ)) / RATE_HZ
        loudness = 0.5 + 0.5 * np.sin(2 * np.pi * 3 * samples)
        writer.sound((0.3 * np.sin(2 * np.pi * 220 * samples) * loudness).astype(np.float32))
        windows = random.random((frames, LogMel.window, LogMel.width)).astype(np.float32)
        windows += opening[:, None, None].astype(np.float32)
        writer.audio_features({"logmel": AudioTrack.of_windows(windows)})
    writer.finish(
        frames=frames,
        size_px=size,
        fps=25.0,
        camera={"focal_px": camera.focal_px, "center_px": list(camera.center_px)},
        tracker={"name": "truth", "version": "1"},
        expression={"name": "truth", "version": "1", "names": NAMES, "upper": [True, True, False]},
        audio={"logmel": audio_spec(LogMel)} if sound else None,
        matting={"name": "none", "version": "1"},
    )
    return folder


def write_clip(folder: Path, images, mattes, arrays=None, fps: float = 25.0, **meta) -> Path:
    """Writes a silent clip of given frames.

    Args:
        folder: the clip folder.
        images: uint8 [T, S, S, 3].
        mattes: uint8 [T, S, S, 2].
        arrays: per-frame arrays that differ from a still face in the middle.
        fps: frames per second.
        meta: fields of ``ClipMeta`` that differ from the defaults here.
    """
    images = np.asarray(images)
    frames, size = images.shape[:2]
    writer = ClipWriter(folder)
    with writer.pictures() as stream:
        for image, matte in zip(images, mattes, strict=True):
            stream.write(image, matte)
    writer.background(images[0])
    still = {
        "times_s": np.arange(frames) / fps,
        "valid": np.ones(frames, bool),
        "landmarks": np.full((frames, 68, 2), size / 2, np.float32),
        "irises": np.full((frames, 2, 2), np.nan, np.float32),
        "camera_to_world": np.tile(np.eye(4), (frames, 1, 1)),
        "tracker_camera_to_world": np.full((frames, 4, 4), np.nan),
        "shape": np.zeros((68, 3), np.float32),
        "expression": np.zeros((frames, 3), np.float32),
    }
    writer.arrays(still | (arrays or {}))
    fields = {
        "camera": {"focal_px": 1.6 * size, "center_px": [size / 2, size / 2]},
        "tracker": {"name": "truth", "version": "1"},
        "expression": {"name": "truth", "version": "1", "names": NAMES, "upper": [True, True, False]},
        "matting": {"name": "none", "version": "1"},
    }
    writer.finish(frames=frames, size_px=size, fps=fps, **{**fields, **meta})
    return folder


def rewrite(folder: Path, arrays=None, **meta) -> Path:
    """Rewrites a clip with other arrays or metadata, and records its files as they are now.

    Args:
        folder: a clip folder.
        arrays: per-frame arrays that replace the clip's own.
        meta: keys of ``clip.json`` that replace the clip's own.
    """
    document = read_json(folder / META)
    if arrays is not None:
        write_safetensors(folder / ARRAYS_FILE, {**load_file(folder / ARRAYS_FILE), **arrays})
    document["files"] = {name: file_facts(folder / name).to_json() for name in document["files"]}
    write_json(folder / META, {**document, **meta})
    return folder


def move_lips(folder: Path) -> Path:
    """Moves the lip landmarks of a ``make_clip`` clip: they open and narrow with its loudness, 3 times per second."""
    landmarks = load_file(folder / ARRAYS_FILE)["landmarks"]
    loud = 0.5 + 0.5 * np.sin(2 * np.pi * 3 * np.arange(len(landmarks)) / 25)
    landmarks[:, 65:68, 1] += 2 * loud[:, None]
    landmarks[:, 48, 0] += loud
    landmarks[:, 54, 0] -= 0.5 * loud
    return rewrite(folder, {"landmarks": landmarks})
