"""Camera fit against ground truth: a random head that moves and talks before a known camera, with noise."""

from dataclasses import dataclass

import numpy as np
import pytest

from jean import row_file
from jean.errors import InputError
from jean.geometry import Camera, invert_pose, make_pose, pose_jitter, project, rotation_angle, rotation_matrix
from jean.preparation.head_fit import camera_fit
from jean.preparation.head_fit.camera_fit import fit_camera
from jean.preparation.head_fit.head_space import EYE_CORNERS_CM, EYE_MIDDLE_CM
from jean.preparation.head_fit.pose_smoothing import max_strength, smooth_poses

GUESS = Camera(210.0, (128.0, 128.0), 256, 256)
EYES, FPS = (0, 1), 25.0


@dataclass
class Truth:
    camera: Camera
    poses: np.ndarray
    canonical: np.ndarray
    shape: np.ndarray
    stable: np.ndarray
    clean: np.ndarray
    points: np.ndarray


def head_points(count: int, rng: np.random.Generator) -> np.ndarray:
    """A convex face: half an ellipsoid, with the eye corners of head space."""
    x, y = rng.uniform(-6, 6, count), rng.uniform(-8, 7, count)
    z = -6 * np.sqrt(np.maximum(0, 1 - (x / 8) ** 2 - (y / 10) ** 2)) + rng.normal(0, 0.5, count)
    shape = np.c_[x, y, z]
    half = np.array([EYE_CORNERS_CM / 2, 0, 0])
    shape[0], shape[1] = EYE_MIDDLE_CM - half, EYE_MIDDLE_CM + half
    return shape


def make_truth(frames=120, count=60, noise=0.4, focal=330.0, seed=0, nod_hz=1.1) -> Truth:
    rng = np.random.default_rng(seed)
    canonical = head_points(count, rng)
    shape = canonical + rng.normal(0, 0.3, canonical.shape)
    shape[:2] = canonical[:2]
    time = np.arange(frames) / FPS
    waves = [
        np.sin(2 * np.pi * hz * time + phase) for hz, phase in ((nod_hz, 0), (0.31, 1), (0.5, 2), (0.23, 3), (0.4, 4))
    ]
    turn = np.c_[0.12 * waves[0], 0.35 * waves[1], 0.08 * waves[2]]
    shift = np.c_[1.5 * waves[2], 1.0 * waves[3], 45 + 2 * waves[4]]
    poses = invert_pose(make_pose(rotation_matrix(turn), shift))
    mouth = shape[:, 1] > 2
    opening = 0.6 * np.abs(np.sin(2 * np.pi * 2.3 * time))
    smile = 0.4 * np.sin(2 * np.pi * 0.4 * time)
    moving = shape[None] + opening[:, None, None] * (mouth * (shape[:, 1] - 2) / 5)[None, :, None] * [0, 1, 0.2]
    moving = moving + smile[:, None, None] * (mouth * np.sign(shape[:, 0]))[None, :, None] * [1, 0, 0]
    camera = Camera(focal, GUESS.center_px, 256, 256)
    clean = np.stack([project(moving[t], camera, poses[t]) for t in range(frames)])
    points = clean + rng.normal(0, noise, clean.shape)
    return Truth(camera, poses, canonical, shape, np.flatnonzero(~mouth), clean, points)


def fit(truth: Truth, points=None, valid=None, **options):
    points = truth.points if points is None else points
    valid = np.ones(len(points), bool) if valid is None else valid
    settings = {"camera_guess": GUESS, "canonical": truth.canonical, "stable_points": truth.stable, "fps": FPS}
    return fit_camera(points, valid, eye_corners=EYES, components=6, **(settings | options))


def pose_errors_deg(estimate: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Angles without the mean rotation, which a fit of an unknown head cannot determine."""
    from jean.geometry import mean_rotation

    views, views_truth = estimate[:, :3, :3].transpose(0, 2, 1), truth[:, :3, :3].transpose(0, 2, 1)
    common = mean_rotation(views.transpose(0, 2, 1) @ views_truth)
    return np.degrees(rotation_angle(views @ common, views_truth))


@pytest.fixture(scope="module")
def truth() -> Truth:
    return make_truth()


@pytest.fixture(scope="module")
def result(truth):
    return fit(truth)


def test_focal_length_and_poses_match_the_ground_truth(truth, result):
    assert result.camera.focal_px == pytest.approx(truth.camera.focal_px, rel=0.06)
    assert result.camera.center_px == GUESS.center_px
    errors = pose_errors_deg(result.camera_to_world, truth.poses)
    assert np.median(errors) < 0.35 and errors.max() < 1.2


def test_projections_match_the_points_without_noise(truth, result):
    deformed = result.shape + np.einsum("tk,kpc->tpc", result.coefficients, result.basis)
    predicted = np.stack([project(d, result.camera, p) for d, p in zip(deformed, result.camera_to_world, strict=True)])
    assert np.linalg.norm(predicted - truth.clean, axis=-1).mean() < 0.35  # the noise is 0.5 on average


def test_the_shape_is_in_head_space(result):
    np.testing.assert_allclose(result.shape[1] - result.shape[0], [EYE_CORNERS_CM, 0, 0], atol=1e-9)
    np.testing.assert_allclose((result.shape[0] + result.shape[1]) / 2, EYE_MIDDLE_CM, atol=1e-9)


def test_left_out_points_are_predicted_to_within_the_noise(result):
    error = result.report["left_out_error"]
    assert error["mean_px"] < 0.4 * 1.25 * 1.3  # the mean length of the noise is 1.25 standard deviations
    assert error["mean_share"] < 0.03


def test_left_out_observations_do_not_influence_the_fit(truth):
    """Only left-out points are wrong: the fit must not use them, so their error equals their offset."""
    left_out = np.random.default_rng(3).random(truth.points.shape[:2]) < 0.1
    corrupted = truth.points + 30.0 * left_out[..., None]
    report = fit(truth, corrupted, held_out_points=left_out).report
    assert report["left_out_error"]["median_px"] == pytest.approx(30 * np.sqrt(2), rel=0.05)


def test_smoothing_brings_jitter_closer_to_the_ground_truth(truth, result):
    before, after = result.report["jitter_unsmoothed"], result.report["jitter"]
    real = pose_jitter(truth.poses)[0]
    assert after["rotation_deg"] < 0.7 * before["rotation_deg"]
    assert real < after["rotation_deg"] < 1.5 * real
    rough = fit(truth, smooth=False)
    errors = [pose_errors_deg(fitted.camera_to_world, truth.poses).mean() for fitted in (result, rough)]
    assert errors[0] < 0.9 * errors[1]


@pytest.mark.parametrize("nod_hz", [pytest.param(1.0, marks=pytest.mark.slow), 3.0])
def test_a_real_nod_keeps_its_amplitude(nod_hz):
    truth = make_truth(noise=0.6, nod_hz=nod_hz, frames=150)
    fitted = fit(truth)
    time = np.arange(150) / FPS
    wave = np.exp(2j * np.pi * nod_hz * time)
    views = fitted.camera_to_world[:, :3, :3].transpose(0, 2, 1)
    pitch = np.arcsin(views[:, 2, 1])
    true_pitch = np.arcsin(truth.poses[:, :3, :3].transpose(0, 2, 1)[:, 2, 1])
    gain = abs((pitch * wave).sum()) / abs((true_pitch * wave).sum())
    assert 0.95 <= gain <= 1.05


def test_smoothing_keeps_the_promised_fraction_of_a_motion():
    time = np.arange(300) / FPS
    nod = rotation_matrix(np.c_[0.05 * np.sin(2 * np.pi * 3 * time), 0 * time, 0 * time])
    poses = invert_pose(make_pose(nod, np.tile([0, 0, 50.0], (300, 1))))
    smooth = smooth_poses(poses, np.ones(300, bool), FPS, strength=max_strength(FPS))
    middle = slice(50, 250)
    ratio = np.std(smooth[middle, 2, 1]) / np.std(poses[middle, 2, 1])
    assert ratio == pytest.approx(0.95, abs=0.005)


def test_frames_without_a_face_are_interpolated(truth):
    valid = np.ones(120, bool)
    valid[50:55] = valid[:3] = False
    points = np.where(valid[:, None, None], truth.points, np.nan)
    fitted = fit(truth, points, valid)
    assert np.isfinite(fitted.camera_to_world).all() and np.isfinite(fitted.coefficients).all()
    np.testing.assert_array_equal(fitted.valid, valid)
    assert pose_errors_deg(fitted.camera_to_world, truth.poses)[50:55].max() < 3
    assert fitted.report["frames_fitted"] == 112


def test_outliers_do_not_move_the_head(truth, result):
    rng = np.random.default_rng(5)
    corrupted = truth.points.copy()
    hit = rng.random(corrupted.shape[:2]) < 0.05
    corrupted[hit] += rng.normal(0, 25, (hit.sum(), 2))
    errors = pose_errors_deg(fit(truth, corrupted).camera_to_world, truth.poses)
    assert np.median(errors) < 1.5 * np.median(pose_errors_deg(result.camera_to_world, truth.poses)) + 0.05


def test_the_fit_works_without_a_mean_face(truth):
    fitted = fit(truth, canonical=None)
    assert fitted.camera.focal_px == pytest.approx(truth.camera.focal_px, rel=0.2)
    assert np.median(pose_errors_deg(fitted.camera_to_world, truth.poses)) < 1.0


@pytest.mark.slow
def test_the_window_does_not_change_the_result(truth, result):
    windowed = fit(truth, window=17)
    np.testing.assert_allclose(windowed.camera_to_world, result.camera_to_world, atol=5e-3)


@pytest.mark.slow
def test_the_fit_is_deterministic(truth, result):
    np.testing.assert_array_equal(fit(truth).camera_to_world, result.camera_to_world)


@pytest.mark.parametrize("frames", [1, 2, 5, 30])
def test_short_clips_give_finite_results(frames):
    truth = make_truth(frames=frames)
    fitted = fit(truth)
    assert fitted.camera_to_world.shape == (frames, 4, 4)
    assert np.isfinite(fitted.camera_to_world).all()
    assert fitted.coefficients.shape == (frames, len(fitted.basis))


def test_the_report_compares_the_trackers_poses(truth):
    report = fit(truth, initial_camera_to_world=truth.poses).report
    assert report["tracker_jitter"]["rotation_deg"] == pytest.approx(pose_jitter(truth.poses)[0])
    assert report["tracker_error"]["mean_share"] > report["left_out_error"]["mean_share"]


def test_no_face_and_a_wrong_mean_face_are_rejected(truth):
    with pytest.raises(InputError, match="no frame"):
        fit(truth, np.full_like(truth.points, np.nan), np.zeros(120, bool))
    with pytest.raises(InputError, match="mean face"):
        fit(truth, canonical=truth.canonical[:-1])


def test_points_are_read_in_pieces_with_the_same_result(monkeypatch, tmp_path):
    random = np.random.default_rng(0)
    points = np.memmap(tmp_path / "points.f32", np.float32, "w+", shape=(70, 9, 2))
    points[:] = random.random(points.shape)
    points[random.random(points.shape) < 0.05] = np.nan
    monkeypatch.setattr(row_file, "BLOCK", 16)
    mask = camera_fit.known_points(points)
    np.testing.assert_array_equal(mask, np.isfinite(points).all(-1))
    drawn = camera_fit._left_out(mask, None, 3)
    np.testing.assert_array_equal(drawn, (np.random.default_rng(3).random(mask.shape) < camera_fit.LEFT_OUT) & mask)


def test_a_long_clip_is_not_copied_into_memory(monkeypatch, tmp_path):
    import tracemalloc

    points = np.memmap(tmp_path / "points.f32", np.float32, "w+", shape=(20_000, 100, 2))
    points[:] = 1.0
    monkeypatch.setattr(row_file, "BLOCK", 500)
    tracemalloc.start()
    mask = camera_fit.known_points(points)
    camera_fit._left_out(mask, None, 0)
    camera_fit.start_shape(points, mask, np.zeros((100, 3)), (0, 1))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 0.5 * points.nbytes, "two masks of a byte per point, and one piece"
