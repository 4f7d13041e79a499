"""The landmark autoencoder: sizes of section 8.1.2, embeddings and targets of a swap."""

from __future__ import annotations

import torch

from jean.models.landmark_autoencoder import LandmarkAutoencoder, swapped, with_mouth_of
from jean.train.landmarks.stage import pair_loss


def faces(seed: int, count: int = 3) -> torch.Tensor:
    return torch.randn(count, 51, 2, generator=torch.Generator().manual_seed(seed))


def test_the_layers_have_the_papers_sizes():
    model = LandmarkAutoencoder()
    shapes = [tuple(layer.weight.shape) for layer in model.encoder if hasattr(layer, "weight")]
    assert shapes == [(256, 102), (256, 256), (128, 256), (128, 128)]
    shapes = [tuple(layer.weight.shape) for layer in model.decoder if hasattr(layer, "weight")]
    assert shapes == [(256, 128), (256, 256), (128, 256), (102, 128)]
    assert all(layer.negative_slope == 0.02 for layer in model.encoder if hasattr(layer, "negative_slope"))
    face, mouth = model.encode(faces(0))
    assert face.shape == mouth.shape == (3, 64) and model.decode(face, mouth).shape == (3, 51, 2)


def test_the_target_of_a_swap_has_the_mouth_of_the_other():
    a, b = faces(0), faces(1)
    target = with_mouth_of(a, b)
    assert torch.equal(target[:, :31], a[:, :31]) and torch.equal(target[:, 31:], b[:, 31:])


def test_swapping_exchanges_the_masked_rows_and_swapping_twice_restores_them():
    a, b = faces(0), faces(1)
    swap = torch.tensor([True, False, True])
    x, y = swapped(a, b, swap)
    assert torch.equal(x[0], b[0]) and torch.equal(x[1], a[1]) and torch.equal(y[2], a[2])
    restored = swapped(x, y, swap)
    assert torch.equal(restored[0], a) and torch.equal(restored[1], b)


class Ideal(LandmarkAutoencoder):
    """e_f and e_m are the points themselves."""

    def encode(self, landmarks):
        return landmarks[:, :31], landmarks[:, 31:]

    def decode(self, face_embedding, mouth_embedding):
        return torch.cat([face_embedding, mouth_embedding], 1)


class Confused(Ideal):
    """Takes the mouth for the face."""

    def encode(self, landmarks):
        return landmarks[:, 20:], landmarks[:, :20]


def test_a_perfect_model_has_no_loss_with_and_without_swaps():
    a, b = faces(0), faces(1)
    for swap in (torch.zeros(3, dtype=torch.bool), torch.ones(3, dtype=torch.bool), torch.tensor([True, False, True])):
        assert pair_loss(Ideal(), a, b, swap).item() == 0
        assert pair_loss(Confused(), a, b, swap).item() > 0.5


def test_without_swaps_the_loss_is_the_reconstruction_error():
    model, a, b = LandmarkAutoencoder(), faces(0), faces(1)
    never = torch.zeros(3, dtype=torch.bool)
    expected = (model.decode(*model.encode(a)) - a).abs().mean() + (model.decode(*model.encode(b)) - b).abs().mean()
    assert torch.allclose(pair_loss(model, a, b, never), expected)


def test_a_swap_is_symmetric_in_its_two_frames():
    model, a, b = LandmarkAutoencoder(), faces(0), faces(1)
    always = torch.ones(3, dtype=torch.bool)
    assert torch.allclose(pair_loss(model, a, b, always), pair_loss(model, b, a, always))


def test_separate_encoders_use_their_own_landmarks_only():
    model = LandmarkAutoencoder(separate=True)
    points = faces(0).requires_grad_()
    face, mouth = model.encode(points)
    (of_face,) = torch.autograd.grad(face.sum(), points, retain_graph=True)
    (of_mouth,) = torch.autograd.grad(mouth.sum(), points)
    assert of_face[:, :31].abs().min() > 0 and (of_face[:, 31:] == 0).all()
    assert of_mouth[:, 31:].abs().min() > 0 and (of_mouth[:, :31] == 0).all()
