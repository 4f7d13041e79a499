"""The functions that mattings share."""

from __future__ import annotations

import numpy as np
import pytest

from jean.features.matting.colour import UNIFORM, colour_density, estimate_plate, look_up
from jean.features.matting.common import BLOCK_FRAMES, BLOCK_MIN_FRAMES, block_length, process_blocks, to_uint8
from jean.features.matting.edges import ColourGuide, enlarge
from jean.features.matting.motion import MotionSmoother, motion_log_odds
from jean.features.matting.refine import close_pockets, remove_specks
from jean.features.matting.shape import head_similarity, jaw_distance, prior_odds
from jean.features.matting.still import always_covered, still_background
from tests.helpers.drawn_speaker import clip, template

NOBODY = np.full((68, 2), np.nan)


def blank(value: int = 0) -> np.ndarray:
    return np.full((32, 32, 3), value, np.uint8)


def marked(block):
    """A matting whose opacity is the frame's own value."""
    return np.stack([rgb[..., :2] for rgb, _ in block])


@pytest.mark.parametrize("count", [0, 1, 92, 99, 100, 101, 192, 193, 250])
def test_blocks_yield_every_frame_once_and_in_order(count):
    found = [matte[0, 0, 0] for matte in process_blocks(((blank(t), NOBODY) for t in range(count)), marked)]
    assert found == list(range(count))


def test_mattes_of_consecutive_blocks_blend():
    sizes = []

    def process(block):
        sizes.append(len(block))
        return np.full((len(block), 4, 4, 2), 200 if len(sizes) > 1 else 0, np.uint8)

    found = [int(matte[0, 0, 0]) for matte in process_blocks(((blank(), NOBODY) for _ in range(150)), process)]
    assert sizes == [BLOCK_FRAMES, 58]
    assert found[:92] == [0] * 92 and found[100:] == [200] * 50
    assert np.abs(np.diff(found)).max() <= 30


def test_at_most_one_block_is_read_ahead():
    taken = 0

    def frames():
        nonlocal taken
        for _ in range(300):
            taken += 1
            yield blank(), NOBODY

    stream = process_blocks(frames(), marked)
    next(stream)
    assert taken == BLOCK_FRAMES


def test_blocks_of_large_frames_are_short():
    assert block_length(256 * 256 * 3) == BLOCK_FRAMES
    assert BLOCK_MIN_FRAMES <= block_length(1024 * 1024 * 3) < 40
    assert block_length(8000 * 8000 * 3) == BLOCK_MIN_FRAMES


def test_uint8_opacities_never_exceed_255_in_sum():
    head = np.random.default_rng(0).random((50, 50))
    both = to_uint8(head, 1 - head)
    assert (both.sum(-1, dtype=int) == 255).all()


def test_the_guided_filter_moves_an_edge_to_the_edge_of_the_colours():
    rgb = np.zeros((40, 40, 3), np.uint8)
    rgb[:, 20:] = (200, 150, 40)
    rough = np.zeros((40, 40), np.float32)
    rough[:, 22:] = 1  # two pixels off
    filtered = ColourGuide(rgb, 4, 1e-4).filter(rough)
    assert filtered[:, 21].min() > 0.4 and filtered[:, 19].max() < 0.1
    assert np.abs(ColourGuide(rgb, 4, 1e-4).filter(np.full((40, 40), 0.3, np.float32)) - 0.3).max() < 1e-3


def test_enlarging_keeps_sharp_edges():
    full = np.zeros((128, 128, 3), np.uint8)
    full[:, 62:] = 220
    small = full.reshape(32, 4, 32, 4, 3).mean((1, 3)).astype(np.uint8)
    alpha = np.clip(small[..., 0] / 220, 0, 1).astype(np.float32)
    large = enlarge(alpha, small, full)
    assert large.shape == (128, 128)
    assert large[:, 63].min() > 0.85 and large[:, 60].max() < 0.15


def test_temporal_smoothing_reduces_noise_and_follows_motion():
    random = np.random.default_rng(0)
    texture = random.integers(0, 255, (64, 100, 3)).astype(np.uint8)
    import cv2

    texture = cv2.GaussianBlur(texture, (0, 0), 2)
    texture = cv2.normalize(texture, None, 0, 255, cv2.NORM_MINMAX)
    frames = np.stack([texture[:, 2 * t : 2 * t + 64] for t in range(10)])
    truth = np.stack([np.tile((np.arange(64) + 2 * t > 40).astype(np.float32), (64, 1)) for t in range(10)])
    noisy = (truth + random.normal(0, 0.3, truth.shape)).astype(np.float32)
    inner = np.s_[2:-2, 8:-8, 8:-8]
    before, after = (
        np.abs(noisy - truth)[inner].mean(),
        np.abs(MotionSmoother(frames).smooth(noisy) - truth)[inner].mean(),
    )
    assert after < 0.7 * before


def test_areas_that_stay_while_the_head_moves_are_background():
    import cv2

    frames, points, truth = clip(16, reach_px=9.0)
    pattern = np.kron(np.random.default_rng(3).integers(0, 90, (32, 32)), np.ones((4, 4)))[..., None].astype(np.uint8)
    frames = np.where(truth.any(-1)[..., None], frames, frames + pattern)
    odds = motion_log_odds(frames, points.astype(float), np.array([6, 9]))
    head = np.stack([cv2.erode(t.astype(np.uint8), np.ones((5, 5), np.uint8)) for t in truth[[6, 9], :, :, 0]]) > 0
    wall_beside = ~truth[[6, 9]].any(-1) & (np.arange(128)[:, None] < 90)
    assert odds.max() <= 0
    assert odds[wall_beside].mean() < -0.5 and odds[head].mean() > -0.05
    resting, still_points, _ = clip(12, reach_px=0.0)
    assert not motion_log_odds(resting, still_points.astype(float), np.array([5])).any()


def test_colour_density_integrates_to_one():
    colours = np.random.default_rng(0).integers(0, 256, (5000, 3)).astype(np.uint8)
    density = colour_density(colours, np.ones(5000))
    assert density.sum() * 8.0**3 == pytest.approx(1.0, abs=1e-3)
    red = np.tile(np.array([[200, 10, 10]], np.uint8), (100, 1))
    found = look_up(colour_density(red, np.ones(100)), np.array([[[200, 10, 10], [10, 200, 10]]], np.uint8))
    assert found[0, 0] > 100 * UNIFORM > found[0, 1] > 0
    assert (colour_density(red, np.zeros(100)) > 0).all()


def test_the_plate_shows_the_background():
    frames, _, truth = clip(20)
    plate = estimate_plate(frames, truth.any(-1).astype(np.float32))
    never = truth.any(-1).all(0)
    assert plate.observed.mean() > 0.3 and not plate.observed[never].any()
    from tests.helpers.drawn_speaker import wall

    assert np.abs(plate.colour - wall())[plate.observed].mean() < 3


def test_a_still_wall_is_background_and_a_moving_one_is_not():
    frames, points, truth = clip(20)
    still = still_background(frames, points)
    assert still.mean() > 0.15
    assert (still & truth[..., 0].any(0)).sum() < 0.01 * truth[0, ..., 0].sum()
    shaken = np.stack([np.roll(frame, 5 * (t % 4), axis=1) for t, frame in enumerate(frames)])
    assert still_background(shaken, points).mean() < 0.5 * still.mean()
    assert not still_background(frames[:3], points[:3]).any()


def test_areas_far_from_still_background_are_foreground_if_the_head_rests():
    frames, points, truth = clip(20, reach_px=1.0)
    still = still_background(frames, points)
    covered = always_covered(still, points.astype(float))
    assert covered.sum() > 0.3 * truth[0, ..., 0].sum()
    assert not (covered & ~truth.any((0, -1))).any()
    _, wide, _ = clip(20, reach_px=20.0)
    assert not always_covered(still, wide.astype(float)).any()


def test_head_coordinates_rotate_with_the_head():
    points = template() * 50 + [60, 70]
    angle = 0.4
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turned = 1.7 * points @ turn.T + [5, -3]
    for each in (points, turned):
        matrix = head_similarity(each)
        inside = each @ matrix[:, :2].T + matrix[:, 2]
        assert np.allclose(inside.mean(0), 0) and np.isclose((inside**2).sum(1).mean(), 1)
        assert abs(inside[45, 1] - inside[36, 1]) < 1e-9 and inside[8, 1] > 1


def test_prior_odds_and_jaw_agree_with_the_drawing():
    _, points, truth = clip(1)
    expected, below = prior_odds(points[0], 128), jaw_distance(points[0], 128)
    head, torso = truth[0, ..., 0], truth[0, ..., 1]
    assert (expected[head] > 0).mean() > 0.97
    assert expected[:10, :10].max() < 0
    assert (below[head] > 0).mean() > 0.95 and (below[torso] < 0).mean() > 0.95


def test_holes_are_filled_and_islands_removed():
    mask = np.zeros((100, 100), bool)
    mask[20:80, 20:80] = True
    mask[40:44, 40:44] = False
    mask[2:8, 2:8] = True
    inside = np.zeros_like(mask)
    inside[50:60, 50:60] = True
    cleaned = remove_specks(mask, inside)
    assert cleaned[42, 42] and not cleaned[4, 4] and cleaned[21:79, 21:79].all()


def test_pockets_are_closed_unless_the_background_is_observed_there():
    mask = np.zeros((100, 100), bool)
    mask[20:, 20:80] = True
    mask[60:, 40:50] = False  # open only at the bottom, as between neck and hair
    nowhere = np.zeros_like(mask)
    assert close_pockets(mask, nowhere)[80, 45]
    assert not close_pockets(mask, ~nowhere)[80, 45]
    assert not close_pockets(mask, nowhere)[5, 5]
