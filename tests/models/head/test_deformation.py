"""Deformation of the face by landmarks."""

from __future__ import annotations

import torch

from jean.models.head.deformation import LOWER, UPPER, FaceDeformation, frontal_grid, influence

BOX = ((-14.0, -18.0, -10.0), (14.0, 15.0, 12.0))


def face():
    """68 points, 2 cm apart, so that each moves independently."""
    index = torch.arange(68)
    return torch.stack([index % 8 * 2.0 - 7, index // 8 * 2.0 - 8, torch.full((68,), -5.0)], -1)


def test_influence_is_one_at_its_point_and_zero_far_away():
    points = torch.tensor([[0.0, 0.0], [3.0, 0.0]], dtype=torch.float64)
    matrix = influence(torch.tensor([[0.0, 0.0], [3.0, 0.0], [9.0, 9.0]], dtype=torch.float64), points, 0.8, 1e-6)
    assert torch.allclose(matrix, torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]).double(), atol=1e-5)


def test_the_grid_runs_along_x_first():
    grid = frontal_grid(BOX, 3)
    assert grid[:4].tolist() == [[-14, -18], [0, -18], [14, -18], [-14, -1.5]]


def test_a_moved_landmark_maps_to_its_canonical_position():
    shape = face()
    face_deformation = FaceDeformation(shape.tolist(), BOX, 2, audio_drives_mouth=True)
    offsets = torch.zeros(2, len(UPPER), 2)
    offsets[1, 5] = torch.tensor([0.3, -0.2])  # point 22 of frame 1
    deformation = face_deformation(offsets.flatten(1), torch.zeros(2, 2))
    moved = shape[UPPER[5]] + torch.tensor([0.3, -0.2, 0.0])
    positions, frame = torch.stack([moved, moved]), torch.tensor([0, 1])
    canonical = face_deformation.to_canonical(positions, deformation, frame)
    assert torch.equal(canonical[0], moved)
    # the ridge leaves a small error, and the displacement is that of the cell at the moved position
    assert torch.allclose(canonical[1], shape[UPPER[5]], atol=0.12) and canonical[1, 2] == moved[2]
    below = torch.tensor([[0.0, 14.0, 0.0]])
    assert torch.allclose(face_deformation.to_canonical(below, deformation, torch.tensor([1])), below)


def test_fit_recovers_the_linear_map_from_lips_to_the_lower_face():
    torch.manual_seed(0)
    face_deformation = FaceDeformation(face().tolist(), BOX, 2, audio_drives_mouth=True)
    lips = torch.randn(200, 2)
    slopes = torch.randn(2, len(LOWER) * 2) * 0.2
    offsets = torch.zeros(200, 68, 2)
    offsets[:, list(LOWER)] = (lips @ slopes + 0.1).view(200, -1, 2)
    face_deformation.fit(lips, offsets)
    assert torch.allclose(face_deformation.lips_to_points[:2], slopes, atol=0.01)
    assert torch.allclose(face_deformation.lips_to_points[2], torch.full((len(LOWER) * 2,), 0.1), atol=0.01)


def test_without_speech_the_offsets_deform_the_whole_face():
    face_deformation = FaceDeformation(face().tolist(), BOX, 2, audio_drives_mouth=False)
    assert set(face_deformation.points.tolist()) == {*UPPER, *LOWER}
    face_deformation.fit(torch.randn(5, 2), torch.randn(5, 68, 2))
    width = 2 * len(face_deformation.points)
    still, moved = (face_deformation(torch.full((1, width), value), torch.randn(1, 2)) for value in (0.0, 1.0))
    assert still.abs().max() == 0 and moved.abs().max() > 0.1


def test_gradients_reach_the_positions():
    face_deformation = FaceDeformation(face().tolist(), BOX, 2, audio_drives_mouth=True)
    positions = torch.randn(4, 3, requires_grad=True)
    deformation = face_deformation(torch.randn(1, len(UPPER) * 2), torch.randn(1, 2))
    face_deformation.to_canonical(positions, deformation, torch.zeros(4, dtype=torch.long)).sum().backward()
    assert torch.equal(positions.grad, torch.ones(4, 3))
