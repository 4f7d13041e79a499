"""The steps of ``jean prepare``: each reads the results of earlier steps and writes its own files.

Every function here is the work of one step of a ``StepStore``: it writes into the folder that it is given and returns
JSON values. Videos are streamed: no step holds more than one frame in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from jean import landmarks as ibug
from jean.clips.arrays import read_arrays
from jean.clips.meta import ARRAYS_FILE, AUDIO_FILE, BACKGROUND, EMOTION_FILE, FRAMES, MATTE, SOUND, Crop
from jean.clips.writer import write_audio_features
from jean.drivers.audio_windows import extract_track
from jean.errors import InputError
from jean.features.base import AudioFeatures, EmotionFeatures, FaceTracker, Matting
from jean.files import write_safetensors
from jean.geometry import Camera
from jean.media import MediaInfo
from jean.media.rates import RATE_HZ
from jean.preparation.clip_arrays import expression_array, face_arrays, head_arrays, landmark_weights
from jean.preparation.config import PrepareConfig
from jean.preparation.crop import choose_crop, crop_image
from jean.preparation.matte_quality import MatteQuality
from jean.preparation.tracking import choose_face as choosing
from jean.preparation.tracking.tracks import Tracks, write_tracks
from jean.preparation.turning import refuse_turned, turned
from jean.preparation.video_check import NO_FACE, SAMPLES, check_video, inspect_frames, sample_video
from jean.progress import Progress
from jean.row_file import in_blocks
from jean.threads import read_ahead, thread_count
from jean.weights import store as weights

AHEAD = 4  # frames that are decoded ahead: 25 MB in 1080p
PIECE = 2000  # frames whose points are in memory at once
DENSE_POINTS = 200  # a tracker with at least this many points spans a surface that frames can be projected onto
CHOSEN, HEAD = "chosen.i32", "head.safetensors"  # files that stay in the store


def inspect_video(video: Path, info: MediaInfo, config: PrepareConfig, tracker: FaceTracker) -> dict[str, Any]:
    """Inspects a few frames; raises an error for a video that cannot be used.

    Returns:
        ``look``, the values of ``jean.clips.meta.VideoLook``, and ``warnings``.
    """
    frames = list(turned(sample_video(video, info.duration_s, info.frame_count, SAMPLES), config.rotate))
    if frames:
        refuse_turned(frames, tracker, config.rotate)
    inspection = inspect_frames(frames, list(tracker.track(frames)))
    absent = [name for name in getattr(tracker, "optional_weights", ()) if weights.locate(name) is None]
    remedy = f"If it is small, run: jean models pull {' '.join(absent)}" if absent else NO_FACE
    return {"look": inspection.to_json(), "warnings": check_video(info, inspection, config.fps, config.face, remedy)}


def track_faces(
    folder: Path, video: Path, config: PrepareConfig, tracker: FaceTracker, total: int, progress: Progress
) -> Any:
    """Finds every face in every frame."""
    from jean.media import read_frames

    frames = _ahead(turned(read_frames(video, config.fps, warn=progress.warn), config.rotate))
    with progress.task("finding the face", total) as advance:
        info = write_tracks(folder, frames, tracker, lambda count: advance(count))
    if info["frames"] == 0:
        raise InputError(f"{video.name} has no frame that can be decoded.", "Convert it, e.g. to H.264 in mp4.")
    return info


def _ahead(frames: Iterator[tuple[float, np.ndarray]]) -> Iterator[tuple[float, np.ndarray]]:
    """The same frames; a second thread, if there is one, decodes a few of them ahead."""
    return read_ahead(frames, AHEAD if thread_count() > 1 else 0)


def choose_face(folder: Path, tracks: Tracks, fps: float, face: str | None) -> dict[str, Any]:
    """Chooses the person, writes the index of the chosen face of each frame, and returns the crop around it."""
    boxes = ibug.bounding_box(tracks.values("landmarks", np.arange(len(tracks.frame))))
    choice = choosing.choose(tracks.frame, tracks.person, boxes, len(tracks.times_s), fps, face)
    (folder / CHOSEN).write_bytes(choice.face.tobytes())
    crop = choose_crop(boxes[choice.face[choice.face >= 0]], tracks.width_px, tracks.height_px)
    return {
        "crop": crop.to_json(),
        "valid": int((choice.face >= 0).sum()),
        "no_face": choice.no_face,
        "several_faces": choice.several,
        "people": choice.people,
        "successive": choice.successive,
    }


def crop_frames(
    folder: Path, video: Path, config: PrepareConfig, crop: Crop, size_px: int, total: int, progress: Progress
) -> Any:
    """Writes the square crop of every frame."""
    from jean.media import read_frames

    count = 0
    with open(folder / FRAMES, "wb") as out, progress.task("cropping", total) as advance:
        # Tracking has already reported damage in the file.
        for _, image in _ahead(turned(read_frames(video, config.fps, warn=lambda _: None), config.rotate)):
            out.write(crop_image(image, crop, size_px).tobytes())
            count += 1
            advance(1)
    if count != total:
        raise InputError(f"{video.name} gave {count} frames after {total} at first.", "Is it still being written?")
    return {"frames": count}


def fit_head(
    folder: Path,
    tracks: Tracks,
    chosen: np.ndarray,
    crop: Crop,
    frames: np.ndarray,
    config: PrepareConfig,
    tracker: FaceTracker,
    progress: Progress,
) -> dict[str, Any]:
    """Fits camera, head shape and poses; writes ``head_arrays``.

    Returns:
        ``camera`` and ``report``, for ``clip.json``.
    """
    from jean.preparation.head_fit.camera_fit import fit_camera

    size_px = frames.shape[1]
    weights = landmark_weights(tracker, tracks)
    valid = chosen >= 0
    tracker_poses = tracks.values("camera_to_world", chosen).astype(np.float64)
    points = _crop_points(folder / "points.f32", tracks, chosen, crop, size_px)
    fit = fit_camera(
        points,
        valid,
        canonical=tracker.canonical_points,
        stable_points=tracker.stable_points,
        eye_corners=(int(weights[ibug.RIGHT_EYE_OUTER].argmax()), int(weights[ibug.LEFT_EYE_OUTER].argmax())),
        camera_guess=_assumed_camera(tracker, tracks, crop, size_px),
        initial_camera_to_world=tracker_poses if np.isfinite(tracker_poses[valid]).all() else None,
        fps=config.fps,
        seed=config.seed,
    )
    if config.refine and points.shape[1] >= DENSE_POINTS:
        from jean.preparation.head_fit.pose_refinement import passes, refine_with_frames

        with progress.task("poses from pictures", passes(int(valid.sum()))) as advance:
            fit = refine_with_frames(fit, frames, fps=config.fps, points=points, advance=advance)
    (folder / "points.f32").unlink()
    write_safetensors(folder / HEAD, head_arrays(fit, weights, valid))
    camera = {"focal_px": float(fit.camera.focal_px), "center_px": [float(x) for x in fit.camera.center_px]}
    return {"camera": camera, "report": fit.report}


def collect_arrays(
    folder: Path,
    head: Path,
    tracks: Tracks,
    chosen: np.ndarray,
    crop: Crop,
    size_px: int,
    tracker: FaceTracker,
) -> dict[str, Any]:
    """Writes all per-frame arrays of the clip, from the chosen face and the file of the head fit.

    Returns:
        ``expression``, the specification of the coefficients, for ``clip.json``.
    """
    arrays = read_arrays(head)
    expression, spec = expression_array(tracker, tracks, chosen, arrays.pop("displacements"))
    arrays |= face_arrays(tracks, chosen, crop, size_px) | {"expression": expression}
    write_safetensors(folder / ARRAYS_FILE, arrays)
    return {"expression": spec.to_json()}


def _assumed_camera(tracker: FaceTracker, tracks: Tracks, crop: Crop, size_px: int) -> Camera:
    """The camera of the crop under the focal length that the tracker assumes for the whole video frame."""
    width, height = tracks.width_px, tracks.height_px
    camera = Camera(tracker.assumed_focal_px(width, height), (width / 2, height / 2), width, height)
    return camera.cropped(crop.left_px, crop.top_px, crop.side_px, size_px)


def _crop_points(path: Path, tracks: Tracks, chosen: np.ndarray, crop: Crop, size_px: int) -> np.ndarray:
    """The tracker's points in pixels of the crop, float32 [T, P, 2], memory-mapped."""
    count = tracks.columns["points"][1][0]
    points = np.memmap(path, np.float32, "w+", shape=(len(chosen), count, 2))
    for first in range(0, len(chosen), PIECE):
        piece = slice(first, first + PIECE)
        points[piece] = crop.points(tracks.values("points", chosen[piece]), size_px)
    return points


def matte_frames(
    folder: Path, frames: np.ndarray, landmarks: np.ndarray, matting: Matting, progress: Progress
) -> dict[str, Any]:
    """Separates head, torso and background in every frame.

    Returns:
        ``mattes``, the values of ``jean.clips.meta.MatteFacts``.
    """
    quality = MatteQuality()
    with open(folder / MATTE, "wb") as out, progress.task("matting", len(frames)) as advance:
        for opacity, points in zip(matting.segment(_with_landmarks(frames, landmarks)), landmarks, strict=True):
            opacity = np.ascontiguousarray(opacity, np.uint8)
            quality.add(opacity, points)
            out.write(opacity.tobytes())
            advance(1)
    return {"mattes": quality.facts().to_json()}


def extract_emotion_features(
    folder: Path, frames: np.ndarray, landmarks: np.ndarray, extractors: list[EmotionFeatures], progress: Progress
) -> dict[str, Any]:
    """Writes each extractor's vector for every frame; frames without a face are interpolated."""
    features = {}
    for extractor in extractors:
        rows = []
        with progress.task(extractor.name, len(frames)) as advance:
            for row in extractor.extract(_with_landmarks(frames, landmarks)):
                rows.append(row)
                advance(1)
        values = np.stack(rows).astype(np.float32)
        finite = np.asarray(np.isfinite(values).all(1))
        if not finite.any():
            raise InputError(f"{extractor.name} finds no face in any frame.", "Check the crop with --preview.")
        features[extractor.name] = ibug.fill_gaps(values, finite)
    write_safetensors(folder / EMOTION_FILE, features)
    return {}


def _with_landmarks(frames: np.ndarray, landmarks: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(frame, its landmarks) of every frame."""
    for image, points in zip(frames, landmarks, strict=True):
        yield np.asarray(image), points


def write_background(folder: Path, frames: np.ndarray, mattes: np.ndarray) -> dict[str, Any]:
    """Writes the background without the person."""
    from jean.media import write_png
    from jean.preparation.background import background_plate

    write_png(folder / BACKGROUND, background_plate(frames, mattes))
    return {}


def extract_sound(folder: Path, source: Path | None, late_s: float, progress: Progress) -> dict[str, Any]:
    """Writes the whole sound of a file as 16 kHz mono, ``late_s`` seconds earlier; writes nothing for None.

    Returns:
        ``samples``, the number of samples, and ``peak``, the largest absolute value.
    """
    if source is None:
        return {"samples": 0, "peak": 0.0}
    from jean.media import read_audio, write_wav

    wave = read_audio(source, RATE_HZ, progress.warn)
    late = round(late_s * RATE_HZ)
    wave = wave[late:] if late >= 0 else np.concatenate([np.zeros(-late, np.float32), wave])
    write_wav(folder / SOUND, wave, RATE_HZ)
    return {"samples": len(wave), "peak": float(max(wave.max(initial=0.0), -wave.min(initial=0.0)))}


def extract_audio_features(
    folder: Path, wav: Path, extractors: list[AudioFeatures], frame_count: int, fps: float, progress: Progress
) -> dict[str, Any]:
    """Writes each extractor's rows, and which of them form the window of each frame."""
    from jean.media import read_audio

    wave = read_audio(wav, RATE_HZ, progress.warn)
    tracks = {}
    for extractor in extractors:
        track = extract_track(extractor, wave, frame_count, fps)
        if not in_blocks(lambda rows: np.isfinite(rows).all(1), track.rows).all():
            raise InputError(
                f"the {extractor.name} features of the sound hold values that are not finite.", "Check the sound."
            )
        if getattr(extractor, "half_precision", False):
            track = replace(track, rows=in_blocks(lambda rows: rows.astype(np.float16), track.rows))
        tracks[extractor.name] = track
    write_audio_features(folder / AUDIO_FILE, tracks)
    return {}
