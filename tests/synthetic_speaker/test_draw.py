"""Rasteriser and drawn frames: they agree with the ground truth, are deterministic, and differ between people."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from jean.synthetic_speaker.controls import CONTROLS
from jean.synthetic_speaker.meshes import grid_triangles, vertex_normals
from jean.synthetic_speaker.performance import (
    clip_camera,
    draw_performance,
    ground_truth,
    head_to_camera,
    perform,
    project_to_pixels,
)
from jean.synthetic_speaker.raster import interpolate, rasterise
from jean.synthetic_speaker.speaker import build_speaker
from jean.synthetic_speaker.speaker_identity import sample_identity

SIZE = 128


@pytest.fixture(scope="module")
def clip():
    identity = sample_identity(1)
    speaker = build_speaker(identity)
    performance = perform(identity, "happy", 0.8, ["we see the moon"], seconds=2.0, fps=3.0, seed=3)
    arrays, meta = ground_truth(speaker.rig, performance, SIZE)
    return speaker, performance, arrays, meta, list(draw_performance(speaker, performance, SIZE))


def test_rasteriser_equals_a_loop_over_pixels():
    rng = np.random.default_rng(0)
    size, count = 24, 30
    screen = np.concatenate([rng.uniform(-4, size + 4, (3 * count, 2)), rng.uniform(1, 9, (3 * count, 1))], 1)
    triangles = np.arange(3 * count).reshape(-1, 3)
    values = rng.normal(size=(3 * count, 2)).astype(np.float32)
    fragments = rasterise(screen, triangles, size, size)
    image = np.full((size * size, 2), np.nan)
    image[fragments.pixels] = interpolate(fragments, triangles, values)
    assert len(set(fragments.pixels.tolist())) == len(fragments.pixels)
    n_wrong = 0
    for pixel in range(size * size):
        best, expected = np.inf, np.full(2, np.nan)
        for corner in triangles:
            a, b, c = screen[corner]
            matrix = np.array([[a[0], b[0], c[0]], [a[1], b[1], c[1]], [1, 1, 1]])
            if np.linalg.det(matrix) >= 0:
                continue
            weights = np.linalg.solve(matrix, [pixel % size + 0.5, pixel // size + 0.5, 1])
            depth = weights @ screen[corner, 2]
            if weights.min() >= 0 and depth < best:
                best, expected = depth, weights @ values[corner]
        n_wrong += not np.allclose(image[pixel], expected, atol=2e-2, equal_nan=True)
    assert n_wrong <= 1  # rounding decides pixel centres that lie on an edge


def test_fragments_behind_the_limit_are_dropped():
    screen = np.array([[0, 0, 5.0], [0, 9, 5], [9, 0, 5]])
    triangles = np.array([[0, 1, 2]])
    limit = np.full(100, 6.0, np.float32)
    limit[:20] = 4.0
    assert rasterise(screen, triangles, 10, 10, limit).pixels.min() >= 20


def test_normals_of_a_sphere_point_outwards():
    u, v = np.meshgrid(np.linspace(0.3, 2.8, 20), np.linspace(0, 2 * np.pi, 33), indexing="ij")
    points = np.stack([np.sin(u) * np.sin(v), -np.cos(u), np.sin(u) * np.cos(v)], -1).reshape(-1, 3)
    triangles = grid_triangles(np.arange(len(points)).reshape(u.shape))
    weld = np.unique(np.round(points, 6), axis=0, return_inverse=True)[1].reshape(-1)
    inner = np.abs(points[:, 1]) < 0.9
    cosine = np.abs((vertex_normals(points, triangles, weld) * points).sum(1))
    assert cosine[inner].min() > 0.995


def test_landmarks_are_projected_vertices_of_the_drawn_skin(clip):
    speaker, performance, arrays, meta, frames = clip
    camera = clip_camera(SIZE)
    assert meta["camera"]["focal_px"] == camera.focal_px
    for t, frame in enumerate(frames):
        to_camera = np.linalg.inv(arrays["camera_to_world"][t])
        np.testing.assert_allclose(to_camera, head_to_camera(performance.motion, t)[0], atol=1e-9)
        projected = project_to_pixels(frame.skin[speaker.rig.landmarks], to_camera, camera)
        np.testing.assert_allclose(projected, arrays["landmarks"][t], atol=1e-3)


def test_drawn_face_and_pupils_are_at_the_true_landmarks(clip):
    _, performance, arrays, _, frames = clip
    for t, frame in enumerate(frames):
        x, y = np.floor(arrays["landmarks"][t, 27:]).astype(int).T
        assert (frame.matte[y, x, 0] > 200).all()  # all points but the jaw line are inside the head matte
        if performance.motion.controls[t, CONTROLS.index("blink_left")] < 0.1:
            grey = frame.image.mean(2)
            for k in range(2):
                px, py = np.floor(arrays["irises"][t, k]).astype(int)
                around = grey[py - 4 : py + 5, px - 8 : px + 9]
                assert grey[py - 1 : py + 2, px - 1 : px + 2].min() < 0.62 * np.percentile(around, 80)


def test_mattes_sum_to_at_most_one_and_cover_head_and_torso(clip):
    matte = clip[4][0].matte.astype(int)
    assert matte.sum(2).max() <= 257
    assert 0.1 < (matte[..., 0] > 127).mean() < 0.6
    assert (matte[-1, :, 1] > 127).any() and (matte[0] == 0).all()


def test_equal_seeds_give_equal_frames_and_sound(clip):
    speaker, performance, _, _, frames = clip
    again = draw_performance(build_speaker(sample_identity(1)), performance, SIZE)
    for _, frame, other in zip(range(3), frames, again, strict=False):
        digests = {hashlib.sha256(p.image.tobytes() + p.matte.tobytes()).hexdigest() for p in (frame, other)}
        assert len(digests) == 1
    repeated = perform(sample_identity(1), "happy", 0.8, ["we see the moon"], seconds=2.0, fps=3.0, seed=3)
    np.testing.assert_array_equal(repeated.wave, performance.wave)
    np.testing.assert_array_equal(repeated.motion.controls, performance.motion.controls)
    other_seed = perform(sample_identity(1), "happy", 0.8, ["we see the moon"], seconds=2.0, fps=3.0, seed=4)
    assert not np.array_equal(other_seed.motion.turn_rad, performance.motion.turn_rad)
    assert speaker.atlas.dtype == np.uint8


def test_identities_vary():
    people = [sample_identity(k) for k in range(24)]
    assert len({p.hair_style for p in people}) >= 4
    assert len({p.neckline for p in people}) == 3
    skins = np.array([p.skin for p in people])
    assert np.ptp(skins.mean(1)) > 80
    voices = np.array([p.pitch_hz for p in people])
    assert voices.min() < 130 and voices.max() > 180
    widths = np.array([[p.shape.jaw_width, p.shape.nose_width, p.shape.lip_fullness] for p in people])
    assert (widths.std(0) > 0.01).all()
    assert sample_identity(3) == sample_identity(3) != sample_identity(4)
