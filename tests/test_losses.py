"""Equations 1, 2, 4 and 6, D-SSIM and the torso's loss against values by hand, and their gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from jean.losses import (
    contrastive_batch_loss,
    contrastive_loss,
    cosine_scores,
    emotion_loss,
    hidden_torso_loss,
    landmark_loss,
    photometric_loss,
    structural_loss,
    torso_loss,
)


def test_equation_1_is_the_sum_of_two_mean_distances():
    a, b = torch.zeros(1, 2, 2), torch.zeros(1, 2, 2)
    a[0, 0] = torch.tensor([1.0, -3.0])  # |1| + |-3| over four coordinates: 1
    b[0, 1, 1] = 2.0  # 0.5
    assert landmark_loss(a, torch.zeros_like(a), b, torch.zeros_like(b)).item() == 1.5


def test_equation_2_agrees_with_values_by_hand():
    # cosines 1 and 0 with τ = 0.1: d = 10 and 0
    mouth = torch.tensor([[2.0, 0.0]])
    loss = contrastive_loss(torch.tensor([[5.0, 0.0]]), torch.tensor([[[0.0, 3.0]]]), mouth, 0.1)
    assert math.isclose(loss.item(), -math.log(math.exp(10) / (math.exp(10) + 1)), rel_tol=1e-3)
    # equally near: the chance of one in two, whatever τ
    same = contrastive_loss(torch.ones(1, 2), torch.ones(1, 1, 2), mouth, 0.37)
    assert math.isclose(same.item(), math.log(2), rel_tol=1e-6)
    # two negatives: one in three
    assert math.isclose(
        contrastive_loss(torch.ones(1, 2), torch.ones(1, 2, 2), mouth).item(), math.log(3), rel_tol=1e-6
    )


def test_the_temperature_is_inside_the_distance_and_vector_lengths_do_not_matter():
    x, y = torch.tensor([[3.0, 4.0]]), torch.tensor([[4.0, 3.0]])
    assert math.isclose(cosine_scores(x, y, 0.1).item(), 9.6, rel_tol=1e-6)
    assert torch.allclose(cosine_scores(7 * x, 0.2 * y, 0.1), cosine_scores(x, y, 0.1))


def test_only_allowed_frames_of_a_batch_are_negatives():
    torch.manual_seed(0)
    audio, mouth = torch.randn(4, 8), torch.randn(4, 8)
    negatives = torch.zeros(4, 4, dtype=torch.bool)
    negatives[0, 1] = negatives[1, 3] = negatives[2, 0] = negatives[3, 2] = True  # one each: Eq. 2 as it stands
    expected = contrastive_loss(audio, audio[[1, 3, 0, 2]][:, None], mouth)
    assert torch.allclose(contrastive_batch_loss(audio, mouth, negatives), expected)
    assert contrastive_batch_loss(audio, mouth, torch.zeros(4, 4, dtype=torch.bool)).item() == 0


def test_equation_4_agrees_with_values_by_hand():
    zero = torch.zeros(1, 2, 4)
    assert emotion_loss(zero + 2, zero, zero, zero - 1).item() == 3.0


def test_gradients_of_equation_2():
    torch.manual_seed(0)
    values = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in ((3, 4), (3, 2, 4), (3, 4))]
    assert torch.autograd.gradcheck(lambda p, n, m: contrastive_loss(p, n, m, 0.5), values)


def test_a_torso_behind_half_a_head_is_opaque():
    red, seen = torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[0.5, 0.5, 0.5]])
    half = torch.tensor([0.5])
    # the colour's error 0.75, on three channels a quarter, weighed by the torso's share
    assert torso_loss(red, torch.ones(1), seen, half, half).item() == 0.125
    # opacity one half instead of one: 0.25, weighed by what the head leaves
    assert torso_loss(seen, half, seen, half, half).item() == 0.125
    # all head: nothing is known of what is behind
    assert torso_loss(red, half, seen, torch.ones(1), torch.zeros(1)).item() == 0.0
    # no torso: it must be transparent
    assert torso_loss(red, half, seen, torch.zeros(1), torch.zeros(1)).item() == 0.25


def test_a_hidden_torso_follows_its_prior():
    red, prior = torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[0.5, 0.5, 0.5, 1.0, 1.0]])
    half, hidden = torch.tensor([0.5]), torch.ones(1)
    # the colour's error 0.75 on three channels, the opacity's 0.25
    assert hidden_torso_loss(red, half, prior, hidden).item() == pytest.approx(0.5)
    assert hidden_torso_loss(red, half, prior, half).item() == pytest.approx(0.25)
    # where no torso continues, its colour does not matter
    nothing = torch.tensor([[0.0, 0.0, 0.0, 0.0, 1.0]])
    assert hidden_torso_loss(red, torch.zeros(1), nothing, hidden).item() == 0.0
    # deep behind the head the layer is free
    free = prior * torch.tensor([1.0, 1.0, 1.0, 1.0, 0.0])
    assert hidden_torso_loss(red, half, free, hidden).item() == 0.0
    assert hidden_torso_loss(red, half, prior, torch.zeros(1)).item() == 0.0


def test_weights_multiply_squared_errors():
    predicted, target = torch.tensor([[1.0, 0, 0], [0, 2.0, 0]]), torch.zeros(2, 3)
    assert photometric_loss(predicted, target).item() == pytest.approx(5 / 6)
    assert photometric_loss(predicted, target, torch.tensor([3.0, 0.5])).item() == pytest.approx((3 + 2) / 6)


def test_d_ssim_is_that_of_scikit_image():
    from skimage.metrics import structural_similarity

    random = torch.Generator().manual_seed(0)
    a = torch.rand(2, 20, 24, 3, generator=random, dtype=torch.float64)
    b = (a + 0.2 * torch.rand(a.shape, generator=random)).clamp(0, 1)
    luma = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)
    maps = [
        structural_similarity(
            (x @ luma).numpy(), (y @ luma).numpy(), data_range=1, use_sample_covariance=False, full=True
        )[1][3:-3, 3:-3]
        for x, y in zip(a, b, strict=True)
    ]
    wanted = torch.from_numpy(np.stack(maps))
    assert structural_loss(a, b).item() == pytest.approx((1 - wanted.mean().item()) / 2)
    weight = torch.rand(2, 20, 24, generator=random, dtype=torch.float64)
    weighted = ((1 - wanted) / 2 * weight[:, 3:-3, 3:-3]).mean()
    assert structural_loss(a, b, weight).item() == pytest.approx(weighted.item())


def test_gradients_of_d_ssim():
    random = torch.Generator().manual_seed(0)
    a = torch.rand(1, 8, 9, 3, generator=random, dtype=torch.float64).requires_grad_()
    b = torch.rand(1, 8, 9, 3, generator=random, dtype=torch.float64)
    weight = torch.rand(1, 8, 9, generator=random, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: structural_loss(x, b, weight, window=3), a)
