import itertools
from pathlib import Path

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from jean.features.base import Face
from jean.metrics.base import FramePair, MetricContext, TrackedFrame
from jean.metrics.crops import aligned_crops, crop, face_box, hull_mask, resize
from jean.metrics.image import PSNR_LIMIT_DB, ImageQuality, MaskedQuality, psnr, ssim, ssim_map


def pictures(height=61, width=83, seed=0):
    rng = np.random.default_rng(seed)
    reference = rng.random((height, width, 3))
    return np.clip(reference + rng.normal(0, 0.1, reference.shape), 0, 1), reference


def landmarks(center=(60.0, 64.0), radius=(30.0, 36.0)):
    angle = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    return np.stack([center[0] + radius[0] * np.cos(angle), center[1] + radius[1] * np.sin(angle)], 1)


def face(points):
    return Face(points, points, np.full((2, 2), np.nan), np.zeros(0), None, 1.0)


def test_psnr_equals_scikit_image():
    assert psnr(np.full((4, 4, 3), 0.6), np.full((4, 4, 3), 0.5)) == pytest.approx(20.0)
    image, reference = pictures()
    assert psnr(image, reference) == pytest.approx(peak_signal_noise_ratio(reference, image, data_range=1), abs=1e-9)
    assert psnr(image, image) == np.inf


def test_masked_psnr_depends_only_on_pixels_in_the_mask():
    image, reference = pictures()
    mask = np.zeros(image.shape[:2], bool)
    mask[10:30, 20:50] = True
    want = peak_signal_noise_ratio(reference[10:30, 20:50], image[10:30, 20:50], data_range=1)
    assert psnr(image, reference, mask) == pytest.approx(want, abs=1e-9)
    spoiled = np.where(mask[..., None], image, 0.0)
    assert psnr(spoiled, reference, mask) == psnr(image, reference, mask)
    assert np.isnan(psnr(image, reference, np.zeros_like(mask)))


def test_ssim_equals_scikit_image_pixel_by_pixel():
    options = {
        "channel_axis": 2,
        "gaussian_weights": True,
        "sigma": 1.5,
        "use_sample_covariance": False,
        "data_range": 1.0,
    }
    for seed in range(3):
        image, reference = pictures(seed=seed)
        want, full = structural_similarity(image, reference, full=True, **options)
        assert ssim(image, reference) == pytest.approx(want, abs=1e-7)
        np.testing.assert_allclose(ssim_map(image, reference)[5:-5, 5:-5], full[5:-5, 5:-5], atol=1e-6)


def test_masked_ssim_is_the_mean_of_the_map_in_the_mask():
    image, reference = pictures()
    mask = hull_mask(landmarks((40, 30), (15, 20)), *image.shape[:2])
    assert ssim(image, reference, mask) == pytest.approx(ssim_map(image, reference)[mask].mean())
    edge = np.zeros_like(mask)
    edge[0] = True
    assert np.isnan(ssim(image, reference, edge))


def test_psnr_and_ssim_fall_with_noise():
    reference = resize(np.random.default_rng(1).random((12, 12, 3)), 96, 96)
    noise = np.random.default_rng(2).normal(0, 1, reference.shape)
    scores = [
        (psnr(reference + s * noise, reference), ssim(reference + s * noise, reference)) for s in (0.01, 0.05, 0.2)
    ]
    assert scores[0] > scores[1] > scores[2]
    assert scores[0][1] > scores[1][1] > scores[2][1]


def test_crop_repeats_the_edge_beyond_the_image():
    image = np.arange(5 * 6 * 3).reshape(5, 6, 3)
    np.testing.assert_array_equal(crop(image, (1, 2, 4, 5)), image[2:5, 1:4])
    over = crop(image, (-2, -1, 8, 6))
    assert over.shape == (7, 10, 3)
    np.testing.assert_array_equal(over[1:6, 2:8], image)
    np.testing.assert_array_equal(over[0, :3], np.repeat(image[:1, 0], 3, 0))


def test_the_face_box_has_the_documented_margins():
    points = np.zeros((68, 2))
    points[:, 0] = np.linspace(100, 200, 68)
    points[:, 1] = np.linspace(50, 150, 68)
    assert face_box(points) == (90, 20, 210, 155)


def test_hull_uses_half_integer_pixel_centres():
    square = np.array([[10, 20], [30, 20], [30, 40], [10, 40]] * 17, float)
    mask = hull_mask(square, 64, 64)
    rows, columns = np.nonzero(mask)
    # cv2 includes its boundary: at most the pixels whose centres lie half a pixel outside
    assert rows.min() in (19, 20) and rows.max() in (39, 40)
    assert columns.min() in (9, 10) and columns.max() in (29, 30)
    assert mask[20:40, 10:30].all()


def test_aligned_crops_are_independent_of_the_framing():
    """The same face shifted by whole pixels is identical; at half the size nearly so."""
    canvas = resize(np.random.default_rng(3).integers(0, 255, (20, 20, 3)).astype(np.uint8), 160, 160)
    moved = np.roll(canvas, (7, -5), (0, 1))
    points = landmarks((80.0, 80.0))
    ours, theirs = aligned_crops(moved, points + np.array([-5, 7]), canvas, points)
    np.testing.assert_array_equal(ours, theirs)
    half = resize(canvas, 80, 80)
    ours, theirs = aligned_crops(half, points / 2, canvas, points)
    assert ours.shape == theirs.shape
    assert psnr(ours / 255, theirs / 255) > 30


def context(is_clip):
    return MetricContext(25.0, Path("a.mp4"), Path("b"), is_clip, "mediapipe")


def test_masked_quality_averages_frames_per_region():
    rng = np.random.default_rng(4)
    reference = rng.integers(60, 200, (120, 120, 3)).astype(np.uint8)
    points = landmarks()
    matte = np.zeros((120, 120, 2), np.uint8)
    matte[10:110, 20:100, 0] = 255
    metric = MaskedQuality(context(True))
    inside = hull_mask(points, 120, 120)
    for step in (10, 20):
        image = reference.copy()
        image[inside] += step
        metric.update(FramePair(0.0, TrackedFrame(image, face(points)), TrackedFrame(reference, face(points), matte)))
    values = metric.result().values
    want = -20 * np.mean([np.log10(10 / 255), np.log10(20 / 255)])
    assert values["psnr_face_db"] == pytest.approx(want, abs=1e-6)
    assert values["psnr_face_db"] < values["psnr_head_db"]
    assert all(np.isfinite(list(values.values())))


def test_image_metrics_without_face_or_matte_are_nan_with_a_note():
    image = np.zeros((64, 64, 3), np.uint8)
    metrics = [ImageQuality(context(False)), MaskedQuality(context(False))]
    for metric in metrics:
        metric.update(FramePair(0.0, TrackedFrame(image, None), TrackedFrame(image, None)))
        scores = metric.result()
        assert all(np.isnan(value) for value in scores.values.values())
    assert np.isnan(metrics[0].result().series["psnr_db"]).tolist() == [True]
    assert any("clip folder" in note for note in scores.notes)


def test_identical_frames_have_the_maximum_psnr():
    image = np.random.default_rng(5).integers(0, 255, (128, 128, 3)).astype(np.uint8)
    metric = ImageQuality(context(False))
    metric.update(FramePair(0.0, TrackedFrame(image, face(landmarks())), TrackedFrame(image, face(landmarks()))))
    values = metric.result().values
    assert values["psnr_db"] == PSNR_LIMIT_DB
    assert values["ssim"] == pytest.approx(1.0)


def test_psnr_and_inner_ssim_equal_torchmetrics():
    """SSIM is equal away from the border, where torchmetrics pads the image."""
    import torch
    from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

    image, reference = pictures()
    x, y = (torch.from_numpy(value.transpose(2, 0, 1))[None] for value in (image, reference))
    assert psnr(image, reference) == pytest.approx(float(peak_signal_noise_ratio(x, y, data_range=1.0)), abs=1e-6)
    _, full = structural_similarity_index_measure(x, y, data_range=1.0, sigma=1.5, return_full_image=True)
    inner = full[0].numpy().transpose(1, 2, 0)
    ours = ssim_map(image, reference)
    assert inner.shape == ours.shape
    np.testing.assert_allclose(inner[8:-8, 8:-8], ours[8:-8, 8:-8], atol=1e-6)


def test_more_noise_blur_or_shift_scores_worse():
    import cv2

    rng = np.random.default_rng(8)
    reference = cv2.GaussianBlur(rng.random((90, 110, 3)), (0, 0), 2)
    reference = (reference - reference.min()) / np.ptp(reference)
    noise = rng.normal(0, 1, reference.shape)
    worse = {
        "noise": [np.clip(reference + sigma * noise, 0, 1) for sigma in (0.01, 0.03, 0.1, 0.3)],
        "blur": [cv2.GaussianBlur(reference, (0, 0), sigma) for sigma in (0.5, 1, 2, 4, 8)],
        "shift": [np.roll(reference, step, 1) for step in (1, 2, 3, 4)],
    }
    for kind, images in worse.items():
        for score in (psnr, ssim):
            values = [score(image, reference) for image in images]
            assert all(a > b for a, b in itertools.pairwise(values)), (kind, score, values)
