"""Density control: what is removed, cloned and split, and that no row is lost."""

from __future__ import annotations

import pytest
import torch

from jean.models.head.density_control import (
    EVERY,
    LARGEST_CM,
    RESET_OPACITY,
    SPLIT_FACTOR,
    densify,
    due,
    reset_opacities,
)
from jean.models.head.gaussians import Gaussians, Region

BOX = ((-14.0, -18.0, -10.0), (14.0, 15.0, 12.0))


def six(capacity=60):
    """Six Gaussians: 0 ordinary, 1 transparent, 2 huge, 3 small, 4 large, 5 interior."""
    torch.manual_seed(0)
    gaussians = Gaussians(capacity, 5, 3, 0, BOX, [Region((0.0, 0.0), (1.0, 1.0))])
    with torch.no_grad():
        gaussians.centre[:6] = torch.arange(6.0)[:, None].expand(6, 3)
        gaussians.log_scale[:6] = torch.log(torch.tensor([0.1, 0.1, 2 * LARGEST_CM, 0.05, 0.5, 0.1]))[:, None]
        gaussians.opacity[:6] = torch.logit(torch.tensor([0.5, 0.001, 0.5, 0.75, 0.75, 0.5]))
        gaussians.interior[5] = 1
        gaussians.count.fill_(6)
    return gaussians


def test_transparent_and_huge_gaussians_are_removed():
    gaussians = six()
    rearrangement = densify(gaussians, torch.zeros(60), torch.Generator().manual_seed(0))
    assert int(gaussians.count) == 4 and not rearrangement.fresh.any()
    assert gaussians.centre[:4, 0].tolist() == [0, 3, 4, 5] and gaussians.interior[:4].tolist() == [0, 0, 0, 1]
    assert rearrangement.source[:4].tolist() == [0, 3, 4, 5]


def test_gaussians_with_large_gradients_are_cloned_or_split():
    gaussians = six()
    gradient = torch.zeros(60)
    gradient[3], gradient[4] = 2.0, 1.0
    rearrangement = densify(gaussians, gradient, torch.Generator().manual_seed(0))
    assert int(gaussians.count) == 6 and rearrangement.fresh[:6].tolist() == [False] * 4 + [True] * 2
    assert rearrangement.source[:6].tolist() == [0, 3, 4, 5, 3, 4]
    small, clone, large, half = (gaussians.log_scale[row].exp()[0].item() for row in (1, 4, 2, 5))
    assert small == clone == pytest.approx(0.05) and large == half == pytest.approx(0.5 / SPLIT_FACTOR)
    # both lie around the one before
    for first, second, before in ((1, 4, 3.0), (2, 5, 4.0)):
        middle = (gaussians.centre[first] + gaussians.centre[second]) / 2
        assert torch.allclose(middle, torch.full((3,), before), atol=1e-5)
    # two clones are together as opaque as the Gaussian before: 1 - (1 - 0.5)² = 0.75
    assert torch.sigmoid(gaussians.opacity[[1, 4]]).tolist() == pytest.approx([0.5, 0.5], abs=1e-4)
    assert torch.sigmoid(gaussians.opacity[[2, 5]]).tolist() == pytest.approx([0.75, 0.75], abs=1e-4)


def test_the_budget_is_never_exceeded():
    gaussians = six(capacity=7)
    densify(gaussians, torch.ones(7), torch.Generator().manual_seed(0))
    assert int(gaussians.count) == 5  # a tenth of the capacity at a time
    for _ in range(10):
        densify(gaussians, torch.ones(7), torch.Generator().manual_seed(0))
    assert int(gaussians.count) == 7
    assert all(torch.isfinite(parameter).all() for parameter in gaussians.rows)


def test_nothing_is_left_of_no_gaussians():
    gaussians = six()
    gaussians.count.fill_(0)
    densify(gaussians, torch.zeros(60), torch.Generator())
    assert int(gaussians.count) == 0


def test_the_same_generator_gives_the_same_gaussians():
    made = []
    for _ in range(2):
        gaussians = six()
        densify(gaussians, torch.ones(60), torch.Generator().manual_seed(3))
        made.append(gaussians)
    assert all(torch.equal(a, b) for a, b in zip(made[0].rows, made[1].rows, strict=True))


def test_control_stops_before_the_end_and_resets_once():
    steps = 4000
    plan = [due(step, steps) for step in range(steps)]
    regular = [step + 1 for step, todo in enumerate(plan) if todo.densify]
    assert regular[0] == 200 and regular[-1] == 2400 and len(regular) == (2400 - 200) // EVERY + 1
    assert not any(todo.reset for todo in plan)
    assert [step + 1 for step in range(20_000) if due(step, 20_000).reset] == [6000]


def test_a_reset_limits_opacities():
    gaussians = six()
    reset_opacities(gaussians)
    opacity = torch.sigmoid(gaussians.opacity[:6])
    assert opacity.max().item() == pytest.approx(RESET_OPACITY) and opacity[1].item() == pytest.approx(0.001)
