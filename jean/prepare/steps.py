"""The steps of ``jean prepare``: each reads files of the steps before it and writes its own.

Every function here is the work of one step in a ``StepStore``: it writes into the folder it is given and
returns JSON values. Videos are streamed; what is kept in memory at once is one frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jean import landmarks as ibug
from jean.drivers.audio_windows import extract_windows
from jean.errors import InputError
from jean.features.base import AudioFeatures, EmotionFeatures, FaceTracker, Matting
from jean.geometry import Camera
from jean.prepare import face_motion
from jean.prepare.config import PrepareConfig
from jean.prepare.crop import Crop, choose_crop
from jean.prepare.tracking import choose_face
from jean.prepare.tracking.tracks import Tracks, write_tracks
from jean.progress import Progress

RATE_HZ = 16000
PIECE = 2000  # frames of points converted at once
DENSE_POINTS = 200  # from here on a tracker's points span a surface that pictures can be laid upon


def track(folder: Path, video: Path, fps: float, tracker: FaceTracker, total: int, progress: Progress) -> Any:
    """Finds every face in every frame."""
    from jean.media import read_frames

    with progress.task("finding the face", total) as advance:
        info = write_tracks(folder, read_frames(video, fps, warn=progress.warn), tracker, lambda count: advance(count))
    if info["frames"] == 0:
        raise InputError(f"{video.name} has no frame that can be decoded.", "Convert it, e.g. to H.264 in mp4.")
    return info


def choose(folder: Path, tracks: Tracks, fps: float, face: str | None) -> dict[str, Any]:
    """Chooses the person and the crop; writes the chosen face of each frame."""
    everyone = np.arange(len(tracks.frame))
    boxes = ibug.bounding_box(tracks.values("landmarks", everyone))
    choice = choose_face.choose(tracks.frame, tracks.person, boxes, len(tracks.times_s), fps, face)
    (folder / "chosen.i32").write_bytes(choice.face.tobytes())
    crop = choose_crop(boxes[choice.face[choice.face >= 0]], tracks.width_px, tracks.height_px)
    return {
        "crop": crop.to_json(),
        "valid": int((choice.face >= 0).sum()),
        "no_face": choice.no_face,
        "several_faces": choice.several,
        "people": choice.people,
        "successive": choice.successive,
    }


def crop_frames(folder: Path, video: Path, fps: float, crop: Crop, size_px: int, total: int, progress: Progress) -> Any:
    """Writes the square crop of every frame."""
    from jean.media import read_frames

    count = 0
    with open(folder / "frames.u8", "wb") as out, progress.task("cropping", total) as advance:
        # what is wrong with the file was said while tracking
        for _, image in read_frames(video, fps, warn=lambda _: None):
            out.write(crop.image(image, size_px).tobytes())
            count += 1
            advance(1)
    if count != total:
        raise InputError(f"{video.name} gave {count} frames where it gave {total} before.", "Is it still written?")
    return {"frames": count}


def fit(
    folder: Path,
    tracks: Tracks,
    chosen: np.ndarray,
    crop: Crop,
    frames: np.ndarray,
    config: PrepareConfig,
    tracker: FaceTracker,
    progress: Progress,
) -> dict[str, Any]:
    """Fits camera, head shape and poses; writes every array of the clip."""
    from safetensors.numpy import save

    from jean.geometry import fill_poses
    from jean.prepare.head_fit.camera_fit import fit_camera

    fps, size_px = config.fps, frames.shape[1]
    weights = landmark_weights(tracker, tracks)
    whole = tracks.width_px, tracks.height_px
    center = whole[0] / 2, whole[1] / 2
    guess = Camera(tracker.assumed_focal_px(*whole), center, *whole)
    guess = guess.cropped(crop.left_px, crop.top_px, crop.side_px, size_px)
    points = _crop_points(folder / "points.f32", tracks, chosen, crop, size_px)
    valid = chosen >= 0
    own_poses = tracks.values("camera_to_world", chosen).astype(np.float64)
    found = fit_camera(
        points,
        valid,
        canonical=tracker.canonical_points,
        stable_points=tracker.stable_points,
        eye_corners=(int(weights[ibug.RIGHT_EYE_OUTER].argmax()), int(weights[ibug.LEFT_EYE_OUTER].argmax())),
        camera_guess=guess,
        initial_camera_to_world=own_poses if np.isfinite(own_poses[valid]).all() else None,
        fps=fps,
        seed=config.seed,
    )
    if config.refine and points.shape[1] >= DENSE_POINTS:
        from jean.prepare.head_fit.pose_refinement import passes, refine_with_frames

        with progress.task("poses from pictures", passes(int(valid.sum()))) as advance:
            found = refine_with_frames(found, frames, fps=fps, points=points, advance=advance)
    (folder / "points.f32").unlink()
    shape = (weights @ found.shape).astype(np.float32)
    if tracker.expression_names:
        expression = ibug.fill_gaps(tracks.values("expression", chosen), valid)
        naming = (tracker.name, tracker.version, tracker.expression_names, tracker.upper_face)
    else:
        expression = face_motion.displacements(found.coefficients, np.einsum("lp,kpc->klc", weights, found.basis))
        naming = ("motion", f"{face_motion.VERSION}+{tracker.version}", face_motion.NAMES, face_motion.UPPER)
    arrays = {
        "times_s": tracks.times_s.astype(np.float64),
        "valid": valid,
        "landmarks": crop.points(tracks.values("landmarks", chosen), size_px).astype(np.float32),
        "irises": crop.points(tracks.values("irises", chosen), size_px).astype(np.float32),
        "camera_to_world": fill_poses(np.asarray(found.camera_to_world, np.float64), valid),
        "tracker_camera_to_world": own_poses,
        "shape": shape,
        "expression": expression.astype(np.float32),
    }
    # written by hand: the library's own writer makes files that only their owner may read
    content = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    (folder / "arrays.safetensors").write_bytes(content)
    return {
        "camera": {"focal_px": float(found.camera.focal_px), "center_px": [float(x) for x in found.camera.center_px]},
        "expression": dict(zip(("name", "version", "names", "upper"), naming, strict=True)),
        "report": found.report,
    }


def landmark_weights(tracker: FaceTracker, tracks: Tracks) -> np.ndarray:
    """float32 [68, P]: the iBUG-68 points as combinations of the tracker's points."""
    count = tracks.columns["points"][1][0]
    if count == ibug.COUNT:
        return np.eye(ibug.COUNT, dtype=np.float32)
    weights: np.ndarray = tracker.landmark_weights  # type: ignore[attr-defined]
    return weights


def _crop_points(path: Path, tracks: Tracks, chosen: np.ndarray, crop: Crop, size_px: int) -> np.ndarray:
    """float32 [T, P, 2]: the tracker's points in px of the crop, on disk."""
    count = tracks.columns["points"][1][0]
    points = np.memmap(path, np.float32, "w+", shape=(len(chosen), count, 2))
    for first in range(0, len(chosen), PIECE):
        piece = slice(first, first + PIECE)
        points[piece] = crop.points(tracks.values("points", chosen[piece]), size_px)
    return points


def matte(
    folder: Path, frames: np.ndarray, landmarks: np.ndarray, matting: Matting, progress: Progress
) -> dict[str, Any]:
    """Separates head, torso and background."""

    def shown() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for image, points in zip(frames, landmarks, strict=True):
            yield np.asarray(image), points

    with open(folder / "matte.u8", "wb") as out, progress.task("matting", len(frames)) as advance:
        for opacity in matting.segment(shown()):
            out.write(np.ascontiguousarray(opacity, np.uint8).tobytes())
            advance(1)
    return {}


def feel(
    folder: Path, frames: np.ndarray, landmarks: np.ndarray, extractors: list[EmotionFeatures], progress: Progress
) -> dict[str, Any]:
    """Writes each extractor's vector for every frame; frames without a face are filled from their neighbours."""
    from safetensors.numpy import save

    found = {}
    for extractor in extractors:
        with progress.task(extractor.name, len(frames)) as advance:
            rows = []
            pairs = ((np.asarray(image), points) for image, points in zip(frames, landmarks, strict=True))
            for row in extractor.extract(pairs):
                rows.append(row)
                advance(1)
        values = np.stack(rows).astype(np.float32)
        known = np.asarray(np.isfinite(values).all(1))
        if not known.any():
            raise InputError(f"{extractor.name} finds no face in any frame.", "Check the crop with --preview.")
        found[extractor.name] = ibug.fill_gaps(values, known)
    (folder / "emotion_features.safetensors").write_bytes(save({k: np.ascontiguousarray(v) for k, v in found.items()}))
    return {}


def plate(folder: Path, frames: np.ndarray, mattes: np.ndarray) -> dict[str, Any]:
    """Writes the clean background."""
    import cv2

    from jean.prepare.background import background_plate

    image = background_plate(frames, mattes)
    cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tofile(folder / "background.png")
    return {}


def sound(folder: Path, source: Path | None, progress: Progress) -> dict[str, Any]:
    """Writes the whole sound of a file as 16 kHz mono; nothing where there is none."""
    if source is None:
        return {"samples": 0}
    from jean.media import read_audio, write_wav

    wave = read_audio(source, RATE_HZ, progress.warn)
    write_wav(folder / "audio.wav", wave, RATE_HZ)
    return {"samples": len(wave)}


def listen(
    folder: Path, wav: Path, extractors: list[AudioFeatures], frame_count: int, fps: float, progress: Progress
) -> dict[str, Any]:
    """Writes each extractor's window for every frame."""
    from safetensors.numpy import save

    from jean.media import read_audio

    wave = read_audio(wav, RATE_HZ, progress.warn)
    windows = {extractor.name: extract_windows(extractor, wave, frame_count, fps) for extractor in extractors}
    for name, values in windows.items():
        if not np.isfinite(values).all():
            raise InputError(f"the {name} features of the sound hold values that are not numbers.", "Check the sound.")
    (folder / "audio_features.safetensors").write_bytes(save({k: np.ascontiguousarray(v) for k, v in windows.items()}))
    return {}
