"""Adam with an EMA in one pass over memory, compared with torch."""

from __future__ import annotations

import copy

import pytest
import torch

from jean.train.nerf.ema_adam import AdamWithEma

SHAPES = ((40000, 16), (7,), (3, 5), (1,))
STEPS = 30


def train(make, weights, ema_weights=None, fraction=0.1, steps=STEPS):
    """Trains on a noisy quadratic. The third tensor never has a gradient, the fourth in two of three steps."""
    optimiser = make(weights, ema_weights)
    generator = torch.Generator().manual_seed(1)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 0.02 * 0.97**step
        for index, weight in enumerate(weights):
            gradient = weight.detach() + torch.randn(weight.shape, generator=generator)
            skip = index == 2 or (index == 3 and step % 3 == 1)
            weight.grad = None if skip else gradient
        if ema_weights is None:
            optimiser.step()
        else:
            optimiser.step_with_ema(fraction)
    return optimiser


def draw():
    generator = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]


def groups(weights):
    return [{"params": weights[:2], "lr": 1.0}, {"params": weights[2:], "lr": 1.0, "eps": 1e-3}]


def ours(weights, ema_weights, backend="native"):
    return AdamWithEma(groups(weights), weights, ema_weights, backend, betas=(0.9, 0.99), eps=1e-12)


def test_weights_states_and_ema_equal_those_of_torch():
    expected, weights = draw(), draw()
    reference = train(lambda w, _: torch.optim.Adam(groups(w), betas=(0.9, 0.99), eps=1e-12), expected)
    ema_weights = [weight.detach().clone() for weight in weights]
    optimiser = train(ours, weights, ema_weights)
    for name, (a, b) in zip("abcd", zip(weights, expected, strict=True), strict=True):
        assert torch.allclose(a, b, rtol=0, atol=5e-6), name  # rounding errors of 30 steps
    state, other = optimiser.state_dict(), reference.state_dict()
    assert state["state"].keys() == other["state"].keys()
    for index, values in other["state"].items():
        for name, value in values.items():
            assert torch.allclose(state["state"][index][name], value, rtol=1e-5, atol=1e-6), (index, name)
    by_torch = [weight.detach().clone() for weight in draw()]
    train(lambda w, a: ours(w, a, "reference"), draw(), by_torch)
    for a, b in zip(ema_weights, by_torch, strict=True):
        assert torch.allclose(a, b, rtol=0, atol=5e-6)
    assert torch.equal(ema_weights[2], weights[2])  # a weight without gradients does not move its EMA


def test_the_ema_follows_the_updated_weights():
    weight, ema = torch.nn.Parameter(torch.zeros(3)), torch.ones(3)
    optimiser = AdamWithEma([{"params": [weight], "lr": 0.5}], [weight], [ema], betas=(0.9, 0.99), eps=0.0)
    weight.grad = torch.tensor([1.0, -2.0, 4.0])
    optimiser.step_with_ema(0.25)
    # Adam's first step has the length of its learning rate, whatever the gradient
    assert torch.allclose(weight, torch.tensor([-0.5, 0.5, -0.5]))
    assert torch.allclose(ema, 0.75 + 0.25 * weight)


def test_a_loaded_state_continues_bit_identically():
    weights = draw()
    first = train(ours, weights, [w.detach().clone() for w in weights], steps=3)
    copies = [torch.nn.Parameter(w.detach().clone()) for w in weights]
    second = ours(copies, [])
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for parameters, optimiser in ((weights, first), (copies, second)):
        for weight in parameters:
            weight.grad = torch.ones_like(weight)
        optimiser.step_with_ema(0.0)
    assert all(torch.equal(a, b) for a, b in zip(weights, copies, strict=True))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_non_finite_gradients_are_detected(bad):
    weight = torch.nn.Parameter(torch.zeros(50000))
    optimiser = AdamWithEma([{"params": [weight], "lr": 0.1}], betas=(0.9, 0.99))
    weight.grad = torch.full_like(weight, 3e38)
    optimiser.step_with_ema(0.0)
    assert optimiser.finite is True
    weight.grad[41234] = bad
    optimiser.step_with_ema(0.0)
    assert optimiser.finite is False


def test_the_number_of_threads_does_not_change_results():
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            weights = draw()
            train(ours, weights, ema_weights := [w.detach().clone() for w in weights], steps=3)
            results.append([*weights, *ema_weights])
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_a_step_advances_the_version_of_the_weights():
    weight = torch.nn.Parameter(torch.ones(4))
    optimiser = AdamWithEma([{"params": [weight], "lr": 0.1}], betas=(0.9, 0.99))
    weight.grad, before = torch.ones(4), weight._version
    optimiser.step_with_ema(0.0)
    # autograd's error is not provoked here: under an address sanitizer, an exception of torch ends the process
    assert weight._version > before
