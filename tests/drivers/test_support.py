"""The support limit on drivers."""

from __future__ import annotations

import numpy as np
import pytest

from jean import row_file
from jean.drivers.driver_support import DriverSupport
from jean.drivers.pose_support import FURTHER_DEG, NECK, PoseSupport, mean_head_pose, pose_motion, poses_from_motion
from jean.drivers.support import CONSTANT_ROOM, LARGEST, Support
from jean.geometry import invert_pose, make_pose, rotation_angle, rotation_matrix


def correlated(count=400, seed=0):
    """Values [T, 5] that vary in two of five directions."""
    random = np.random.default_rng(seed)
    return random.normal(size=(count, 2)) * [3.0, 1.0] @ random.normal(size=(2, 5)) + 7.0


def test_values_within_the_radius_are_bit_identical():
    values = correlated()
    limited, remaining = Support.fit(values, scale_floor=0.02).limit(values)
    same = remaining == 1
    assert 0.94 < same.mean() < 0.96
    assert np.array_equal(limited[same], values[same])
    assert remaining.min() > 0.5


def test_the_axes_of_a_long_clip_are_those_of_all_its_values():
    values = correlated(2 * row_file.BLOCK + 100).astype(np.float32)
    support = Support.fit(values, scale_floor=0.02)
    np.testing.assert_allclose(support.mean, values.mean(0, dtype=np.float64), rtol=1e-9)
    np.testing.assert_allclose(support.scale, values.std(0, dtype=np.float64), rtol=1e-9)
    covariance = np.cov(((values - support.mean) / support.scale).T, bias=True)
    along = support.axes @ covariance @ support.axes.T
    np.testing.assert_allclose(along, np.diag(support.axis_std**2), atol=1e-9)
    assert len(support.axes) == 2 and np.trace(along) == pytest.approx(np.trace(covariance), rel=1e-6)


def test_correlated_values_are_limited_within_each_ones_range():
    random = np.random.default_rng(1)
    common = random.normal(size=(500, 1))
    values = common + 0.1 * random.normal(size=(500, 2))  # two correlated coefficients
    corner = np.array([[values[:, 0].max(), values[:, 1].min()]])
    limited, remaining = Support.fit(values, scale_floor=0.02).limit(corner)
    assert remaining[0] < 0.5
    assert abs(limited[0, 0] - limited[0, 1]) < 0.6  # the pair is correlated again; the input differs by about 5


def test_a_source_keeps_its_motion_and_comes_near_the_person():
    own, source = correlated(), correlated(seed=3) * 0.3
    support = Support.fit(own, scale_floor=0.02)
    moved, remaining = support.approach(source - 40)
    assert np.ptp((moved - (source - 40)), 0).max() < 1e-9  # one shift for all frames
    distance = support._norms(moved.mean(0, keepdims=True))
    assert distance[0][0] <= LARGEST * CONSTANT_ROOM * support.radius + 1e-9
    assert distance[1][0] <= LARGEST * CONSTANT_ROOM * support.residual_radius + 1e-5
    assert 0 < remaining < 0.3
    # more of the motion survives the limit than without
    spread = [np.ptp(support.limit(values)[0], 0).mean() for values in (moved, source - 40)]
    assert spread[0] > 2 * spread[1]


def test_the_person_as_its_own_source_is_unchanged():
    own = correlated()
    moved, remaining = Support.fit(own, scale_floor=0.02).approach(own)
    assert np.array_equal(moved, own) and remaining == 1


def test_limited_distances_approach_the_limit_in_the_same_direction():
    support = Support.fit(correlated(), scale_floor=0.02)
    direction = support.axes[0] * support.axis_std[0] * support.scale
    far = support.mean + direction * np.array([[1.0], [10.0], [1e6]]) * support.radius
    limited, remaining = support.limit(far)
    steps = (limited - support.mean) @ direction / (direction @ direction) / support.radius
    assert steps == pytest.approx([1.0, LARGEST, LARGEST], abs=1e-6)
    assert remaining[2] < 1e-5


def test_long_tracks_are_limited_in_pieces(monkeypatch):
    support = Support.fit(correlated(), scale_floor=0.02)
    values = 3 * correlated(seed=1)
    whole, remaining = support.limit(values)
    assert remaining.min() < 0.9
    monkeypatch.setattr(row_file, "BLOCK", 7)
    limited, left = support.limit(values)
    np.testing.assert_allclose(limited, whole, rtol=1e-12)
    np.testing.assert_allclose(left, remaining, rtol=1e-12)


def test_the_limit_is_smooth():
    support = Support.fit(correlated(), scale_floor=0.02)
    direction = support.axes[0] * support.axis_std[0] * support.scale * support.radius
    track = support.mean + np.linspace(0.5, 1.5, 2001)[:, None] * direction
    length = np.linalg.norm(support.limit(track)[0] - support.mean, axis=1)
    slope = np.diff(length)
    assert (slope > 0).all()
    assert np.abs(np.diff(slope)).max() < 0.01 * slope.max()  # no kink, also at the radius


def test_directions_without_training_motion_are_removed():
    random = np.random.default_rng(2)
    values = np.pad(random.normal(size=(300, 2)), ((0, 0), (0, 1)))  # the third value is always zero
    limited, remaining = Support.fit(values, scale_floor=0.02).limit(np.array([[0.0, 0.0, 5.0], [0.1, 0.0, 0.0]]))
    assert abs(limited[0, 2]) < 1e-6 and remaining[0] < 1e-3
    assert limited[1] == pytest.approx([0.1, 0, 0])


def test_the_support_of_one_frame_is_that_frame():
    support = Support.fit(np.ones((1, 4)), scale_floor=0.02)
    limited, _ = support.limit(np.array([[1.0, 1, 1, 1], [9.0, 0, 0, 0]]))
    assert np.allclose(limited, 1)


def talking_poses(count=200, place=(1.0, -2.0, 60.0), yaw=0.15):
    time = np.arange(count) / 25
    turns = np.stack([0.05 * np.sin(3 * time), yaw * np.sin(2 * time), 0.03 * np.cos(time)], 1)
    shifts = np.array(place) + np.stack([np.sin(time), 0.5 * np.cos(2 * time), np.sin(1.3 * time)], 1)
    return invert_pose(make_pose(rotation_matrix(turns), shifts))


def test_pose_motion_and_poses_are_inverse():
    poses = talking_poses()
    mean = mean_head_pose(poses)
    motion = pose_motion(poses, mean)
    assert np.allclose(poses_from_motion(motion, mean), poses)
    assert np.allclose(motion[:, 3:].mean(0), 0, atol=1e-9)
    # hand value: a yaw of 0.1 rad about the mean is one tenth-of-a-radian unit times one
    turned = invert_pose(make_pose(rotation_matrix(np.array([[0.0, 0.1, 0.0]])), np.array([[0.0, 0.0, 1.0]])))
    assert np.allclose(pose_motion(turned, np.eye(4)), [[0, 1, 0, 0, 0, 1]])


def test_own_poses_are_unchanged_and_distant_poses_are_limited():
    own = talking_poses()
    support = PoseSupport.fit(own)
    limited, remaining = support.limit(own)
    assert np.array_equal(limited[remaining == 1], own[remaining == 1]) and (remaining == 1).mean() > 0.85
    foreign = talking_poses(place=(30.0, 10.0, 150.0), yaw=0.9)
    limited, remaining = support.limit(support.retarget(foreign))
    assert np.degrees(rotation_angle(limited, support.mean[None])).max() < 25 < np.degrees(0.9)
    assert np.allclose(limited @ invert_pose(limited), np.eye(4), atol=1e-9)
    assert remaining.min() < 0.5


def test_an_upside_down_source_is_retargeted_to_an_upright_head():
    own = talking_poses()
    support = PoseSupport.fit(own)
    over = invert_pose(make_pose(rotation_matrix(np.array([0.0, 0.0, np.pi]))[None], np.zeros((1, 3)))) @ own
    assert np.degrees(rotation_angle(support.retarget(over), own)).max() < 25


def test_supports_are_stored_and_read():
    random = np.random.default_rng(3)
    offsets = random.normal(size=(50, 68, 2)) + 1.0
    found = DriverSupport.fit(random.normal(size=(50, 4)), offsets, talking_poses(50), random.normal(size=(50, 6)))
    again = DriverSupport.from_arrays(found.arrays())
    for one, two in zip(found.limit_offsets(3 * offsets), again.limit_offsets(3 * offsets), strict=True):
        assert np.array_equal(one, two)
    poses = talking_poses(yaw=1.0)
    assert np.array_equal(found.pose.limit(poses)[0], again.pose.limit(poses)[0])
    without = DriverSupport.fit(random.normal(size=(50, 4)), offsets, talking_poses(50), None)
    assert DriverSupport.from_arrays(without.arrays()).lips is None and again.lips is not None


def yawed(degrees):
    """Poses of a head 60 cm before the camera, turned sideways about its origin."""
    yaw = np.radians(np.asarray(degrees, float))
    rotation = rotation_matrix(np.stack([0 * yaw, yaw, 0 * yaw], -1))
    return invert_pose(make_pose(rotation, np.tile([0.0, 0.0, 60.0], (len(yaw), 1))))


def test_a_head_turns_further_than_its_torso_about_the_neck():
    support = PoseSupport.fit(yawed(4 * np.sin(np.arange(200) / 9)))
    source = yawed([0.0, 3.0, 10.0, -15.0, 60.0])
    limited = support.limit(source)[0]
    turned, remaining = support.turn_further(source, limited)
    assert np.array_equal(turned[:2], source[:2]) and (remaining[:2] == 1).all()
    beyond = np.degrees(rotation_angle(turned[:, :3, :3], limited[:, :3, :3]))
    assert 0 < beyond[2] < beyond[3] < beyond[4] <= FURTHER_DEG + 1e-6
    assert np.degrees(rotation_angle(turned[2:3, :3, :3], source[2:3, :3, :3]))[0] < 2.0
    heads = [invert_pose(poses) for poses in (turned, limited)]
    necks = [head[:, :3, :3] @ NECK + head[:, :3, 3] for head in heads]
    assert np.abs(necks[0] - necks[1]).max() < 1e-9
    assert 0.8 < remaining[2] < 1 and remaining[4] < 0.4


def test_a_smooth_turn_stays_smooth():
    support = PoseSupport.fit(yawed(4 * np.sin(np.arange(200) / 9)))
    source = yawed(np.linspace(0, 40, 801))
    turned = support.turn_further(source, support.limit(source)[0])[0]
    steps = np.degrees(rotation_angle(turned[1:, :3, :3], turned[:-1, :3, :3]))
    assert np.abs(np.diff(steps)).max() < 0.02 and steps.max() < 0.06  # the source turns 0.05 degrees per frame


def test_a_source_that_turns_over_does_not_make_the_head_jump():
    support = PoseSupport.fit(yawed(4 * np.sin(np.arange(200) / 9)))
    source = yawed(np.linspace(150, 210, 601))
    limited = support.limit(source)[0]
    turned = support.turn_further(source, limited)[0]
    steps, limits = (np.degrees(rotation_angle(poses[1:, :3, :3], poses[:-1, :3, :3])) for poses in (turned, limited))
    assert steps.max() <= limits.max() + 0.1  # the limit itself changes sides there


def test_an_unlimited_support_returns_what_it_is_given():
    random = np.random.default_rng(0)
    poses = poses_from_motion(random.normal(size=(50, 6)), np.eye(4))
    support = DriverSupport.fit(random.normal(size=(50, 8)), random.normal(size=(50, 68, 2)), poses, None).unlimited()
    values, far = 100 * random.normal(size=(9, 8)), poses_from_motion(5 * random.normal(size=(9, 6)), np.eye(4))
    limited, remaining = support.expression.limit(values)
    assert np.array_equal(limited, values) and (remaining == 1).all()
    moved, kept = support.expression.approach(values)
    np.testing.assert_allclose(moved, values)
    assert kept == 1
    near = support.pose.limit(far)[0]
    assert np.array_equal(near, far) and np.array_equal(support.pose.turn_further(far, near)[0], far)
    offsets = 50 * random.normal(size=(9, 68, 2))
    assert np.array_equal(support.limit_offsets(offsets)[0], offsets)


def test_what_is_added_leaves_room_for_the_motion_of_others():
    random = np.random.default_rng(0)
    support = Support.fit(random.normal(size=(2000, 2)), scale_floor=0.02)
    values = 0.5 * random.normal(size=(400, 2))
    assert support.share_beside(values, np.tile([0.5, 0.0], (400, 1))) == 1.0
    far = np.tile([10.0, 0.0], (400, 1))
    share = support.share_beside(values, far)
    assert 0 < share < 0.3
    moved = support.limit(values + share * far)[0]
    assert moved.std(0) == pytest.approx(values.std(0), rel=0.1)
    wide = 5 * values  # beyond the range already: what moves towards the middle may be added
    assert support.share_beside(wide, 5 * far) < 0.1 and support.share_beside(wide, -0.1 * wide) == 1.0
