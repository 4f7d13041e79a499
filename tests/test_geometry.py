import numpy as np
import pytest

from jean.geometry import (
    Camera,
    blend_poses,
    fill_poses,
    invert_pose,
    make_pose,
    mean_pose,
    nearest_rotation,
    pose_jitter,
    pose_steps,
    project,
    refocus,
    rotation_angle,
    rotation_matrix,
    rotation_vector,
    similarity,
    slerp,
)

RNG = np.random.default_rng(0)
CAMERA = Camera(100.0, (50.0, 40.0), 100, 80)


def random_rotations(count: int, angle: float = np.pi) -> np.ndarray:
    axis = RNG.normal(size=(count, 3))
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    return rotation_matrix(axis * RNG.uniform(0, angle, (count, 1)))


def test_rotation_matrix_by_hand():
    quarter = rotation_matrix(np.array([0, 0, np.pi / 2]))
    np.testing.assert_allclose(quarter @ [1, 0, 0], [0, 1, 0], atol=1e-15)
    np.testing.assert_array_equal(rotation_matrix(np.zeros(3)), np.eye(3))


def test_rotation_matrix_agrees_with_scipy():
    from scipy.spatial.transform import Rotation

    vector = RNG.normal(size=(50, 3)) * 2
    np.testing.assert_allclose(rotation_matrix(vector), Rotation.from_rotvec(vector).as_matrix(), atol=1e-13)


@pytest.mark.parametrize("angle", [0.0, 1e-12, 1e-7, 1e-3, 1.0, 3.0, np.pi - 1e-7, np.pi])
def test_rotation_vector_inverts_at_every_angle(angle):
    axis = RNG.normal(size=(40, 3))
    vector = angle * axis / np.linalg.norm(axis, axis=1, keepdims=True)
    back = rotation_vector(rotation_matrix(vector))
    if angle == np.pi:  # both signs are right
        back *= np.sign((back * vector).sum(1, keepdims=True))
    np.testing.assert_allclose(back, vector, atol=1e-9)


def test_nearest_rotation_is_a_rotation_even_of_a_reflection():
    near = nearest_rotation(np.stack([np.diag([1.0, 1, -1]), random_rotations(1)[0] + 0.1]))
    np.testing.assert_allclose(near @ near.transpose(0, 2, 1), np.tile(np.eye(3), (2, 1, 1)), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(near), 1.0)


def test_invert_pose_against_matrix_inverse():
    poses = make_pose(random_rotations(5), RNG.normal(size=(5, 3)))
    np.testing.assert_allclose(invert_pose(poses), np.linalg.inv(poses), atol=1e-12)


def test_project_by_hand():
    behind = make_pose(np.eye(3), np.array([0.0, 0, -10]))  # camera ten behind the origin, looking along z
    uv = project(np.array([[0.0, 0, 0], [1, 2, 10], [0, 0, -11]]), CAMERA, behind)
    np.testing.assert_allclose(uv[:2], [[50, 40], [55, 50]])
    assert np.isnan(uv[2]).all()


def test_project_against_the_camera_matrix():
    poses = make_pose(random_rotations(3, 0.4), RNG.normal(size=(3, 3)) - [0, 0, 30])
    points = RNG.normal(size=(7, 3))
    for pose, uv in zip(poses, project(points, CAMERA, poses), strict=True):
        homogeneous = CAMERA.matrix() @ (np.linalg.inv(pose) @ np.c_[points, np.ones(7)].T)[:3]
        np.testing.assert_allclose(uv, (homogeneous[:2] / homogeneous[2]).T)


@pytest.mark.parametrize("dimension", [2, 3])
def test_similarity_recovers_and_never_reflects(dimension):
    source = RNG.normal(size=(10, dimension))
    rotation = (
        nearest_rotation(RNG.normal(size=(dimension, dimension)))
        if dimension == 3
        else np.array([[0.6, -0.8], [0.8, 0.6]])
    )
    scale, found, offset = similarity(source, 2.5 * source @ rotation.T + 3)
    assert scale == pytest.approx(2.5)
    np.testing.assert_allclose(found, rotation, atol=1e-12)
    np.testing.assert_allclose(offset, 3, atol=1e-12)
    _, mirrored, _ = similarity(source, source * ([-1] + [1] * (dimension - 1)))
    assert np.linalg.det(mirrored) == pytest.approx(1)


def test_similarity_ignores_points_of_weight_zero():
    source = RNG.normal(size=(6, 3))
    target = source.copy()
    target[5] += 100
    scale, rotation, _ = similarity(source, target, weights=np.array([1, 1, 1, 1, 1, 0.0]))
    assert scale == pytest.approx(1)
    np.testing.assert_allclose(rotation, np.eye(3), atol=1e-12)


def test_slerp_halves_the_angle_and_meets_the_ends():
    first, second = random_rotations(20), random_rotations(20)
    half = slerp(first, second, 0.5)
    np.testing.assert_allclose(rotation_angle(first, half), rotation_angle(first, second) / 2, atol=1e-9)
    np.testing.assert_allclose(slerp(first, second, np.ones(20)), second, atol=1e-12)


def test_mean_pose_is_the_middle_of_a_pair():
    pair = make_pose(random_rotations(2, 1.0), RNG.normal(size=(2, 3)))
    middle = mean_pose(pair)
    assert rotation_angle(pair[0], middle) == pytest.approx(rotation_angle(pair[1], middle))
    np.testing.assert_allclose(middle, blend_poses(pair[0], pair[1], 0.5), atol=1e-12)


def test_fill_poses_blends_inside_and_holds_outside():
    angle = np.linspace(0, 0.7, 8)
    truth = make_pose(rotation_matrix(np.c_[angle, 0 * angle, 0 * angle]), np.c_[angle, angle**0, -angle])
    broken = truth.copy()
    known = np.array([0, 1, 1, 0, 0, 1, 0, 0], bool)
    broken[~known] = np.nan
    filled = fill_poses(broken, known)
    np.testing.assert_allclose(filled[1:6], truth[1:6], atol=1e-12)
    np.testing.assert_array_equal(filled[[0, 6, 7]], truth[[1, 5, 5]])
    with pytest.raises(ValueError):
        fill_poses(broken, np.zeros(8, bool))


def test_steps_and_jitter_of_a_known_motion():
    frames = np.arange(10.0)
    turning = rotation_matrix(np.c_[0 * frames, 0.01 * frames, 0 * frames])
    steady = invert_pose(make_pose(turning, np.c_[frames, 0 * frames, 0 * frames + 50]))
    np.testing.assert_allclose(pose_steps(steady), np.tile([0, 0.01, 0, 1, 0, 0], (9, 1)), atol=1e-12)
    np.testing.assert_allclose(pose_jitter(steady), 0, atol=1e-9)
    shaken = invert_pose(make_pose(turning, np.c_[(-1) ** frames, 0 * frames, 0 * frames + 50]))
    assert pose_jitter(shaken)[1] == pytest.approx(4)
    shaken[4] = np.nan
    assert pose_jitter(shaken)[1] == pytest.approx(4)
    assert np.isnan(pose_jitter(steady[:2])).all()


def test_a_refocused_camera_shows_a_flat_face_unchanged():
    face = np.concatenate([RNG.normal(size=(20, 2)), np.zeros((20, 1))], 1)
    pose = invert_pose(make_pose(np.eye(3), np.array([3.0, -2.0, 60.0])))
    longer = Camera(CAMERA.focal_px * 1.5, CAMERA.center_px, CAMERA.width_px, CAMERA.height_px)
    moved = refocus(pose, 1.5)
    np.testing.assert_allclose(invert_pose(moved)[:3, 3], [3.0, -2.0, 90.0])
    np.testing.assert_allclose(project(face, longer, moved), project(face, CAMERA, pose), atol=1e-9)
