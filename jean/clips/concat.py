"""Joining short videos of one emotion into one clip (section 8.4.1): which of them fit together, and how to join them.

The paper joins videos that (1) were recorded one after the other, shown by the absence of a jump in pose and distance
between them, (2) have the same fitted focal length, and (3) have similar pose distributions; about 15 s per emotion. It
gives no thresholds; these are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jean.clips.audio_track import AudioTrack
from jean.clips.clip import Clip
from jean.clips.writer import ClipWriter
from jean.geometry import invert_pose, mean_pose, rotation_angle

JUMP_CM, JUMP_RAD = 4.0, np.radians(12)  # (1): largest change from the end of one clip to the start of the next
# (2): largest relative difference of focal lengths. Fits to three seconds of the synthetic speaker, whose focal length
# is known, are up to 20 % wrong.
FOCAL_TOLERANCE = 0.25
APART_CM, APART_RAD = 5.0, np.radians(10)  # (3): largest difference of mean poses
_PER_FRAME = ("times_s", "valid", "landmarks", "irises", "camera_to_world", "tracker_camera_to_world", "expression")


def jump(first: Clip, clip: Clip) -> list[str]:
    """Reasons why ``clip`` was not recorded right after ``first``, (1); empty if there are none."""
    end = _head(first.arrays["camera_to_world"][-1])
    start = _head(clip.arrays["camera_to_world"][0], first.camera.focal_px / clip.camera.focal_px)
    return ["the head jumps"] if _distance(end, start) > JUMP_CM or _angle(end, start) > JUMP_RAD else []


def unlike(clip: Clip, reference: Clip, focal_tolerance: float = FOCAL_TOLERANCE) -> list[str]:
    """Reasons why ``clip`` differs from ``reference`` in focal length, (2), or poses, (3); empty if it does not."""
    reasons = []
    if abs(clip.camera.focal_px / reference.camera.focal_px - 1) > focal_tolerance:
        reasons.append("another focal length")
    scale = reference.camera.focal_px / clip.camera.focal_px
    means = [_head(mean_pose(c.arrays["camera_to_world"]), s) for c, s in ((reference, 1.0), (clip, scale))]
    if _distance(*means) > APART_CM or _angle(*means) > APART_RAD:
        reasons.append("other poses")
    return reasons


def _head(camera_to_world: np.ndarray, focal_scale: float = 1.0) -> np.ndarray:
    """The pose of the head in the camera, at the distance that keeps its size under ``focal_scale`` · focal length."""
    head = invert_pose(np.asarray(camera_to_world, np.float64))
    head[2, 3] *= focal_scale
    return head


def _distance(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.linalg.norm(first[:3, 3] - second[:3, 3]))


def _angle(first: np.ndarray, second: np.ndarray) -> float:
    return float(rotation_angle(first[:3, :3], second[:3, :3]))


def choose(
    clips: Sequence[Clip], seconds: float, reference: Clip | None = None, focal_tolerance: float = FOCAL_TOLERANCE
) -> tuple[list[int], dict[str, list[str]]]:
    """Chooses the run of neighbouring clips that fit together and comes closest to a duration.

    Args:
        clips: in the order in which they were recorded.
        seconds: duration that is enough.
        reference: a clip that all must be like; None: the first clip of each run.
        focal_tolerance: largest relative difference of focal lengths.

    Returns:
        Indices of the chosen clips, and the reasons against each other clip, by folder name.
    """
    runs: list[list[int]] = []
    reasons: dict[str, list[str]] = {}
    for number, clip in enumerate(clips):
        run = runs[-1] if runs else []
        against = unlike(clip, reference, focal_tolerance) if reference else []
        follows = not against and bool(run) and run[-1] == number - 1
        if follows:
            against = jump(clips[run[-1]], clip)
            against += unlike(clip, clips[run[0]], focal_tolerance) if reference is None else []
        if against:
            reasons[clip.folder.name] = against
        if follows and not against:
            run.append(number)
        elif reference is None or not unlike(clip, reference, focal_tolerance):
            runs.append([number])

    def duration_s(run: list[int]) -> float:
        return sum(clips[i].frame_count / clips[i].fps for i in run)

    best = max(runs, key=lambda run: min(duration_s(run), seconds), default=[])
    chosen: list[int] = []
    while len(chosen) < len(best) and duration_s(chosen) < seconds:
        chosen.append(best[len(chosen)])
    names = {clips[i].folder.name for i in chosen}
    others = [clip.folder.name for clip in clips if clip.folder.name not in names]
    return chosen, {name: reasons.get(name, ["not needed"]) for name in others}


def join(clips: Sequence[Clip], folder: Path, left_out: dict[str, list[str]] | None = None) -> Clip:
    """Writes one clip from several that were cut alike (``crop=centre``).

    The result has the first clip's focal length. Heads of other clips are moved along the camera's axis so that they
    keep their size in the frame.

    Args:
        clips: in order.
        folder: of the result.
        left_out: clips that were not joined, with the reasons, for ``clip.json``.

    Raises:
        ArtefactError: clips that differ in size, frame rate, tracker, expression coefficients or features.
        InputError: some clips have sound, others do not.
    """
    first = clips[0]
    spec = first.spec("size_px", "fps", "tracker", "expression", "audio", "emotion")
    for clip in clips[1:]:
        clip.require(spec, first.folder)
        first.require(clip.spec("audio", "emotion"), clip.folder)
    writer = ClipWriter(folder)
    arrays = _joined_arrays(clips)
    writer.arrays(arrays)
    with writer.pictures() as pictures:
        for clip in clips:
            for image, matte in zip(clip.frames, clip.matte, strict=True):
                pictures.write(image, matte)
    writer.background(first.background)
    if any(clip.audio_path for clip in clips):
        writer.sound(np.concatenate([_wave(clip) for clip in clips]))
    if first.audio_specs:
        tracks = {k: AudioTrack.joined([c.audio_features[k] for c in clips]) for k in first.audio_specs}
        writer.audio_features(tracks)
    if first.meta.emotion:
        features = {k: np.concatenate([c.emotion_features[k] for c in clips]) for k in first.meta.emotion}
        writer.emotion_features(features)
    shared = ("size_px", "fps", "camera", "tracker", "expression", "audio", "emotion", "matting", "prepare_version")
    return writer.finish(
        **{name: getattr(first.meta, name) for name in shared},
        frames=len(arrays["valid"]),
        valid=int(arrays["valid"].sum()),
        joined=[clip.folder.name for clip in clips],
        left_out=left_out or None,
    )


def _joined_arrays(clips: Sequence[Clip]) -> dict[str, np.ndarray]:
    """The per-frame arrays of all clips, under the first clip's focal length."""
    first = clips[0]
    arrays = {name: np.concatenate([clip.arrays[name] for clip in clips]) for name in _PER_FRAME}
    poses = []
    for clip in clips:
        head = invert_pose(clip.arrays["camera_to_world"])
        head[:, 2, 3] *= first.camera.focal_px / clip.camera.focal_px
        poses.append(invert_pose(head))
    arrays["camera_to_world"] = np.concatenate(poses)
    arrays["times_s"] = np.arange(len(arrays["valid"])) / first.fps
    arrays["shape"] = np.mean([clip.arrays["shape"] for clip in clips], 0).astype(np.float32)
    return arrays


def _wave(clip: Clip) -> np.ndarray:
    """The clip's sound, float32 [S], cut or padded with silence to the duration of its frames."""
    from jean.media import read_audio
    from jean.media.rates import RATE_HZ

    wave, samples = read_audio(clip.sound()), round(clip.frame_count / clip.fps * RATE_HZ)
    return np.pad(wave[:samples], (0, max(0, samples - len(wave))))
