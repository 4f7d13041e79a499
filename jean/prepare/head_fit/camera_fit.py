"""One camera and one rigid head shape for a clip, a rigid pose and expression for each frame.

Trackers look at one frame at a time and assume a lens. Here the whole clip is explained at once: a
focal length, a head shape, poses and a low-rank deformation whose projections meet the tracked points
(``bundle``, ``deformation``), and poses whose acceleration is believed as far as the clip's own noise
allows (``pose_smoothing``). What all frames share is learned on at most ``KEYFRAMES`` of them; frames
are then solved in windows, so time and memory are linear in the length.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jean.errors import InputError
from jean.geometry import Camera, fill_poses, invert_pose, make_pose
from jean.prepare.head_fit.bundle import adjust, point_noise, rough_views, solve_views
from jean.prepare.head_fit.bundle_model import Head, Tracks, Views, image_points
from jean.prepare.head_fit.deformation import learn_basis
from jean.prepare.head_fit.fit_report import error_summary, eye_distance_px, jitter, left_out_errors
from jean.prepare.head_fit.head_space import in_head_space, start_shape
from jean.prepare.head_fit.pose_smoothing import smooth_poses

KEYFRAMES = 120
WINDOW = 250
LEFT_OUT = 0.2  # share of the observations that the error is measured on
FIRST_NOISE_PX = (1.0, 4.0)  # stable and other points, in a face of 75 px between the eye corners


@dataclass(frozen=True)
class CameraFit:
    """What ``fit_camera`` found. T frames, P points, K deformations.

    Attributes:
        camera: the clip's camera.
        camera_to_world: [T, 4, 4], head space; blended from the neighbours where there is no face.
        shape: neutral shape [P, 3], head space, cm.
        coefficients: [T, K]; interpolated where there is no face.
        basis: [K, P, 3], cm.
        noise_px: [P], scale of the tracker's error for each point.
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
    """Fits camera, shape, poses and deformations to tracked points.

    Args:
        points: px of the crop, [T, P, 2]; NaN where not valid.
        valid: bool [T].
        camera_guess: the tracker's assumed camera in the crop. The focal length starts there, the
            principal point stays there.
        canonical: a mean face [P, 3] in head space, cm; None learns the start from the clip.
        stable_points: indices of the points that move least with speech and expression.
        eye_corners: indices of the outer eye corners (subject's right, left).
        initial_camera_to_world: the tracker's own poses [T, 4, 4], NaN where it has none; they are
            compared with in the report, the fit does not start from them.
        fps: frames a second.
        held_out_points: bool [T, P], observations to leave out of the fit and to measure the error on;
            None draws a fifth of them.
        components: deformations to learn, at most.
        window: frames solved at once.
        smooth: False leaves the poses as each frame alone says.
        seed: for the draw.

    Raises:
        InputError: no valid frame, or points and mean face do not belong together.
    """
    seen = np.asarray(valid, bool) & np.isfinite(points).all(-1).sum(-1).__ge__(6)
    total = points.shape[1]
    if not seen.any():
        raise InputError("no frame shows a face that can be fitted.", "Use a video with a visible face.")
    if canonical is not None and canonical.shape != (total, 3):
        raise InputError(f"the mean face has {len(canonical)} points, the tracker {total}.", "Use one tracker.")
    mask = np.isfinite(points).all(-1) & seen[:, None]
    left_out = _left_out(mask, held_out_points, seed)
    index = np.flatnonzero(seen)
    center = np.asarray(camera_guess.center_px, np.float64)
    mean_face = start_shape(points[index], mask[index], canonical, eye_corners)

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
    trial = _solve_all(points, mask & ~left_out, head, index, window)
    errors = left_out_errors(points, left_out, head, trial, index, window)
    views = _solve_all(points, mask, head, index, window, start=trial)
    measured = fill_poses(_spread(invert_pose(make_pose(views.rotation, views.translation)), index, len(points)), seen)
    poses = smooth_poses(measured, seen, fps) if smooth else measured
    view = invert_pose(poses[index])
    views = replace(views, rotation=view[:, :3, :3], translation=view[:, :3, 3])
    views = _solve_all(points, mask, head, index, window, start=views, move=False)

    camera = replace(camera_guess, focal_px=head.focal)
    unit = eye_distance_px(points, eye_corners, seen)
    report = {
        "frames": len(points),
        "frames_fitted": int(seen.sum()),
        "points": total,
        "focal_px": head.focal,
        "focal_guess_px": float(camera_guess.focal_px),
        "eye_distance_px": unit,
        "left_out_error": error_summary(errors, unit),
        "jitter": jitter(poses, seen),
        "jitter_unsmoothed": jitter(measured, seen),
        "smoothed": smooth,
        "refined": False,
    }
    if initial_camera_to_world is not None:
        own = np.where(seen[:, None, None], initial_camera_to_world, np.nan)
        report["tracker_jitter"] = jitter(own, np.isfinite(own[:, 0, 0]))
        if canonical is not None:
            mean_head = Head(camera_guess.focal_px, center, canonical, head.basis[:0], head.noise_px)
            view = invert_pose(own[index])
            own_views = Views(view[:, :3, :3], view[:, :3, 3], views.coefficients[:, :0])
            own_errors = left_out_errors(points, left_out, mean_head, own_views, index, window)
            report["tracker_error"] = error_summary(own_errors[np.isfinite(own_errors)], unit)
    return CameraFit(
        camera,
        poses,
        head.shape,
        _fill_rows(_spread(views.coefficients, index, len(points)), seen),
        head.basis,
        head.noise_px,
        seen,
        report,
    )


def resolve_coefficients(fit: CameraFit, points: np.ndarray) -> CameraFit:
    """The same fit with its coefficients solved again for its poses, from points [T, P, 2] px."""
    index = np.flatnonzero(fit.valid)
    mask = np.isfinite(points).all(-1) & fit.valid[:, None]
    center = np.asarray(fit.camera.center_px, np.float64)
    head = Head(fit.camera.focal_px, center, fit.shape, fit.basis, fit.noise_px)
    view = invert_pose(fit.camera_to_world[index])
    views = Views(view[:, :3, :3], view[:, :3, 3], fit.coefficients[index])
    views = _solve_all(points, mask, head, index, WINDOW, start=views, move=False)
    return replace(fit, coefficients=_fill_rows(_spread(views.coefficients, index, len(points)), fit.valid))


def _left_out(mask: np.ndarray, given: np.ndarray | None, seed: int) -> np.ndarray:
    """bool [T, P]: observations on which the error is measured."""
    if given is not None:
        return np.asarray(given, bool) & mask
    return (np.random.default_rng(seed).random(mask.shape) < LEFT_OUT) & mask


def _fit_shared(
    points: np.ndarray,
    mask: np.ndarray,
    mean_face: np.ndarray,
    focal: float,
    center: np.ndarray,
    stable_points: np.ndarray,
    components: int,
) -> Head:
    """Focal length, shape, point noise and basis from the keyframes."""
    total = len(mean_face)
    known = np.where(mask[..., None], points, 0.0)
    noise = np.full(total, FIRST_NOISE_PX[1])
    noise[stable_points] = FIRST_NOISE_PX[0]
    head = Head(float(focal), center, mean_face, np.zeros((0, total, 3)), noise)
    views = rough_views(known, mask / noise**2, mean_face, head.focal, center)
    tracks = Tracks(points, mask)
    views = solve_views(tracks, head, views)
    for _ in range(3):
        head, views = adjust(tracks, head, views, mean_face, focal)
        scale = point_noise(known - image_points(head, views), mask)
        # A floor at half the noise of the stable points: no clique of points that err together decides.
        head = replace(head, noise_px=np.maximum(scale, 0.5 * np.median(scale[stable_points])))
    rigidity = rigidity_of(head.noise_px, stable_points)
    head, views = learn_basis(tracks, head, views, rigidity, components if len(points) > 1 else 0)
    return replace(head, noise_px=point_noise(known - image_points(head, views), mask))


def rigidity_of(noise_px: np.ndarray, stable_points: np.ndarray) -> np.ndarray:
    """[P] in (0, 1]: 1 where the rigid head explains a point as well as it does the stable ones."""
    typical = np.median(noise_px[stable_points])
    return np.clip((typical / noise_px) ** 2, 0.0, 1.0)


def _solve_all(
    points: np.ndarray,
    mask: np.ndarray,
    head: Head,
    index: np.ndarray,
    window: int,
    start: Views | None = None,
    move: bool = True,
) -> Views:
    """Views of the frames ``index``, in windows."""
    parts = []
    tracks = Tracks(points, mask)
    for first in range(0, len(index), window):
        rows = index[first : first + window]
        if start is None:
            known = np.where(mask[rows][..., None], points[rows], 0.0)
            views = rough_views(known, mask[rows] / head.noise_px**2, head.shape, head.focal, head.center)
            views = solve_views(tracks.part(rows), replace(head, basis=head.basis[:0]), views, iterations=5)
            views = replace(views, coefficients=np.zeros((len(rows), len(head.basis))))
        else:
            views = start.part(slice(first, first + window))
        parts.append(solve_views(tracks.part(rows), head, views, move=move))
    return Views(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("rotation", "translation", "coefficients")
        )
    )


def _spread(values: np.ndarray, index: np.ndarray, count: int) -> np.ndarray:
    """[T, …] with ``values`` at ``index`` and the nearest of them elsewhere."""
    nearest = np.clip(np.searchsorted(index, np.arange(count)), 0, len(index) - 1)
    return values[nearest]


def _fill_rows(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """[T, K] with unknown rows interpolated in time."""
    frames, index = np.arange(len(values)), np.flatnonzero(known)
    filled = [np.interp(frames, index, column[index]) for column in values.T]
    return np.stack(filled, 1) if filled else values
