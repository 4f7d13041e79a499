"""Fused rendering of pixels against head, torso and background in readable torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from jean.errors import UsageError
from jean.kernels import library
from jean.kernels.backend import Backend
from jean.kernels.ops.render import neighbour_pairs
from jean.models.frame import render_frame, render_pixels, tile_order
from jean.models.talking_head import Frames, TalkingHead
from tests.helpers.kernel_paths import bf16_path as bf16_path
from tests.helpers.kernel_paths import path as path

BOX = ((-14.0, -18.0, -10.0), (14.0, 15.0, 12.0))
SIZE = 48


def person() -> TalkingHead:
    """A head with random planes over a torso that the pose deforms."""
    torch.manual_seed(0)
    shape = (np.random.default_rng(0).random((68, 3)) * [8, 12, 2] + [-4, -6, -6]).tolist()
    made = TalkingHead(
        preset="fast", box=BOX, audio_features=8, audio_window=4, expression_features=5, audio_width=6,
        expression_width=4, dropout=0.0, shape=shape, latent_width=3,
    )  # fmt: skip
    field, torso = made.head.field, made.torso
    for plane in (*field.static, *field.moving, field.shading, torso.coarse, torso.fine):
        plane.table.data.normal_(0, 0.4)
    torso.bend[2].weight.data.normal_(0, 0.5)
    torso.bend[2].bias.data.normal_(0, 0.5)
    made.head.initialise(torch.rand(made.head.occupancy.cell_centres().shape[:-1]) > 0.6)
    return made.eval()


def frame() -> Frames:
    torch.manual_seed(1)
    pose = torch.eye(4)
    pose[:3, :3] = torch.linalg.matrix_exp(torch.tensor([[0.0, 0.1, 0.2], [-0.1, 0.0, -0.1], [-0.2, 0.1, 0.0]]))
    pose[:3, 3] = pose[:3, :3] @ torch.tensor([1.0, -2.0, -60.0])
    return Frames(
        camera_to_world=pose[None],
        focal_px=torch.tensor([SIZE * 1.6]),
        center_px=torch.tensor([[SIZE * 0.52, SIZE * 0.47]]),
        audio=torch.randn(1, 4, 8),
        expression=torch.rand(1, 5),
        offsets=torch.randn(1, 68, 2) * 0.3,
    )


def painted(made: TalkingHead, backend: str, pixels: torch.Tensor, driven: Frames | None = None, precision="fp32"):
    made.head.use(Backend.resolve(backend, "cpu", precision))
    background = torch.rand(len(pixels), 3, generator=torch.Generator().manual_seed(2))
    return render_pixels(made, driven or frame(), pixels, background, SIZE)


def some_pixels(count: int) -> torch.Tensor:
    return torch.rand(count, 2, generator=torch.Generator().manual_seed(3)) * SIZE


@pytest.mark.parametrize("count", [0, 1, 63, 1000])
def test_pixels_equal_the_reference(count, path, monkeypatch):
    monkeypatch.setenv("JEAN_KERNELS", path)
    made, pixels = person(), some_pixels(count)
    (expected, far), (got, got_far) = painted(made, "reference", pixels), painted(made, "native", pixels)
    # a ray ends when 2e-4 of its light is left; a lookup at a cell's border may fall to either side
    assert ((got - expected).abs().amax(-1) > 5e-4).sum() <= 0.01 * count
    assert ((got_far - far).abs() > 5e-4 * 80).sum() <= 0.01 * count
    if count == 1000:  # the pixels show head, torso and background
        background = torch.zeros(count, 3)
        made.head.use(Backend.resolve("native", "cpu"))
        assert 0.1 < (far > 0).float().mean() < 0.9
        assert (render_pixels(made, frame(), pixels, background, SIZE)[0] - got).abs().mean() > 0.01


def test_the_pose_deforms_the_torso(path, monkeypatch):
    monkeypatch.setenv("JEAN_KERNELS", path)
    made, pixels = person(), some_pixels(400)
    made.head.occupancy.sampling.zero_()  # no head
    near = frame()
    moved = near.camera_to_world.clone()
    moved[:, 0, 3] += 2.0
    far = Frames(**{**vars(near), "camera_to_world": moved})
    one, other = painted(made, "native", pixels, near)[0], painted(made, "native", pixels, far)[0]
    assert (one - other).abs().max() > 0.01
    assert torch.allclose(other, painted(made, "reference", pixels, far)[0], atol=2e-5)


def test_a_change_of_the_torso_changes_the_image(path, monkeypatch):
    monkeypatch.setenv("JEAN_KERNELS", path)
    made, pixels = person(), some_pixels(200)
    made.head.occupancy.sampling.zero_()
    before = painted(made, "native", pixels)[0]
    for change in (made.torso.fine.table.data, made.torso.shade[0].weight.data, made.torso.shade[2].bias.data):
        change.mul_(1.5)
        after = painted(made, "native", pixels)[0]
        assert not torch.allclose(after, before, atol=1e-4)
        assert torch.allclose(after, painted(made, "reference", pixels)[0], atol=2e-5)
        before = after


def test_nan_stays_nan(path, monkeypatch):
    monkeypatch.setenv("JEAN_KERNELS", path)
    made, pixels = person(), some_pixels(64)
    made.head.occupancy.sampling.zero_()
    made.torso.shade[2].bias.data[0] = torch.nan
    rgb, depth = painted(made, "native", pixels)
    assert torch.isnan(rgb[:, 0]).all()
    assert not torch.isnan(rgb[:, 1:]).any()
    assert (depth == 0).all()


def test_any_number_of_threads_renders_the_same_pixels():
    made, background = person(), np.full((SIZE, SIZE, 3), 90, np.uint8)
    made.head.use(Backend.resolve("native", "cpu"))
    before = torch.get_num_threads()
    try:
        images = []
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            images.append(render_frame(made, frame(), background))
    finally:
        torch.set_num_threads(before)
    assert library.targets()
    for other in images[1:]:
        assert np.array_equal(images[0].rgb, other.rgb)
        assert np.array_equal(images[0].depth_cm, other.depth_cm)


def test_bf16_is_close_to_fp32_and_has_to_be_chosen(bf16_path, monkeypatch):
    monkeypatch.setenv("JEAN_KERNELS_BF16", bf16_path)
    made, pixels = person(), some_pixels(1000)
    expected, far = painted(made, "native", pixels)
    got, got_far = painted(made, "native", pixels, precision="bf16")
    errors = (got - expected).abs().amax(-1)
    # two layers' factors with 8 bits each; where a ray's opacity passes one half, depth is there or not
    assert 0 < errors.median() < 4e-3
    assert torch.quantile(errors, 0.99) < 2e-2
    assert ((got_far - far).abs() > 0.2).sum() <= 10
    assert torch.equal(painted(made, "native", pixels)[0], expected)


def test_pairs_hold_each_value_beside_that_of_the_next_cell():
    table = torch.tensor([[1.0, -2.0], [3.0, 0.1], [torch.nan, 5.0]])
    made = neighbour_pairs(table)
    assert made.shape == (3, 2, 2) and made.dtype == torch.bfloat16
    assert torch.equal(made[:, :, 0].nan_to_num(9), table.bfloat16().nan_to_num(9))
    assert torch.equal(made[:2, :, 1].nan_to_num(9), table[1:].bfloat16().nan_to_num(9))


def test_bf16_without_kernels_is_an_error():
    with pytest.raises(UsageError, match="bf16"):
        person().head.use(Backend.resolve("reference", "cpu", "bf16"))


@pytest.mark.parametrize(("size", "side"), [(16, 8), (19, 8), (5, 8), (12, 1)])
def test_tile_order_contains_every_pixel_once(size, side):
    order = tile_order(size, side)
    assert np.array_equal(np.sort(order), np.arange(size * size))
    first = order[: min(side, size) ** 2]
    assert (first % size).max() < max(side, 1) and (first // size).max() < side
