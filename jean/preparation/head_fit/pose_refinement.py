"""Refines head poses on the frames themselves: aligns each frame with its prediction from the other frames.

Landmarks drift by about a pixel with expression and angle. The drift is alike in neighbouring frames, so no
smoothing removes it; skin, nostrils and brows do not drift. The rigid surface of the fitted shape gets a
texture: its mean over the clip plus a part that is linear in the deformation coefficients (raised brows,
closed lids). It is learned on keyframes, and a frame is left out of its own prediction. Each frame's pose is
then moved until the frame matches its prediction, by Gauss-Newton on high-pass filtered grey levels, with
robust weights against shadows and hair and with the landmarks' pose as a weak prior. Texture and poses
alternate a few times.

All frames are treated alike, also frames that a later training holds out: as with any tracker, a pose is
measured on its own frame. No head model is fitted to those pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from jean.geometry import cross_matrix, fill_poses, invert_pose, rotation_matrix, rotation_vector
from jean.preparation.head_fit.camera_fit import CameraFit, jitter_report, resolve_coefficients
from jean.preparation.head_fit.head_texture import Texture, head_surface, learn_texture
from jean.preparation.head_fit.pose_smoothing import smooth_poses

WORKING_EYES_PX = 80.0  # frames are shrunk to this distance between the outer eye corners
TEXEL_PX = 1.25  # distance of texels
KEYFRAMES = 150  # frames that the texture is learned on
MODES = 4  # deformation coefficients that the texture depends on; with more, the texture explains wrong poses
ROUNDS = 3  # alternations of texture and poses
STEPS = 3  # Gauss-Newton steps per round; twice as many once the texture is final
CAUCHY = 2.4  # Cauchy scale of the robust weights, in units of the noise
FACING = 0.35  # cosine of the angle between normal and ray; surface at flatter angles is ignored
CORRELATED = 50.0  # errors of neighbouring texels are correlated: about 7 × 7 texels count as one
PRIOR_PX = 1.5  # the prior of the landmarks' pose equals PRIOR_POINTS independent points with this noise
PRIOR_POINTS = 10.0
MAX_SHIFT = 0.08  # fraction of the eye distance; a frame that moves further keeps the landmarks' pose
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
    """Refines the poses of a fit on the frames.

    Args:
        fit: result of ``fit_camera``.
        frames: RGB uint8 [T, H, W, 3], any sequence of frames; each is read several times.
        fps: frames per second.
        points: tracked points [T, P, 2], px, from which the coefficients are solved again under the new poses;
            None keeps the coefficients.
        smooth: False keeps the poses as measured.
        advance: called with the number of frames done, ``passes(len(frames))`` in total.

    Returns:
        A new fit; ``report["refined"]`` states whether poses were refined. With fewer than ``MIN_FRAMES`` valid
        frames the poses stay, and ``report["refine_note"]`` gives the reason.
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
    leave_one_out = dict(zip(keys.tolist(), predictions, strict=True))
    limit = MAX_SHIFT * WORKING_EYES_PX
    measured = np.full_like(view, np.nan)
    information = np.zeros((6, 6))
    rejected, shifts = [], []
    for t in index.tolist():
        prediction = leave_one_out.get(t, texture.mean + modes[t] @ texture.modes)
        trial, certainty = aligner.align(t, view[t], start[t], prediction, texture.noise, 2 * STEPS)
        shift = aligner.shift(start[t], trial)
        if not shift < limit:
            rejected.append(t)
        else:
            measured[t] = invert_pose(trial)
            information += certainty / len(index)
            shifts.append(shift)
        advance(1)
    aligned = np.isfinite(measured[:, 0, 0])
    if aligned.sum() < MIN_FRAMES:
        return replace(fit, report=report | {"refined": False, "refine_note": "too few frames could be aligned"})
    # frames that could not be aligned keep the pose of the landmarks
    measured[fit.valid & ~aligned] = fit.camera_to_world[fit.valid & ~aligned]
    measured = fill_poses(measured, fit.valid)
    poses = smooth_poses(measured, fit.valid, fps, noise_shape=np.linalg.inv(information)) if smooth else measured
    refined = replace(fit, camera_to_world=poses)
    report |= {
        "refined": True,
        "refine_moved_px": float(np.median(shifts) / aligner.scale),
        "refine_refused_frames": rejected,
        "jitter": jitter_report(poses, fit.valid),
        "jitter_unsmoothed": jitter_report(measured, fit.valid),
        "smoothed": smooth,
    }
    refined = replace(refined, report=report)
    return refined if points is None else resolve_coefficients(refined, points)


def passes(frames: int) -> int:
    """Total count that ``refine_with_frames`` reports to ``advance`` for a clip of ``frames`` valid frames."""
    return ROUNDS * min(KEYFRAMES, frames) + frames


class _Aligner:
    """Aligns frames with predictions: surface, camera and frames of a clip at working size.

    A filtered frame is a tuple of grey levels without slow changes and their two derivatives, float32 [h, w].
    """

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

    def filtered(self, t: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Frame ``t``, high-pass filtered."""
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

    def _project(self, view: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The surface in camera axes [N, 3], in px [N, 2], and its visibility, bool [N]."""
        in_camera = self.surface.positions @ view[:3, :3].T + view[:3, 3]
        uv = self.focal * in_camera[:, :2] / in_camera[:, 2:] + self.center
        cosine = -((self.surface.normals @ view[:3, :3].T) * in_camera).sum(1) / np.linalg.norm(in_camera, axis=1)
        inside = ((uv > 1) & (uv < np.array(self.size) - 1)).all(1)
        return in_camera, uv, (cosine > FACING) & inside

    def learn(self, view: np.ndarray, keys: np.ndarray, coefficients: np.ndarray) -> tuple[Texture, np.ndarray]:
        """Learns the texture, and predicts each keyframe from the other keyframes [len(keys), N]."""
        texels = np.zeros((len(keys), len(self.surface.positions)), np.float32)
        visible = np.zeros(texels.shape, bool)
        motion = np.zeros((texels.shape[1], 6))
        for row, t in enumerate(keys.tolist()):
            value, slopes, visible[row] = self._sample_surface(self.filtered(t), view[t])
            texels[row] = value
            motion += slopes * visible[row, :, None]
        motion /= np.maximum(visible.sum(0), 1)[:, None]
        return learn_texture(texels, visible, coefficients[keys], motion, self.surface.trust)

    def _sample_surface(
        self, filtered: tuple[np.ndarray, np.ndarray, np.ndarray], view: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Grey levels on the surface [N], their derivative by a step of the view [N, 6], visibility [N]."""
        in_camera, uv, visible = self._project(view)
        value, by_x, by_y = (_sample(image, uv) for image in filtered)
        slope_x, slope_y = by_x * self.focal[0] / in_camera[:, 2], by_y * self.focal[1] / in_camera[:, 2]
        slope_z = -(slope_x * in_camera[:, 0] + slope_y * in_camera[:, 1]) / in_camera[:, 2]
        slope = np.stack([slope_x, slope_y, slope_z], 1)
        return value, np.concatenate([np.cross(in_camera - view[:3, 3], slope), slope], axis=1), visible

    def align(
        self, t: int, view: np.ndarray, start: np.ndarray, prediction: np.ndarray, noise: np.ndarray, steps: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """The view [4, 4] at which the frame matches its prediction, and its information matrix [6, 6]."""
        filtered = self.filtered(t)
        view = view.copy()
        information = np.zeros((6, 6))
        for _ in range(steps):
            value, slopes, visible = self._sample_surface(filtered, view)
            # the exposure may differ: contrast and level of the prediction are fitted too
            jacobian = np.concatenate([slopes, -prediction[:, None], np.ones((len(value), 1))], axis=1)
            residual = prediction - value
            weight = self.surface.trust * visible / noise**2 / (1 + (residual / (CAUCHY * noise)) ** 2) / CORRELATED
            normal = (jacobian * weight[:, None]).T @ jacobian
            gradient = (jacobian * weight[:, None]).T @ residual
            information = normal[:6, :6].copy()
            prior = self._prior(view)
            normal[:6, :6] += prior
            gradient[:6] += prior @ _difference(view, start)
            normal[6, 6] += 100.0  # prior of the contrast: standard deviation 0.1
            normal[7, 7] += 1e-3
            step = np.linalg.solve(normal, gradient)
            view[:3, :3] = rotation_matrix(step[:3]) @ view[:3, :3]
            view[:3, 3] += step[3:6]
        return view, information + prior

    def _prior(self, view: np.ndarray) -> np.ndarray:
        """Information matrix [6, 6] of the landmarks' pose."""
        sample = slice(None, None, 37)  # enough texels for a mean
        rotated = self.surface.positions @ view[:3, :3].T
        x = (rotated + view[:3, 3])[sample]
        by_position = np.zeros((len(x), 2, 3))
        by_position[:, 0, 0], by_position[:, 1, 1] = self.focal[0] / x[:, 2], self.focal[1] / x[:, 2]
        by_position[:, :, 2] = -self.focal * x[:, :2] / x[:, 2:] ** 2
        by_view = np.concatenate([-by_position @ cross_matrix(rotated[sample]), by_position], axis=-1)
        return np.einsum("nia,nib->ab", by_view, by_view) / len(by_view) * PRIOR_POINTS / PRIOR_PX**2

    def shift(self, before: np.ndarray, after: np.ndarray) -> float:
        """Mean distance by which the surface moves in the image, in px of the working size."""
        return float(np.linalg.norm(self._project(after)[1] - self._project(before)[1], axis=1).mean())


def _sample(image: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Values [N] of an image at px [N, 2], bilinear."""
    import cv2

    # OpenCV's maps may not be wider than a 16-bit integer: fold the list into rows
    width = 1024
    at = np.zeros((2, -(-len(uv) // width) * width), np.float32)
    at[:, : len(uv)] = uv.T - 0.5
    x, y = at.reshape(2, -1, width)
    value = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(value).ravel()[: len(uv)]


def _difference(view: np.ndarray, start: np.ndarray) -> np.ndarray:
    """The step of the view [6] from ``view`` to ``start``."""
    return np.append(rotation_vector(start[:3, :3] @ view[:3, :3].T), start[:3, 3] - view[:3, 3])
