"""Ground truth of a cross-driven render: speech of one clip, expression of a second, pose of a third.

The synthetic speaker is moved by independent tracks. It can therefore be drawn with the speech controls of the
first clip, the other facial controls of the second and the head motion of the third, before a white background,
through the camera of a training clip. This is what the render should show.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from jean.clips.clip import Clip
from jean.clips.meta import CameraMeta, ExpressionSpec
from jean.clips.writer import ClipWriter, audio_spec
from jean.demo.demo_clips import DemoClip
from jean.drivers.audio_windows import extract_track
from jean.drivers.person_frames import HELD_OUT_FRACTION
from jean.drivers.pose_support import PoseSupport
from jean.drivers.resampling import source_positions
from jean.features import registry
from jean.features.trackers.truth_file import load_truth
from jean.media.rates import RATE_HZ
from jean.progress import Progress
from jean.synthetic_speaker.controls import CONTROLS, SPEECH_CONTROLS, UPPER_CONTROLS
from jean.synthetic_speaker.draw import SUPERSAMPLING, draw_frame
from jean.synthetic_speaker.face_rig import deform_skin, mouth_opening
from jean.synthetic_speaker.performance import (
    NECK_CM,
    Performance,
    clip_camera,
    head_to_camera,
    iris_centers,
    perform,
    project_to_pixels,
)
from jean.synthetic_speaker.speaker import build_speaker
from jean.synthetic_speaker.speaker_identity import sample_identity
from jean.synthetic_speaker.speaker_motion import SpeakerMotion
from jean.synthetic_speaker.track_clips import TRUTH

VIDEO = "truth.mp4"  # the drawn frames with sound, inside the clip folder


def cross_driven_performance(speech: Performance, expression: Performance, pose: Performance) -> Performance:
    """Combines sound and lips of one performance, face of a second and head motion of a third.

    The result is as long as ``speech``. Shorter sources are mirrored in time, as ``render`` does it.
    """
    times = (np.arange(speech.frame_count) + 0.5) / speech.fps
    expression_frames, pose_frames = (
        np.round(source_positions(times, other.fps, other.frame_count, "mirror")).astype(int)
        for other in (expression, pose)
    )
    controls = expression.motion.controls[expression_frames]
    columns = [CONTROLS.index(name) for name in SPEECH_CONTROLS]
    controls[:, columns] = speech.motion.controls[:, columns]
    motion = SpeakerMotion(
        controls,
        pose.motion.turn_rad[pose_frames],
        pose.motion.shift_cm[pose_frames],
        expression.motion.strength[expression_frames],
    )
    return replace(speech, motion=motion)


def head_poses(source: Performance, trained_videos: Sequence[Path], count: int) -> np.ndarray:
    """True poses of the head in a render with ``--pose`` of a given source.

    As in ``render``, the source's motion about its mean pose is applied to the mean pose of the training frames.
    Here both come from true poses.

    Args:
        source: performance that gives the poses.
        trained_videos: videos of the training clips.
        count: number of frames; a shorter source is mirrored in time.

    Returns:
        ``camera_to_world`` [count, 4, 4].
    """
    tracks = [load_truth(video).arrays["camera_to_world"] for video in trained_videos]
    train_poses = np.concatenate([t[: len(t) - max(1, round(len(t) * HELD_OUT_FRACTION))] for t in tracks])
    head_transforms = np.stack([head_to_camera(source.motion, t)[0] for t in range(source.frame_count)])
    track = PoseSupport.fit(train_poses).retarget(np.linalg.inv(head_transforms))
    times = (np.arange(count) + 0.5) / source.fps
    return track[np.round(source_positions(times, source.fps, source.frame_count, "mirror")).astype(int)]


def write_truth_clip(
    folder: Path,
    clips: dict[str, DemoClip],
    person: int,
    size_px: int,
    trained: Clip,
    trained_videos: Sequence[Path],
    progress: Progress,
) -> dict[str, Any]:
    """Writes the ground truth as a clip folder with exact mattes, landmarks and poses, and a video in it.

    Args:
        folder: the clip folder; the video is ``truth.mp4`` in it.
        clips: the clip of each role: ``speech``, ``expression``, ``pose``.
        person: seed of the speaker's identity.
        size_px: side of the synthetic videos' frames.
        trained: first prepared training clip; the render has its camera.
        trained_videos: videos of all training clips.
        progress: counts drawn frames.

    Returns:
        ``frames``, and the true ``mouth_opening`` [T] over the inter-ocular distance.
    """
    identity = sample_identity(person)
    performances = {
        role: perform(identity, clip.emotion, clip.strength, seconds=clip.seconds, seed=clip.seed)
        for role, clip in clips.items()
    }
    performance = cross_driven_performance(performances["speech"], performances["expression"], performances["pose"])
    speaker = build_speaker(identity)
    crop, size = trained.meta.crop, trained.size_px
    assert crop is not None  # ``jean prepare`` records it
    camera = clip_camera(size_px).cropped(crop.left_px, crop.top_px, crop.side_px, size)
    poses = head_poses(performances["pose"], trained_videos, performance.frame_count)
    white = np.full((size * SUPERSAMPLING, size * SUPERSAMPLING, 3), 255.0, np.float32)
    count = performance.frame_count
    landmarks, irises = np.empty((count, 68, 2), np.float32), np.empty((count, 2, 2), np.float32)
    opening = np.empty(count)
    from jean.media import VideoWriter

    clip_writer = ClipWriter(folder)
    with (
        clip_writer.pictures() as pictures,
        VideoWriter(folder / VIDEO, (size, size), performance.fps, (performance.wave, RATE_HZ)) as video,
        progress.task("draw the truth", count) as advance,
    ):
        for t in range(count):
            controls = dict(zip(CONTROLS, performance.motion.controls[t], strict=True))
            head = np.linalg.inv(poses[t])
            body = _body_transform(performance, t, head)
            frame = draw_frame(speaker, controls, head, body, camera, white)
            points = deform_skin(speaker.rig, controls)[speaker.rig.landmarks]
            landmarks[t] = project_to_pixels(points, head, camera)
            irises[t] = project_to_pixels(iris_centers(speaker.rig, controls), head, camera)
            opening[t] = mouth_opening(points)
            pictures.write(frame.image, frame.matte)
            video.write(frame.image)
            advance(1)
    clip_writer.arrays(
        {
            "times_s": np.arange(count) / performance.fps,
            "valid": np.ones(count, bool),
            "landmarks": landmarks,
            "irises": irises,
            "camera_to_world": poses,
            "tracker_camera_to_world": poses,
            "shape": deform_skin(speaker.rig, {})[speaker.rig.landmarks].astype(np.float32),
            "expression": performance.motion.controls.astype(np.float32),
        }
    )
    clip_writer.background(np.full((size, size, 3), 255, np.uint8))
    clip_writer.sound(performance.wave)
    extractors = [registry.create("audio", name) for name in trained.audio_specs]
    if extractors:
        wave = performance.wave.astype(np.float32)
        clip_writer.audio_features({e.name: extract_track(e, wave, count, performance.fps) for e in extractors})
    clip_writer.finish(
        frames=count,
        size_px=size,
        fps=float(performance.fps),
        camera=CameraMeta(focal_px=camera.focal_px, center_px=list(camera.center_px)),
        tracker=TRUTH,
        expression=_controls_spec(),
        audio={extractor.name: audio_spec(extractor) for extractor in extractors} or None,
        matting=TRUTH,
        valid=count,
    )
    return {"frames": count, "mouth_opening": opening.tolist()}


def _body_transform(performance: Performance, frame: int, head: np.ndarray) -> np.ndarray:
    """Body transform [4, 4] for a head moved to ``head`` [4, 4]: translated with the neck, not rotated."""
    drawn_head, drawn_body = head_to_camera(performance.motion, frame)
    pivot = np.array([*NECK_CM, 1.0])
    body = drawn_body.copy()
    body[:3, 3] += (head @ pivot - drawn_head @ pivot)[:3]
    return body


def _controls_spec() -> ExpressionSpec:
    """The expression coefficients of the truth: the speaker's own controls."""
    upper = [name in UPPER_CONTROLS for name in CONTROLS]
    return ExpressionSpec(name="truth", version="1", names=list(CONTROLS), upper=upper)
