"""Fields, encoders and torso: widths, layers, and which inputs affect which outputs."""

from __future__ import annotations

import pytest
import torch

from jean.kernels.dispatch import PlaneSpec
from jean.models.audio_encoder import AudioAttention, AudioEncoder
from jean.models.encoding import encode, encoded_width, expand_frames
from jean.models.head.mlp import MlpField
from jean.models.head.planes import refine_plane
from jean.models.head.prior import RELIEF_CELLS, head_prior, relief
from jean.models.head.torso import TorsoLayer
from jean.models.head.triplane import Part, TriplaneField, merge_planes

BOX = ((-14.0, -18.0, -10.0), (14.0, 15.0, 12.0))
PARTS = (Part((-6.0, -6.0), (12.0, 5.0), (24, 10), skip=3), Part((-4.0, 2.0), (8.0, 6.0), (16, 12)))


def test_encoding_equals_values_by_hand():
    values = torch.tensor([[0.5, -1.0]])
    out = encode(values, 2)
    assert out.shape == (1, encoded_width(2, 2)) == (1, 10)
    assert torch.allclose(out[0, :2], values[0])
    expected = torch.cat(
        [torch.sin(values[0]), torch.cos(values[0]), torch.sin(2 * values[0]), torch.cos(2 * values[0])]
    )
    assert torch.allclose(out[0, 2:], expected)
    assert (encoded_width(3, 10), encoded_width(3, 4)) == (63, 27)  # section 8.4.2


def test_expand_frames_equals_indexing_with_gradients():
    values = torch.rand(4, 3, requires_grad=True)
    frame = torch.tensor([0, 3, 3, 1])
    assert torch.allclose(expand_frames(frame, 4)(values), values[frame])
    assert torch.equal(expand_frames(torch.zeros(5, dtype=torch.long), 1)(values[:1]), values[:1].expand(5, 3))


def test_the_mlp_field_has_the_layers_of_the_paper():
    field = MlpField(96, BOX)
    assert [layer.in_features for layer in field.layers] == [159, 128, 128, 128, 128, 287, 128, 128]
    assert {layer.out_features for layer in field.layers} == {128}
    assert [layer.in_features for layer in field.colour] == [155, 64, 64] and field.rgb.in_features == 64


def test_direction_affects_colour_but_not_density():
    torch.manual_seed(0)
    field = MlpField(8, BOX)
    positions, condition = torch.randn(20, 3) * 5, torch.randn(1, 8)
    frame = torch.zeros(20, dtype=torch.long)
    one = field(positions, condition, torch.tensor([[0.0, 0.0, -1.0]]), frame)
    two = field(positions, condition, torch.tensor([[0.6, 0.0, -0.8]]), frame)
    assert torch.equal(one[0], two[0]) and not torch.allclose(one[1], two[1])
    assert (one[0] >= 0).all() and one[1].min() >= 0 and one[1].max() <= 1


@pytest.mark.parametrize("make", [lambda: MlpField(8, BOX), lambda: TriplaneField(8, 3, BOX, PARTS, 2)])
def test_a_sample_depends_on_its_own_frame_only(make):
    torch.manual_seed(0)
    field = make()
    positions = torch.randn(6, 3).repeat(2, 1) * 4
    condition, view = torch.randn(2, 8), torch.randn(2, 3)
    frame = torch.tensor([0] * 6 + [1] * 6)
    both = field(positions, condition, view, frame)
    for index in (0, 1):
        alone = field(positions[:6], condition[index : index + 1], view[index : index + 1], frame[:6])
        for part, whole in zip(alone, both, strict=True):
            assert torch.allclose(part, whole[index * 6 : index * 6 + 6], atol=1e-5)


def prior_at(points, table):
    positions = torch.tensor(points)
    low, high = torch.tensor(BOX[0]), torch.tensor(BOX[1])
    unit = ((positions - low) / (high - low)).unbind(-1)
    return head_prior(positions, (unit[0], unit[1]), table)


def test_the_prior_is_positive_inside_a_head_only():
    flat = torch.zeros(RELIEF_CELLS**2, 1)
    inside, before, beside = prior_at([[0.0, 0.0, 4.0], [0.0, 0.0, -9.0], [13.0, 0.0, 4.0]], flat).tolist()
    assert inside > 0 > max(before, beside)


def test_the_relief_moves_the_priors_surface_to_the_landmarks():
    torch.manual_seed(0)
    shape = torch.cat([torch.rand(68, 2) * 8 - 4, torch.full((68, 1), -3.0)], 1)  # a flat face, 3 cm deeper
    table = relief(shape, BOX)
    on_surface, before = prior_at([[0.0, 0.0, -3.0], [0.0, 0.0, -5.0]], table).tolist()
    assert abs(on_surface) < 0.3 > before + 1  # the surface is where the prior's log density is 0
    beside = prior_at([[13.0, 12.0, -3.0]], table)
    assert torch.allclose(beside, prior_at([[13.0, 12.0, -3.0]], torch.zeros_like(table)), atol=1e-3)


def test_speech_and_expression_act_on_their_parts_only():
    torch.manual_seed(0)
    field = TriplaneField(8, 3, BOX, PARTS, 2)  # e_in: 3 values of speech, 3 of expression, 2 of the latent code
    for plane in field.moving:
        torch.nn.init.normal_(plane.table)
    points = {"eyes": [0.0, -3.0, -5.0], "mouth": [0.0, 5.0, -6.0], "forehead": [0.0, -9.0, -3.0]}
    positions, view, frame = torch.tensor(list(points.values())), torch.zeros(1, 3), torch.zeros(3, dtype=torch.long)

    def changed(first: int, last: int) -> list[bool]:
        condition = torch.zeros(1, 8)
        before = field(positions, condition, view, frame)
        condition[:, first:last] = 1.0
        after = field(positions, condition, view, frame)
        return [not torch.equal(before[1][i], after[1][i]) for i in range(3)]

    assert changed(0, 3) == [False, True, False]  # speech: the mouth
    assert changed(3, 6) == [True, True, False]  # expression: eyes and mouth
    assert changed(6, 8) == [True, True, True]  # latent code: everywhere


@pytest.mark.parametrize("window", [2, 8, 16, 32])
def test_the_audio_encoder_accepts_windows_of_powers_of_two(window):
    assert AudioEncoder(29, window)(torch.randn(3, window, 29)).shape == (3, 64)


def test_the_audio_encoder_of_16_rows_has_the_layers_of_ad_nerf():
    convolutions = [m for m in AudioEncoder(29, 16).convolutions if isinstance(m, torch.nn.Conv1d)]
    assert [(c.in_channels, c.out_channels, c.stride[0]) for c in convolutions] == [
        (29, 32, 2),
        (32, 32, 2),
        (32, 64, 2),
        (64, 64, 2),
    ]
    with pytest.raises(ValueError, match="power of two"):
        AudioEncoder(29, 12)


@pytest.mark.parametrize("window", [2, 16])
def test_the_audio_encoder_equals_its_convolutions_in_sequence(window):
    torch.manual_seed(0)
    encoder, windows = AudioEncoder(29, window).double(), torch.randn(3, window, 29).double()
    expected = encoder.head(encoder.convolutions(windows.transpose(1, 2))[:, :, 0])
    assert torch.allclose(encoder(windows), expected, rtol=0, atol=1e-12)


def test_attention_weights_sum_to_one():
    torch.manual_seed(0)
    attention = AudioAttention(64)
    same = torch.randn(2, 1, 64).expand(2, 8, 64)
    assert torch.allclose(attention(same), same[:, 0], atol=1e-5)


def test_the_torso_depends_on_the_pose():
    torch.manual_seed(0)
    torso = TorsoLayer()
    coordinates = torch.rand(10, 2)
    rgb, opacity = torso(coordinates, torch.zeros(1, 6), torch.zeros(10).long())
    assert rgb.shape == (10, 3) and opacity.shape == (10,) and opacity.min() >= 0 and opacity.max() <= 1
    assert not torch.allclose(torso(coordinates, torch.ones(1, 6), torch.zeros(10).long())[0], rgb)


def test_planes_whose_cells_divide_evenly_are_merged():
    def plane(axes: tuple[int, int], height: int, width: int) -> PlaneSpec:
        return PlaneSpec(torch.rand(height * width, 2), height, width, axes, (0.0, 0.0), (1.0, 1.0))

    coarse, fine = plane((0, 1), 4, 6), plane((0, 1), 10, 16)
    odd, other = plane((0, 1), 5, 6), plane((2, 1), 10, 16)
    merged = merge_planes([coarse, odd, fine, other])
    assert [(p.axes, p.height, p.width) for p in merged] == [((0, 1), 5, 6), ((0, 1), 10, 16), ((2, 1), 10, 16)]
    assert torch.allclose(merged[1].table, fine.table + refine_plane(coarse.table, 4, 6, 3))
    assert torch.equal(merged[0].table, odd.table) and torch.equal(merged[2].table, other.table)


def test_rendering_reads_one_merged_frontal_plane():
    field = TriplaneField(8, 3, BOX, PARTS)
    frame = field.frame_field(torch.rand(1, 8), torch.rand(1, 3), None)
    assert len(frame.planes) == len(field.static) + len(field.moving) - 1


def test_the_torso_is_computed_only_where_it_may_show():
    class Lower(TorsoLayer):
        """Opaque below three fifths of the image."""

        def forward(self, coordinates, pose, frame):
            return torch.zeros(len(coordinates), 3), (coordinates[:, 1] > 0.6).float()

    places = (torch.arange(100) + 0.5) / 100
    coordinates = torch.stack(torch.meshgrid(places, places, indexing="xy"), -1).view(-1, 2)
    shown = Lower().shows(coordinates, torch.zeros(1, 6))
    cell = 1 / 64
    assert shown[coordinates[:, 1] > 0.6].all() and not shown[coordinates[:, 1] < 0.6 - 2 * cell].any()
    assert TorsoLayer().shows(coordinates, torch.zeros(1, 6)).all()  # an untrained layer is half opaque
