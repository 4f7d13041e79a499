"""Sharper poses from the pictures themselves: each frame is laid over what the other frames predict.

Landmarks wander by about a pixel with expression and angle, alike in neighbouring frames, so no
smoothing removes it. Skin, nostrils and brows do not wander. The rigid surface spanned by the fitted
shape is given a texture: its mean over the clip plus what is linear in the fitted deformation
coefficients (raised brows, closed lids), learned on keyframes, with the frame in question left out of
its own prediction. Each frame's pose is then moved until its picture meets the prediction
(Gauss-Newton on brightness without its slow changes, robust against shadows and hair, the landmarks'
pose as a weak prior), and the texture is learned again, a few times over.

This is tracking, and every frame is treated alike, held-out frames of a later training too: a pose is
measured on the frame it belongs to, as by any tracker. No head model is fitted to those pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from jean.geometry import cross_matrix, fill_poses, invert_pose, rotation_matrix, rotation_vector
from jean.prepare.head_fit.camera_fit import CameraFit, resolve_coefficients
from jean.prepare.head_fit.fit_report import jitter
from jean.prepare.head_fit.head_texture import Texture, head_surface, learn_texture
from jean.prepare.head_fit.pose_smoothing import smooth_poses

WORKING_EYES_PX = 80.0  # pictures are shrunk until the outer eye corners are this far apart
TEXEL_PX = 1.25
KEYFRAMES = 150
MODES = 4  # deformation coefficients that the texture may depend on; more start to explain bad poses
ROUNDS = 3
STEPS = 3  # Gauss-Newton steps a round; twice as many when the texture is final
CAUCHY = 2.4
FACING = 0.35  # cosine: surface seen flatter than this is left alone
CORRELATED = 50.0  # neighbouring texels err together: about 7 × 7 of them count as one
PRIOR_PX = 1.5  # trust in the landmarks' pose, as if of PRIOR_POINTS independent points
PRIOR_POINTS = 10.0
LIMIT_SHARE = 0.08  # of the eye distance; a frame that wants to move further is not believed
MIN_FRAMES = 12


def refine_with_frames(
    fit: CameraFit,
    frames: Sequence[np.ndarray] | np.ndarray,
    *,
    fps: float,
    points: np.ndarray | None = None,
    smooth: bool = True,
    advance: Callable[[int], None] | None = None,
) -> CameraFit:
    """The same fit with poses measured on the pictures.

    Args:
        fit: from ``fit_camera``.
        frames: RGB uint8 [T, H, W, 3], anything that can be indexed by frame; read several times.
        fps: frames a second.
        points: the tracked points [T, P, 2] px, to solve the coefficients again under the new poses.
        smooth: False leaves the poses as measured.
        advance: called with a number of frames done, ``passes(len(frames))`` in all.

    Returns:
        a new fit; ``report["refined"]`` says what happened. Clips of fewer than ``MIN_FRAMES`` valid
        frames come back as they were, and the report says so.
    """
    advance = advance or (lambda count: None)
    index = np.flatnonzero(fit.valid)
    report = dict(fit.report)
    if len(index) < MIN_FRAMES:
        return replace(fit, report=report | {"refined": False, "refine_note": f"fewer than {MIN_FRAMES} frames"})
    aligner = _Aligner(fit, frames)
    keys = index[np.unique(np.linspace(0, len(index) - 1, min(KEYFRAMES, len(index))).round().astype(int))]
    modes = fit.coefficients[:, : min(MODES, len(keys) // 12)]
    start = invert_pose(fit.camera_to_world)
    view = start.copy()
    for _ in range(ROUNDS):
        texture, predictions = aligner.learn(view, keys, modes)
        for t, prediction in zip(keys.tolist(), predictions, strict=True):
            view[t] = aligner.align(t, view[t], start[t], prediction, texture.noise, STEPS)[0]
            advance(1)
    texture, predictions = aligner.learn(view, keys, modes)
    own = dict(zip(keys.tolist(), predictions, strict=True))
    limit = LIMIT_SHARE * WORKING_EYES_PX
    measured = np.full_like(view, np.nan)
    information = np.zeros((6, 6))
    refused, shifts = [], []
    for t in index.tolist():
        prediction = own.get(t, texture.mean + modes[t] @ texture.modes)
        trial, certainty = aligner.align(t, view[t], start[t], prediction, texture.noise, 2 * STEPS)
        shift = aligner.shift(start[t], trial)
        if not shift < limit:
            refused.append(t)
        else:
            measured[t] = invert_pose(trial)
            information += certainty / len(index)
            shifts.append(shift)
        advance(1)
    believed = np.isfinite(measured[:, 0, 0])
    if believed.sum() < MIN_FRAMES:
        return replace(fit, report=report | {"refined": False, "refine_note": "the pictures gave no poses"})
    # What the pictures do not tell, the landmarks do.
    measured[fit.valid & ~believed] = fit.camera_to_world[fit.valid & ~believed]
    measured = fill_poses(measured, fit.valid)
    poses = smooth_poses(measured, fit.valid, fps, noise_shape=np.linalg.inv(information)) if smooth else measured
    refined = replace(fit, camera_to_world=poses)
    report |= {
        "refined": True,
        "refine_moved_px": float(np.median(shifts) / aligner.scale),
        "refine_refused_frames": refused,
        "jitter": jitter(poses, fit.valid),
        "jitter_unsmoothed": jitter(measured, fit.valid),
        "smoothed": smooth,
    }
    refined = replace(refined, report=report)
    return refined if points is None else resolve_coefficients(refined, points)


def passes(frames: int) -> int:
    """How many frames ``refine_with_frames`` reports for a clip of so many, all valid."""
    return ROUNDS * min(KEYFRAMES, frames) + frames


class _Aligner:
    """The clip's surface, camera and pictures at working size."""

    def __init__(self, fit: CameraFit, frames: Sequence[np.ndarray] | np.ndarray):
        height, width = frames[0].shape[:2]
        self.scale = min(1.0, WORKING_EYES_PX / fit.report["eye_distance_px"])
        self.size = max(1, round(width * self.scale)), max(1, round(height * self.scale))
        ratio = np.array(self.size) / (width, height)
        self.focal = fit.camera.focal_px * ratio
        self.center = np.asarray(fit.camera.center_px) * ratio
        self.frames = frames
        self.blur_px = 0.13 * fit.report["eye_distance_px"] * self.scale
        distance = np.median(np.linalg.norm(fit.camera_to_world[fit.valid, :3, 3], axis=-1))
        self.surface = head_surface(fit, TEXEL_PX * distance / self.focal[0])

    def picture(self, t: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Brightness without slow changes and its two derivatives, float32 [h, w]."""
        import cv2

        image = np.asarray(self.frames[t])
        if self.size != (image.shape[1], image.shape[0]):
            image = cv2.resize(image, self.size, interpolation=cv2.INTER_AREA)
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
        detail = cv2.GaussianBlur(grey, (0, 0), 0.7) - cv2.GaussianBlur(grey, (0, 0), self.blur_px)
        return (
            detail,
            cv2.Sobel(detail, cv2.CV_32F, 1, 0, scale=1 / 8),
            cv2.Sobel(detail, cv2.CV_32F, 0, 1, scale=1 / 8),
        )

    def _look(self, view: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Surface in camera axes [N, 3], in px [N, 2], and which of it is seen [N]."""
        seen = self.surface.positions @ view[:3, :3].T + view[:3, 3]
        uv = self.focal * seen[:, :2] / seen[:, 2:] + self.center
        cosine = -((self.surface.normals @ view[:3, :3].T) * seen).sum(1) / np.linalg.norm(seen, axis=1)
        inside = ((uv > 1) & (uv < np.array(self.size) - 1)).all(1)
        return seen, uv, (cosine > FACING) & inside

    def learn(self, view: np.ndarray, keys: np.ndarray, coefficients: np.ndarray) -> tuple[Texture, np.ndarray]:
        """The texture, and the prediction of each keyframe by the others [len(keys), N]."""
        texels = np.zeros((len(keys), len(self.surface.positions)), np.float32)
        seen = np.zeros(texels.shape, bool)
        motion = np.zeros((texels.shape[1], 6))
        for row, t in enumerate(keys.tolist()):
            value, slopes, seen[row] = self._compare(self.picture(t), view[t])
            texels[row] = value
            motion += slopes * seen[row, :, None]
        motion /= np.maximum(seen.sum(0), 1)[:, None]
        return learn_texture(texels, seen, coefficients[keys], motion, self.surface.trust)

    def _compare(
        self, picture: tuple[np.ndarray, np.ndarray, np.ndarray], view: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The picture on the surface [N], its derivative by a step of the view [N, 6], what is seen [N]."""
        seen, uv, visible = self._look(view)
        value, by_x, by_y = (_sample(image, uv) for image in picture)
        slope_x, slope_y = by_x * self.focal[0] / seen[:, 2], by_y * self.focal[1] / seen[:, 2]
        slope_z = -(slope_x * seen[:, 0] + slope_y * seen[:, 1]) / seen[:, 2]
        slope = np.stack([slope_x, slope_y, slope_z], 1)
        return value, np.concatenate([np.cross(seen - view[:3, 3], slope), slope], axis=1), visible

    def align(
        self, t: int, view: np.ndarray, start: np.ndarray, prediction: np.ndarray, noise: np.ndarray, steps: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """The view [4, 4] at which the picture meets the prediction, and its information matrix [6, 6]."""
        picture = self.picture(t)
        view = view.copy()
        information = np.zeros((6, 6))
        for _ in range(steps):
            value, slopes, visible = self._compare(picture, view)
            # Exposure may differ: the prediction's contrast and level are fitted along.
            jacobian = np.concatenate([slopes, -prediction[:, None], np.ones((len(value), 1))], axis=1)
            residual = prediction - value
            weight = self.surface.trust * visible / noise**2 / (1 + (residual / (CAUCHY * noise)) ** 2) / CORRELATED
            normal = (jacobian * weight[:, None]).T @ jacobian
            gradient = (jacobian * weight[:, None]).T @ residual
            information = normal[:6, :6].copy()
            held = self._prior(view)
            normal[:6, :6] += held
            gradient[:6] += held @ _difference(view, start)
            normal[6, 6] += 100.0  # contrast: a tenth either way
            normal[7, 7] += 1e-3
            step = np.linalg.solve(normal, gradient)
            view[:3, :3] = rotation_matrix(step[:3]) @ view[:3, :3]
            view[:3, 3] += step[3:6]
        return view, information + held

    def _prior(self, view: np.ndarray) -> np.ndarray:
        """Information [6, 6] of the landmarks' pose."""
        some = slice(None, None, 37)
        turned = self.surface.positions @ view[:3, :3].T
        seen = turned + view[:3, 3]
        by_seen = np.zeros((len(seen[some]), 2, 3))
        by_seen[:, 0, 0], by_seen[:, 1, 1] = self.focal[0] / seen[some, 2], self.focal[1] / seen[some, 2]
        by_seen[:, :, 2] = -self.focal * seen[some, :2] / seen[some, 2:] ** 2
        by_view = np.concatenate([-by_seen @ cross_matrix(turned[some]), by_seen], axis=-1)
        return np.einsum("nia,nib->ab", by_view, by_view) / len(by_view) * PRIOR_POINTS / PRIOR_PX**2

    def shift(self, before: np.ndarray, after: np.ndarray) -> float:
        """Mean distance by which the surface moves in the picture, working px."""
        return float(np.linalg.norm(self._look(after)[1] - self._look(before)[1], axis=1).mean())


def _sample(image: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Values [N] of ``image`` at px [N, 2], bilinear."""
    import cv2

    # OpenCV's maps may not be wider than a short integer: fold the list into rows.
    width = 1024
    at = np.zeros((2, -(-len(uv) // width) * width), np.float32)
    at[:, : len(uv)] = uv.T - 0.5
    x, y = at.reshape(2, -1, width)
    value = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(value).ravel()[: len(uv)]


def _difference(view: np.ndarray, start: np.ndarray) -> np.ndarray:
    """The step [6] that leads from ``view`` to ``start``."""
    return np.append(rotation_vector(start[:3, :3] @ view[:3, :3].T), start[:3, 3] - view[:3, 3])
