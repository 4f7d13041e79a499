"""Pose refinement against ground truth: a textured ellipsoid that turns, with landmarks that drift."""

import numpy as np
import pytest

from jean.geometry import Camera, invert_pose, make_pose, mean_rotation, project, rotation_angle, rotation_matrix
from jean.preparation.head_fit.camera_fit import fit_camera
from jean.preparation.head_fit.head_space import EYE_CORNERS_CM, EYE_MIDDLE_CM
from jean.preparation.head_fit.head_texture import learn_texture
from jean.preparation.head_fit.pose_refinement import passes, refine_with_frames

SIZE, FRAMES, FPS = 128, 40, 25.0
CAMERA = Camera(176.0, (64.0, 64.0), SIZE, SIZE)
RADII, MIDDLE = np.array([7.0, 9.5, 6.0]), np.array([0.0, -0.5, 0.5])


def paint(x: np.ndarray, y: np.ndarray, wink: float) -> np.ndarray:
    """Grey levels of the texture at head-space x, y; ``wink`` darkens a spot."""
    rng = np.random.default_rng(4)
    value = np.full(x.shape, 130.0)
    for _ in range(24):
        across, down = rng.uniform(-3, 3, 2)
        value = value + 9 * np.sin(across * x + down * y + rng.uniform(0, 6))
    return value - 60 * wink * np.exp(-((x - 2.5) ** 2 + (y + 2.5) ** 2))


def draw(pose: np.ndarray, wink: float) -> np.ndarray:
    """RGB uint8 frame, by intersecting each pixel's ray with the ellipsoid."""
    at = np.arange(SIZE) + 0.5
    u, v = np.meshgrid(at, at)
    rays = np.stack([(u - 64) / CAMERA.focal_px, (v - 64) / CAMERA.focal_px, np.ones_like(u)], -1)
    direction = rays @ pose[:3, :3].T / RADII
    origin = (pose[:3, 3] - MIDDLE) / RADII
    a, b, c = (direction**2).sum(-1), (direction @ origin), (origin**2).sum() - 1
    inside = b**2 - a * c
    depth = (-b - np.sqrt(np.maximum(inside, 0))) / a
    hit = (origin + depth[..., None] * direction) * RADII + MIDDLE
    grey = np.where(inside > 0, paint(hit[..., 0], hit[..., 1], wink), 60 + 40 * np.sin(u / 7))
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, -1)


@pytest.fixture(scope="module")
def scene():
    rng = np.random.default_rng(1)
    time = np.arange(FRAMES) / FPS
    turn = np.c_[0.1 * np.sin(5 * time), 0.3 * np.sin(3 * time + 1), 0.05 * np.sin(4 * time)]
    shift = np.c_[1.5 * np.sin(2 * time), np.sin(3 * time), 50 + np.cos(2 * time)]
    poses = invert_pose(make_pose(rotation_matrix(turn), shift))
    wink = np.clip(np.sin(9 * time), 0, 1)
    frames = np.stack([draw(pose, w) for pose, w in zip(poses, wink, strict=True)])
    x, y = rng.uniform(-5, 5, 70), rng.uniform(-7, 6, 70)
    x[:2], y[:2] = [-EYE_CORNERS_CM / 2, EYE_CORNERS_CM / 2], EYE_MIDDLE_CM[1]
    height = 1 - ((x - MIDDLE[0]) / RADII[0]) ** 2 - ((y - MIDDLE[1]) / RADII[1]) ** 2
    shape = np.c_[x, y, MIDDLE[2] - RADII[2] * np.sqrt(height)]
    clean = project(shape, CAMERA, poses)
    # drift that smoothing cannot remove: slow, and the same for all points
    drift = 1.2 * np.c_[np.sin(4.3 * time), np.cos(5.1 * time)]
    points = clean + drift[:, None] + rng.normal(0, 0.2, clean.shape)
    fit = fit_camera(
        points,
        np.ones(FRAMES, bool),
        camera_guess=CAMERA,
        canonical=shape,
        stable_points=np.arange(70),
        eye_corners=(0, 1),
        components=3,
        fps=FPS,
    )
    return poses, frames, points, shape, fit


def errors_px(estimate: np.ndarray, fit, truth: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Errors of projected surface points, without the mean error of each point."""
    offset = project(fit.shape, fit.camera, estimate) - project(shape, CAMERA, truth)
    return np.linalg.norm(offset - offset.mean(0), axis=-1)


def test_refinement_removes_the_drift_of_landmarks(scene):
    poses, frames, _, shape, fit = scene
    refined = refine_with_frames(fit, frames, fps=FPS)
    before, after = (errors_px(f.camera_to_world, fit, poses, shape).mean() for f in (fit, refined))
    assert before > 0.8
    assert after < 0.35 * before
    assert refined.report["refined"] and refined.report["refine_refused_frames"] == []
    assert 0.3 < refined.report["refine_moved_px"] < 3


def test_refinement_keeps_correct_poses(scene):
    poses, frames, _, shape, fit = scene
    offset = mean_rotation(poses[:, :3, :3].transpose(0, 2, 1) @ fit.camera_to_world[:, :3, :3])
    assert rotation_angle(offset, np.eye(3)) < 0.1
    right = refine_with_frames(replace_poses(fit, poses), frames, fps=FPS, smooth=False)
    assert errors_px(right.camera_to_world, fit, poses, shape).mean() < 0.25


def replace_poses(fit, poses):
    from dataclasses import replace

    return replace(fit, camera_to_world=poses)


def test_frames_that_do_not_match_keep_the_pose_of_the_landmarks(scene):
    _, frames, _, _, fit = scene
    broken = frames.copy()
    broken[20] = np.roll(frames[20], 9, axis=1)
    refined = refine_with_frames(fit, broken, fps=FPS, smooth=False)
    np.testing.assert_allclose(np.delete(refined.camera_to_world, 20, 0).shape, (FRAMES - 1, 4, 4))
    if 20 in refined.report["refine_refused_frames"]:
        np.testing.assert_array_equal(refined.camera_to_world[20], fit.camera_to_world[20])
    moved = np.linalg.norm(
        project(fit.shape, fit.camera, refined.camera_to_world) - project(fit.shape, fit.camera, fit.camera_to_world),
        axis=-1,
    ).mean(1)
    assert moved.max() < 0.09 * fit.report["eye_distance_px"]


def test_missing_frames_progress_and_short_clips(scene):
    from dataclasses import replace

    _, frames, points, _, fit = scene
    valid = np.ones(FRAMES, bool)
    valid[10:13] = False
    holes = np.where(valid[:, None, None], points, np.nan)
    done: list[int] = []
    refined = refine_with_frames(replace(fit, valid=valid), frames, fps=FPS, points=holes, advance=done.append)
    assert sum(done) == passes(FRAMES - 3)
    assert np.isfinite(refined.camera_to_world).all() and np.isfinite(refined.coefficients).all()
    assert not np.allclose(refined.coefficients, fit.coefficients)
    few = replace(fit, valid=np.arange(FRAMES) < 5)
    unchanged = refine_with_frames(few, frames, fps=FPS)
    np.testing.assert_array_equal(unchanged.camera_to_world, fit.camera_to_world)
    assert unchanged.report["refined"] is False and "fewer" in unchanged.report["refine_note"]


@pytest.mark.slow
def test_larger_frames_give_the_same_poses(scene):
    _, frames, _, _, fit = scene
    from dataclasses import replace

    double = frames.repeat(2, 1).repeat(2, 2)
    report = fit.report | {"eye_distance_px": 2 * fit.report["eye_distance_px"]}
    large = replace(fit, camera=fit.camera.resized(2 * SIZE), report=report)
    one = refine_with_frames(fit, frames, fps=FPS, smooth=False).camera_to_world
    other = refine_with_frames(large, double, fps=FPS, smooth=False).camera_to_world
    moved = project(fit.shape, fit.camera, one) - project(fit.shape, fit.camera, other)
    assert np.linalg.norm(moved, axis=-1).mean() < 0.25


def test_a_frame_does_not_influence_its_own_prediction():
    rng = np.random.default_rng(0)
    coefficients = rng.normal(size=(20, 2))
    texels = 5 + coefficients @ rng.normal(size=(2, 7)) + rng.normal(0, 0.5, (20, 7))
    seen = np.ones((20, 7), bool)
    still, trust = np.zeros((7, 6)), np.ones(7)
    _, predicted = learn_texture(texels, seen, coefficients, still, trust)
    changed = texels.copy()
    changed[3] += 50
    _, again = learn_texture(changed, seen, coefficients, still, trust)
    np.testing.assert_allclose(again[3], predicted[3], atol=1e-9)
    assert np.abs(again[4] - predicted[4]).max() > 0.1


def test_modes_contain_no_rigid_motion():
    rng = np.random.default_rng(0)
    motion, skin = rng.normal(size=(90, 6)), rng.normal(size=90)
    coefficients = rng.normal(size=(60, 2))
    texels = coefficients[:, :1] * motion[:, 0] + coefficients[:, 1:] * skin
    texture, _ = learn_texture(texels, np.ones(texels.shape, bool), coefficients, motion, np.ones(90))
    np.testing.assert_allclose(texture.modes @ motion, 0, atol=1e-6)
    assert np.corrcoef(texture.modes[1], skin)[0, 1] > 0.9
