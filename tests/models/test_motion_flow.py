"""The motion network: shapes, masks, gradients, and that it can learn a distribution."""

from __future__ import annotations

import numpy as np
import torch

from jean.models.motion_flow import MotionFlow
from jean.models.motion_network import CONTEXT, MotionSizes


def network(**changes):
    torch.manual_seed(0)
    return MotionFlow(
        MotionSizes(**{"width": 3, "lips": 2, "sound": 4, "emotions": 2, "hidden": 16, "layers": 1} | changes)
    )


def inputs(model, batch=2, length=12, dtype=torch.float32):
    torch.manual_seed(1)
    features = model.sound_features(torch.randn(batch, length + 2 * CONTEXT, 4, dtype=dtype))
    values, given = torch.randn(2, batch, length, 3, dtype=dtype)
    return (
        values,
        torch.rand(batch, dtype=dtype),
        given,
        torch.zeros_like(given),
        model.condition(features, torch.zeros(batch, length, 3, dtype=dtype)),
    )


def test_shapes():
    model = network()
    assert model.velocity(*inputs(model)).shape == (2, 12, 3)
    features, emotion = torch.zeros(2, 12, 16), torch.zeros(2, 12, 3)
    assert model.lips(features, emotion).shape == (2, 12, 2)
    assert model.voice(features, torch.ones(2, 12))[0].shape == (2, 3)


def test_unknown_values_are_not_looked_at():
    model = network()
    torch.nn.init.normal_(model.velocity_out.weight)
    values, time, given, mask, condition = inputs(model)
    free = model.velocity(values, time, given, mask, condition)
    assert torch.equal(model.velocity(values, time, 5 + given, mask, condition), free)
    assert not torch.allclose(model.velocity(values, time, given, mask + 1, condition), free)


def test_silent_frames_do_not_decide_about_the_voice():
    model = network()
    features = torch.randn(2, 12, 16)
    weight = torch.ones(2, 12)
    weight[:, 6:] = 0
    changed = features.clone()
    changed[:, 6:] += 3
    assert torch.allclose(model.voice(features, weight)[0], model.voice(changed, weight)[0], atol=1e-6)


def test_gradients_in_double_precision():
    model = network(hidden=8).double()
    torch.nn.init.normal_(model.velocity_out.weight)
    values, time, given, mask, condition = inputs(model, 1, 4, torch.float64)
    condition = condition.detach()
    values.requires_grad_(True)
    assert torch.autograd.gradcheck(lambda v: model.velocity(v, time, given, mask, condition), (values,))


def test_a_flow_learns_two_modes_and_not_their_mean():
    torch.manual_seed(0)
    model = MotionFlow(MotionSizes(1, 1, 4, 1, hidden=32, layers=1))
    adam = torch.optim.Adam(model.parameters(), 3e-3)
    nothing, condition = torch.zeros(64, 2, 1), torch.zeros(64, 2, 32)
    for _ in range(300):
        target = torch.where(torch.rand(64, 1, 1) < 0.5, 1.0, -1.0).expand(64, 2, 1)
        noise, time = torch.randn(64, 2, 1), torch.rand(64)
        t = time[:, None, None]
        velocity = model.velocity((1 - t) * noise + t * target, time, nothing, nothing, condition)
        loss = (velocity - (target - noise)).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    values = torch.randn(64, 2, 1)
    with torch.no_grad():
        for step in range(12):
            values += model.velocity(values, torch.full((64,), step / 12), nothing, nothing, condition) / 12
    ends = values.mean(1)[:, 0].numpy()
    assert np.mean(np.abs(np.abs(ends) - 1) < 0.4) > 0.8  # near +1 or -1
    assert 0.2 < np.mean(ends > 0) < 0.8
