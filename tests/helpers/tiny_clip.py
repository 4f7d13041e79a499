"""A prepared clip of a few small frames, written without any tracker."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from jean.clips.clip import FORMAT
from jean.features.audio.logmel import LogMel
from jean.files import sha256, write_json
from jean.geometry import Camera, invert_pose, make_pose, project, rotation_matrix
from jean.media import write_wav

NAMES = ["browInnerUp", "eyeBlinkLeft", "jawOpen"]


def make_clip(folder: Path, frames: int = 20, size: int = 48, sound: bool = True, seed: int = 0) -> Path:
    """A ball with two dark eyes before a grey wall, turning to and fro; its mouth opens with the sound."""
    import cv2

    folder.mkdir(parents=True, exist_ok=True)
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
    np.stack(images).tofile(folder / "frames.u8")
    np.stack(mattes).astype(np.uint8).tofile(folder / "matte.u8")
    cv2.imwrite(str(folder / "background.png"), np.full((size, size, 3), 128, np.uint8))
    expression = np.stack([np.sin(times), random.random(frames), opening], -1).astype(np.float32)
    arrays = {
        "times_s": times,
        "valid": np.ones(frames, bool),
        "landmarks": np.stack(marks).astype(np.float32),
        "irises": np.full((frames, 2, 2), np.nan, np.float32),
        "camera_to_world": np.stack(poses),
        "tracker_camera_to_world": np.stack(poses),
        "shape": shape,
        "expression": expression,
    }
    save_file(arrays, str(folder / "arrays.safetensors"))
    audio = None
    if sound:
        samples = np.arange(int(frames / 25 * 16000)) / 16000
        wave = (0.3 * np.sin(2 * np.pi * 220 * samples) * (0.5 + 0.5 * np.sin(2 * np.pi * 3 * samples))).astype(
            np.float32
        )
        write_wav(folder / "audio.wav", wave, 16000)
        windows = random.random((frames, LogMel.window, LogMel.width)).astype(np.float32)
        windows += opening[:, None, None].astype(np.float32)
        save_file({"logmel": windows}, str(folder / "audio_features.safetensors"))
        audio = {
            "logmel": {
                "version": LogMel.version,
                "width": LogMel.width,
                "window": LogMel.window,
                "rate_hz": LogMel.rate_hz,
            }
        }
    files = ["frames.u8", "matte.u8", "arrays.safetensors", "background.png"]
    write_json(
        folder / "clip.json",
        {
            "kind": "clip",
            "format": FORMAT,
            "frames": frames,
            "size_px": size,
            "fps": 25.0,
            "camera": {"focal_px": camera.focal_px, "center_px": list(camera.center_px)},
            "tracker": {"name": "truth", "version": "1"},
            "expression": {"name": "truth", "version": "1", "names": NAMES, "upper": [True, True, False]},
            "audio": audio,
            "matting": {"name": "none", "version": "1"},
            "files": {name: {"sha256": sha256(folder / name)} for name in files},
        },
    )
    return folder
