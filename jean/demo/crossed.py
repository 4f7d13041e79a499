"""The truth of a render that no camera ever saw: speech of one clip, expression of another, pose of a third.

The synthetic speaker is moved by separate tracks, so it can be drawn doing exactly what the render was
asked for: the mouth's speech controls of the first clip, the face's other controls of the second, the
head's motion of the third, before white, through the camera of the clip that was trained on.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from jean.clips.clip import FORMAT, Clip
from jean.demo.plan import DemoClip
from jean.drivers.person_frames import HELD_OUT_FRACTION
from jean.drivers.resampling import source_positions
from jean.drivers.support import PoseSupport
from jean.features.trackers.truth_file import load_truth
from jean.files import atomic_path, write_json
from jean.progress import Progress
from jean.synthetic_speaker.controls import CONTROLS, SPEECH_CONTROLS
from jean.synthetic_speaker.draw import SUPERSAMPLING, draw
from jean.synthetic_speaker.face import mouth_opening, move
from jean.synthetic_speaker.identity import identity
from jean.synthetic_speaker.performance import (
    NECK_CM,
    Performance,
    clip_camera,
    head_to_camera,
    iris_centers,
    perform,
    project,
)
from jean.synthetic_speaker.speaker import build_speaker
from jean.synthetic_speaker.speech import RATE_HZ
from jean.synthetic_speaker.tracks import Motion

VIDEO = "truth.mp4"


def combine(speech: Performance, expression: Performance, pose: Performance) -> Performance:
    """The performance with the sound and lips of the first, the face of the second, the head of the third.

    It is as long as ``speech``; the others are played there and back where they end sooner, as ``render``
    does.
    """
    times = (np.arange(speech.frame_count) + 0.5) / speech.fps
    seen, held = (
        np.round(source_positions(times, other.fps, other.frame_count, "mirror")).astype(int)
        for other in (expression, pose)
    )
    controls = expression.motion.controls[seen]
    columns = [CONTROLS.index(name) for name in SPEECH_CONTROLS]
    controls[:, columns] = speech.motion.controls[:, columns]
    moves = Motion(controls, pose.motion.turn_rad[held], pose.motion.shift_cm[held], expression.motion.strength[seen])
    return replace(speech, motion=moves)


def head_poses(source: Performance, trained_video: Path, count: int) -> np.ndarray:
    """True ``camera_to_world`` [count, 4, 4] of the head, as ``render --pose`` gives them for this source.

    The motion about the source's mean pose is put onto the mean pose of the training frames, from true poses.

    Args:
        source: the performance that the poses come from.
        trained_video: the video trained on.
        count: frames of the result; a shorter source is played there and back.
    """
    own = load_truth(trained_video).arrays["camera_to_world"]
    shown = len(own) - max(1, round(len(own) * HELD_OUT_FRACTION))
    theirs = np.stack([head_to_camera(source.motion, t)[0] for t in range(source.frame_count)])
    track = PoseSupport.fit(own[:shown]).retarget(np.linalg.inv(theirs))
    times = (np.arange(count) + 0.5) / source.fps
    return track[np.round(source_positions(times, source.fps, source.frame_count, "mirror")).astype(int)]


def write_truth_clip(
    folder: Path,
    clips: dict[str, DemoClip],
    person: int,
    size_px: int,
    trained: Clip,
    trained_video: Path,
    progress: Progress,
) -> dict[str, Any]:
    """Writes the truth as a clip folder (exact mattes, landmarks and poses) and as ``truth.mp4`` in it.

    Args:
        folder: the clip folder.
        clips: by role: ``speech``, ``expression``, ``pose``.
        person: seed of the speaker.
        size_px: side of the synthetic videos.
        trained: the prepared clip whose camera the render has; trained_video: its video.

    Returns:
        ``frames`` and the true ``mouth_opening`` [T], in inter-ocular distances.
    """
    who = identity(person)
    drawn = {
        role: perform(who, clip.emotion, clip.strength, seconds=clip.seconds, seed=clip.seed)
        for role, clip in clips.items()
    }
    performance = combine(drawn["speech"], drawn["expression"], drawn["pose"])
    speaker = build_speaker(who)
    crop, size = trained.meta["crop"], trained.size_px
    camera = clip_camera(size_px).cropped(crop["left_px"], crop["top_px"], crop["side_px"], size)
    poses = head_poses(drawn["pose"], trained_video, performance.frame_count)
    white = np.full((size * SUPERSAMPLING, size * SUPERSAMPLING, 3), 255.0, np.float32)
    count = performance.frame_count
    landmarks, irises = np.empty((count, 68, 2), np.float32), np.empty((count, 2, 2), np.float32)
    opening = np.empty(count)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "clip.json").unlink(missing_ok=True)
    from jean.media import VideoWriter, write_wav

    sound = (performance.wave, RATE_HZ)
    with (
        atomic_path(folder / "frames.u8") as frames_path,
        atomic_path(folder / "matte.u8") as matte_path,
        open(frames_path, "wb") as frames,
        open(matte_path, "wb") as mattes,
        VideoWriter(folder / VIDEO, (size, size), performance.fps, sound) as writer,
        progress.task("draw the truth", count) as advance,
    ):
        for t in range(count):
            controls = dict(zip(CONTROLS, performance.motion.controls[t], strict=True))
            head = np.linalg.inv(poses[t])
            body = _body(performance, t, head)
            picture = draw(speaker, controls, head, body, camera, white)
            points = move(speaker.face, controls)[speaker.face.landmarks]
            landmarks[t] = project(points, head, camera)
            irises[t] = project(iris_centers(speaker.face, controls), head, camera)
            opening[t] = mouth_opening(points)
            frames.write(picture.image.tobytes())
            mattes.write(picture.matte.tobytes())
            writer.write(picture.image)
            advance(1)
    from safetensors.numpy import save

    arrays = {
        "times_s": np.arange(count) / performance.fps,
        "valid": np.ones(count, bool),
        "landmarks": landmarks,
        "irises": irises,
        "camera_to_world": poses,
        "tracker_camera_to_world": poses,
        "shape": move(speaker.face, {})[speaker.face.landmarks].astype(np.float32),
        "expression": performance.motion.controls.astype(np.float32),
    }
    with atomic_path(folder / "arrays.safetensors") as temporary:
        temporary.write_bytes(save({name: np.ascontiguousarray(value) for name, value in arrays.items()}))
    write_wav(folder / "audio.wav", performance.wave, RATE_HZ)
    write_json(folder / "clip.json", _meta(trained, camera.focal_px, camera.center_px, count))
    return {"frames": count, "mouth_opening": opening.tolist()}


def _body(performance: Performance, frame: int, head: np.ndarray) -> np.ndarray:
    """The body under a head that was moved to another place: it goes along, and does not turn."""
    drawn_head, drawn_body = head_to_camera(performance.motion, frame)
    pivot = np.array([*NECK_CM, 1.0])
    body = drawn_body.copy()
    body[:3, 3] += (head @ pivot - drawn_head @ pivot)[:3]
    return body


def _meta(trained: Clip, focal_px: float, center_px: tuple[float, float], count: int) -> dict[str, Any]:
    return {
        "kind": "clip",
        "format": FORMAT,
        "frames": count,
        "size_px": trained.size_px,
        "fps": trained.fps,
        "camera": {"focal_px": focal_px, "center_px": list(center_px)},
        "tracker": {"name": "truth", "version": "1"},
        "expression": trained.meta["expression"],
    }
