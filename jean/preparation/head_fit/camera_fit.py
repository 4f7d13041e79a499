"""Fits one camera and one head shape to a clip, and a rigid pose and expression coefficients to each frame.

Trackers process one frame at a time and assume a lens. This fit explains the whole clip at once: focal
length, head shape, poses and a low-rank deformation whose projections match the tracked points (``bundle``,
``deformation``), with poses smoothed as far as the noise of the clip requires (``pose_smoothing``).
Parameters of the clip are learned on at most ``KEYFRAMES`` frames; the frames are then solved in windows, so
time and memory are linear in the length.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jean.errors import InputError
from jean.geometry import Camera, fill_poses, invert_pose, make_pose, pose_jitter
from jean.preparation.head_fit.bundle import adjust, point_noise, rough_views, solve_views
from jean.preparation.head_fit.deformation import learn_basis
from jean.preparation.head_fit.head_model import HeadModel, PointTracks, Views, image_points
from jean.preparation.head_fit.head_space import in_head_space, start_shape
from jean.preparation.head_fit.pose_smoothing import smooth_poses
from jean.row_file import gather_parts, in_blocks

KEYFRAMES = 120  # an iteration of bundle adjustment costs their square
WINDOW = 250  # frames solved at once
LEFT_OUT = 0.2  # fraction of the observations that measure the error
FIRST_NOISE_PX = (1.0, 4.0)  # initial noise of stable and of other points, for 75 px between the eye corners


@dataclass(frozen=True)
class CameraFit:
    """Result of ``fit_camera``, for T frames, P points and K deformations.

    Attributes:
        camera: the clip's camera.
        camera_to_world: [T, 4, 4], head space; interpolated where a frame has no face.
        shape: neutral shape [P, 3], head space, cm.
        coefficients: [T, K]; interpolated where a frame has no face.
        basis: [K, P, 3], cm.
        noise_px: [P], scale of the tracker's error per point.
        valid: bool [T], frames with points.
        report: numbers for ``clip.json``, see ``docs/tracking.md``.
    """

    camera: Camera
    camera_to_world: np.ndarray
    shape: np.ndarray
    coefficients: np.ndarray
    basis: np.ndarray
    noise_px: np.ndarray
    valid: np.ndarray
    report: dict[str, Any]


def fit_camera(
    points: np.ndarray,
    valid: np.ndarray,
    *,
    camera_guess: Camera,
    canonical: np.ndarray | None,
    stable_points: np.ndarray,
    eye_corners: tuple[int, int],
    initial_camera_to_world: np.ndarray | None = None,
    fps: float = 25.0,
    held_out_points: np.ndarray | None = None,
    components: int = 20,
    window: int | None = None,
    smooth: bool = True,
    seed: int = 0,
) -> CameraFit:
    """Fits camera, head shape, poses and deformations to tracked points.

    Args:
        points: px of the crop [T, P, 2]; NaN where not valid.
        valid: bool [T], frames with a face.
        camera_guess: the camera that the tracker assumes, in the crop. It gives the initial focal length, and the
            principal point, which stays.
        canonical: mean face [P, 3] in head space, cm; None learns the initial shape from the clip.
        stable_points: indices of the points that move least with speech and expression.
        eye_corners: indices of the outer eye corners (subject's right, left).
        initial_camera_to_world: the tracker's own poses [T, 4, 4], NaN where it has none. The report compares the
            fit with them; the fit does not start from them.
        fps: frames per second.
        held_out_points: bool [T, P], observations to leave out of the fit, which then measure its error; None
            draws a fifth of all.
        components: maximum number of deformations.
        window: frames solved at once; None: ``WINDOW``.
        smooth: False keeps the poses as measured on each frame.
        seed: of the draw of left-out observations.

    Raises:
        InputError: no valid frame, or a mean face with another number of points.
    """
    mask = known_points(points)
    fitted = np.asarray(valid, bool) & (mask.sum(-1) >= 6)
    total = points.shape[1]
    if not fitted.any():
        raise InputError("no frame shows a face that can be fitted.", "Use a video with a visible face.")
    if canonical is not None and canonical.shape != (total, 3):
        raise InputError(f"the mean face has {len(canonical)} points, the tracker {total}.", "Use one tracker.")
    mask &= fitted[:, None]
    left_out = _left_out(mask, held_out_points, seed)
    index = np.flatnonzero(fitted)
    center = np.asarray(camera_guess.center_px, np.float64)
    mean_face = start_shape(points, mask, canonical, eye_corners)

    keys = index[np.unique(np.linspace(0, len(index) - 1, min(KEYFRAMES, len(index))).round().astype(int))]
    head = _fit_shared(
        points[keys],
        mask[keys] & ~left_out[keys],
        mean_face,
        camera_guess.focal_px,
        center,
        stable_points,
        components,
    )
    head = in_head_space(head, eye_corners)

    window = window or WINDOW
    trial = _solve_all(points, in_blocks(lambda known, left: known & ~left, mask, left_out), head, index, window)
    errors = left_out_errors(points, left_out, head, trial, index, window)
    views = _solve_all(points, mask, head, index, window, start=trial)
    measured = fill_poses(
        _at_all_frames(invert_pose(make_pose(views.rotation, views.translation)), index, len(points)), fitted
    )
    poses = smooth_poses(measured, fitted, fps) if smooth else measured
    view = invert_pose(poses[index])
    views = replace(views, rotation=view[:, :3, :3], translation=view[:, :3, 3])
    views = _solve_all(points, mask, head, index, window, start=views, move=False)

    camera = replace(camera_guess, focal_px=head.focal)
    unit = eye_distance_px(points, eye_corners, fitted)
    report = {
        "frames": len(points),
        "frames_fitted": int(fitted.sum()),
        "points": total,
        "focal_px": head.focal,
        "focal_guess_px": float(camera_guess.focal_px),
        "eye_distance_px": unit,
        "left_out_error": error_summary(errors, unit),
        "jitter": jitter_report(poses, fitted),
        "jitter_unsmoothed": jitter_report(measured, fitted),
        "smoothed": smooth,
        "refined": False,
    }
    if initial_camera_to_world is not None:
        own = np.where(fitted[:, None, None], initial_camera_to_world, np.nan)
        report["tracker_jitter"] = jitter_report(own, np.isfinite(own[:, 0, 0]))
        if canonical is not None:
            mean_head = HeadModel(camera_guess.focal_px, center, canonical, head.basis[:0], head.noise_px)
            view = invert_pose(own[index])
            own_views = Views(view[:, :3, :3], view[:, :3, 3], views.coefficients[:, :0])
            own_errors = left_out_errors(points, left_out, mean_head, own_views, index, window)
            report["tracker_error"] = error_summary(own_errors[np.isfinite(own_errors)], unit)
    return CameraFit(
        camera,
        poses,
        head.shape,
        _fill_rows(_at_all_frames(views.coefficients, index, len(points)), fitted),
        head.basis,
        head.noise_px,
        fitted,
        report,
    )


def resolve_coefficients(fit: CameraFit, points: np.ndarray) -> CameraFit:
    """Solves the coefficients of a fit again for its present poses, from tracked points [T, P, 2], px."""
    index = np.flatnonzero(fit.valid)
    mask = known_points(points) & fit.valid[:, None]
    center = np.asarray(fit.camera.center_px, np.float64)
    head = HeadModel(fit.camera.focal_px, center, fit.shape, fit.basis, fit.noise_px)
    view = invert_pose(fit.camera_to_world[index])
    views = Views(view[:, :3, :3], view[:, :3, 3], fit.coefficients[index])
    views = _solve_all(points, mask, head, index, WINDOW, start=views, move=False)
    return replace(fit, coefficients=_fill_rows(_at_all_frames(views.coefficients, index, len(points)), fit.valid))


def left_out_errors(
    points: np.ndarray, left_out: np.ndarray, head: HeadModel, views: Views, index: np.ndarray, window: int
) -> np.ndarray:
    """Distances, px, of all left-out observations from their predictions."""
    parts = []
    for first in range(0, len(index), window):
        rows = index[first : first + window]
        predicted = image_points(head, views.part(slice(first, first + window)))
        parts.append(np.linalg.norm(points[rows] - predicted, axis=-1)[left_out[rows]])
    return np.concatenate(parts)


def eye_distance_px(points: np.ndarray, eye_corners: tuple[int, int], fitted: np.ndarray) -> float:
    """Median distance of the outer eye corners, which normalises the errors of the report."""
    distance = np.linalg.norm(points[fitted, eye_corners[0]] - points[fitted, eye_corners[1]], axis=-1)
    return float(np.nanmedian(distance))


def error_summary(errors_px: np.ndarray, unit_px: float) -> dict[str, float]:
    """Median, mean and 95th percentile of errors, in px and as fractions of ``unit_px``; empty without errors."""
    if len(errors_px) == 0:
        return {}
    values = {"median": np.median(errors_px), "mean": errors_px.mean(), "p95": np.quantile(errors_px, 0.95)}
    pixels = {f"{name}_px": float(value) for name, value in values.items()}
    return pixels | {f"{name}_share": float(value / unit_px) for name, value in values.items()}


def jitter_report(poses: np.ndarray, known: np.ndarray) -> dict[str, float] | None:
    """Jitter of the known poses; None where too few of them are consecutive."""
    rotation_deg, translation_cm = pose_jitter(np.where(known[:, None, None], poses, np.nan))
    return {"rotation_deg": rotation_deg, "translation_cm": translation_cm} if np.isfinite(rotation_deg) else None


def _left_out(mask: np.ndarray, requested: np.ndarray | None, seed: int) -> np.ndarray:
    """The observations that measure the error, bool [T, P]: the given ones, or a random draw."""
    if requested is not None:
        return np.asarray(requested, bool) & mask
    generator = np.random.default_rng(seed)
    return in_blocks(lambda rows: (generator.random(rows.shape) < LEFT_OUT) & rows, mask)


def known_points(points: np.ndarray) -> np.ndarray:
    """Which of the points [T, P, 2] are known, bool [T, P]; ``points`` may be a memory-mapped file."""
    return in_blocks(lambda rows: np.isfinite(rows).all(-1), points)


def _fit_shared(
    points: np.ndarray,
    mask: np.ndarray,
    mean_face: np.ndarray,
    focal: float,
    center: np.ndarray,
    stable_points: np.ndarray,
    components: int,
) -> HeadModel:
    """Fits the parameters of the clip to the keyframes: focal length, shape, noise of the points, basis."""
    total = len(mean_face)
    finite = np.where(mask[..., None], points, 0.0)
    noise = np.full(total, FIRST_NOISE_PX[1])
    noise[stable_points] = FIRST_NOISE_PX[0]
    head = HeadModel(float(focal), center, mean_face, np.zeros((0, total, 3)), noise)
    views = rough_views(finite, mask / noise**2, mean_face, head.focal, center)
    tracks = PointTracks(points, mask)
    views = solve_views(tracks, head, views)
    for _ in range(3):
        head, views = adjust(tracks, head, views, mean_face, focal)
        scale = point_noise(finite - image_points(head, views), mask)
        # the floor keeps a few points with a common error from dominating the fit
        head = replace(head, noise_px=np.maximum(scale, 0.5 * np.median(scale[stable_points])))
    rigidity = rigidity_of(head.noise_px, stable_points)
    head, views = learn_basis(tracks, head, views, rigidity, components if len(points) > 1 else 0)
    return replace(head, noise_px=point_noise(finite - image_points(head, views), mask))


def rigidity_of(noise_px: np.ndarray, stable_points: np.ndarray) -> np.ndarray:
    """Rigidity [P] in (0, 1]: 1 for points that the rigid head explains as well as the stable points."""
    typical = np.median(noise_px[stable_points])
    return np.clip((typical / noise_px) ** 2, 0.0, 1.0)


def _solve_all(
    points: np.ndarray,
    mask: np.ndarray,
    head: HeadModel,
    index: np.ndarray,
    window: int,
    start: Views | None = None,
    move: bool = True,
) -> Views:
    """Solves the views of the frames ``index``, window by window."""
    tracks = PointTracks(points, mask)

    def solved(first: int) -> Views:
        rows = index[first : first + window]
        if start is None:
            finite = np.where(mask[rows][..., None], points[rows], 0.0)
            views = rough_views(finite, mask[rows] / head.noise_px**2, head.shape, head.focal, head.center)
            views = solve_views(tracks.part(rows), replace(head, basis=head.basis[:0]), views, iterations=5)
            views = replace(views, coefficients=np.zeros((len(rows), len(head.basis))))
        else:
            views = start.part(slice(first, first + window))
        return solve_views(tracks.part(rows), head, views, move=move)

    parts = (solved(first) for first in range(0, len(index), window))
    return Views(*gather_parts((part.rotation, part.translation, part.coefficients) for part in parts))


def _at_all_frames(values: np.ndarray, index: np.ndarray, count: int) -> np.ndarray:
    """Values [T, …] for ``count`` frames: those given for the frames ``index``, and the next given ones elsewhere."""
    nearest = np.clip(np.searchsorted(index, np.arange(count)), 0, len(index) - 1)
    return values[nearest]


def _fill_rows(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Values [T, K] with unknown rows interpolated in time."""
    frames, index = np.arange(len(values)), np.flatnonzero(known)
    filled = [np.interp(frames, index, column[index]) for column in values.T]
    return np.stack(filled, 1) if filled else values
