"""ACD, LPIPS and Exp-Diff: hand-made embeddings, comparison with the packages, averages over sources."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from jean.errors import ArtefactError, SetupError
from jean.features.base import Face
from jean.metrics import expression, identity
from jean.metrics.base import FramePair, MetricContext, TrackedFrame
from jean.metrics.expression import ExpressionDifference, expression_difference
from jean.metrics.identity import Identity, cosine_distance, five_points, load_arcface
from jean.metrics.lpips import PerceptualDistance, load_lpips, perceptual_distance

CONTEXT = MetricContext(25.0, Path("a.mp4"), Path("b.mp4"), False, "mediapipe")


def shape(x=64.0, y=64.0, size=40.0):
    angle = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    points = np.stack([x + size * np.cos(angle), y + size * np.sin(angle)], 1)
    points[36:42] = points[36:42] * 0 + (x - size / 2, y - size / 3)
    points[42:48] = points[42:48] * 0 + (x + size / 2, y - size / 3)
    points[30], points[48], points[54] = (x, y), (x - size / 3, y + size / 2), (x + size / 3, y + size / 2)
    return points


def side(seed, coefficients=(), points=None):
    coarse = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)
    points = shape() if points is None else points
    face = Face(points, points, np.full((2, 2), np.nan), np.array(coefficients, float), None, 1.0)
    return TrackedFrame(coarse.repeat(8, 0).repeat(8, 1), face)


def test_cosine_distance_of_hand_made_vectors():
    a = np.array([[1.0, 0], [1, 0], [1, 0], [3, 4]])
    b = np.array([[5.0, 0], [0, 2], [-1, 0], [4, 3]])
    np.testing.assert_allclose(cosine_distance(a, b), [0, 1, 2, 1 - 24 / 25], atol=1e-12)


def test_five_points_are_eyes_nose_and_mouth_corners():
    points = np.arange(136.0).reshape(68, 2)
    found = five_points(points)
    np.testing.assert_allclose(found[0], points[36:42].mean(0))
    np.testing.assert_allclose(found[1], points[42:48].mean(0))
    np.testing.assert_allclose(found[2:], points[[30, 48, 54]])


def test_acd_is_the_mean_over_frames_with_both_faces(monkeypatch):
    made = iter([[1, 0], [1, 0], [1, 0], [0, 1]])
    monkeypatch.setattr(identity, "load_arcface", lambda: lambda image, landmarks: np.array(next(made), float))
    metric = Identity(CONTEXT)
    metric.update(FramePair(0, side(0), side(1)))
    metric.update(FramePair(0, TrackedFrame(side(0).image, None), side(1)))
    metric.update(FramePair(0, side(0), side(1)))
    scores = metric.result()
    assert scores.values["acd"] == pytest.approx(0.5)
    assert np.isnan(scores.series["acd"]).tolist() == [False, True, False]


def test_arcface_embeds_the_aligned_face_as_rgb(models):
    """Compares with onnxruntime on a manual crop: RGB, (pixel − 127.5) / 127.5."""
    import cv2
    import onnxruntime
    from insightface.utils import face_align

    embed = load_arcface()
    one = side(4)
    warp = face_align.estimate_norm(five_points(one.face.landmarks), 112)
    aligned = cv2.warpAffine(one.image, warp, (112, 112), borderValue=0.0)
    blob = ((aligned.astype(np.float32) - 127.5) / 127.5).transpose(2, 0, 1)[None]
    session = onnxruntime.InferenceSession(str(models / "w600k_r50.onnx"), providers=["CPUExecutionProvider"])
    want = session.run(None, {"input": blob})[0][0]
    np.testing.assert_allclose(embed(one.image, one.face.landmarks), want, rtol=1e-3, atol=1e-3)


def test_acd_depends_on_the_face_and_not_on_the_framing(models):
    metric = Identity(CONTEXT)
    whole = side(4, points=shape(size=20.0))
    moved = TrackedFrame(np.roll(whole.image, (8, -16), (0, 1)), side(4, points=shape(48.0, 72.0, 20.0)).face)
    metric.update(FramePair(0, moved, whole))
    assert metric.result().values["acd"] < 0.02
    metric.update(FramePair(0, side(5, points=shape(size=20.0)), whole))
    assert metric.result().series["acd"][1] > 0.1


def test_damaged_or_missing_arcface_files_are_artefact_errors(models, tmp_path, monkeypatch):
    bad = tmp_path / "bad"
    bad.mkdir()
    monkeypatch.setattr("jean.weights.store.find", lambda name: bad / name)
    (bad / "w600k_r50.onnx").write_bytes(b"no network")
    with pytest.raises(ArtefactError, match="w600k_r50"):
        load_arcface()
    (bad / "w600k_r50.onnx").unlink()
    with pytest.raises(ArtefactError):
        load_arcface()


@pytest.mark.slow
def test_lpips_with_given_weights_equals_the_package(models, tmp_path, monkeypatch):
    """``lpips.LPIPS(net="alex")`` reads the backbone from torch's cache: the same file must give the same distance."""
    import lpips
    from torchvision.models import alexnet

    from tests.helpers.made_weights import alexnet_state

    torch.manual_seed(0)
    whole = alexnet(weights=None).state_dict() | alexnet_state()
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(whole, folder / "alexnet-owt-7be5be79.pth")
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "torch" / "hub"))
    want_net = lpips.LPIPS(net="alex", verbose=False).eval()
    ours = load_lpips(models / "alexnet-owt-7be5be79.pth")
    a, b = side(1).image, side(2).image
    x, y = (lpips.im2tensor(image) for image in (a, b))
    with torch.no_grad():
        want = float(want_net(x, y))
    assert want > 0.01
    assert perceptual_distance(ours, a, b) == pytest.approx(want, rel=1e-5)
    assert perceptual_distance(ours, a, a) == 0


def test_the_lpips_metric_averages_frames_and_skips_small_faces(models):
    metric = PerceptualDistance(CONTEXT)
    metric.update(FramePair(0, side(1), side(1)))
    metric.update(FramePair(0, side(1), side(2)))
    metric.update(FramePair(0, side(1, points=shape(size=6.0)), side(1)))
    scores = metric.result()
    assert scores.series["lpips"][0] == 0 and scores.series["lpips"][1] > 0
    assert scores.values["lpips"] == pytest.approx(np.mean(scores.series["lpips"][:2]))
    assert "1 faces are smaller" in scores.notes[0]


def test_weights_of_another_network_are_an_artefact_error(models):
    with pytest.raises(ArtefactError, match="not an AlexNet"):
        load_lpips({"features.0.weight": torch.zeros(3)})
    with pytest.raises(ArtefactError, match="not an AlexNet"):
        load_lpips(models / "syncnet_v2.model")


@pytest.mark.parametrize("kind", [Identity, PerceptualDistance])
def test_missing_weights_name_the_download_command(kind, tmp_path, monkeypatch):
    monkeypatch.setenv("JEAN_MODELS", str(tmp_path))
    for attempt in (lambda: kind(CONTEXT), lambda: kind.facts(CONTEXT, kind.Options())):
        with pytest.raises(SetupError, match="jean models pull"):
            attempt()


def test_exp_diff_is_the_mean_squared_difference_over_frames_with_both_faces():
    assert expression_difference(np.array([0.0, 1.0]), np.array([0.0, 0.5])) == pytest.approx(0.125)
    metric = ExpressionDifference(CONTEXT)
    metric.update(FramePair(0, side(0, [0.0, 1.0]), side(0, [0.0, 0.5])))
    metric.update(FramePair(0, side(0, [1.0, 1.0]), side(0, [0.0, 0.0])))
    metric.update(FramePair(0, TrackedFrame(side(0).image, None), side(0, [0.0, 0.0])))
    scores = metric.result()
    assert scores.values["exp_diff"] == pytest.approx((0.125 + 1.0) / 2)
    assert any("MediaPipe's blendshapes" in note for note in scores.notes), "the estimator is named"


def test_exp_diff_of_a_system_without_expression_averages_all_sources(monkeypatch):
    tracks = {
        Path("x"): [np.array([0.0, 0.0])] * 2,
        Path("y"): [np.array([1.0, 0.0]), None, np.array([9.0, 9.0])],
    }
    monkeypatch.setattr(expression, "expression_track", lambda path, *rest: tracks[path])
    context = MetricContext(25.0, Path("a"), Path("x"), False, "mediapipe", expressions=(Path("x"), Path("y")))
    metric = ExpressionDifference(context)
    for _ in range(2):
        metric.update(FramePair(0, side(0, [1.0, 1.0]), side(0, [0.0, 0.0])))
    scores = metric.result()
    assert scores.values["exp_diff"] == pytest.approx((1.0 + 0.5) / 2)
    assert any("mean over 2 sources" in note for note in scores.notes)


def test_exp_diff_is_nan_with_a_note_if_the_tracker_has_no_expression():
    metric = ExpressionDifference(CONTEXT)
    metric.update(FramePair(0, side(0), side(0)))
    scores = metric.result()
    assert np.isnan(scores.values["exp_diff"]) and "no expression" in scores.notes[0]
