"""The expression transformer: sizes of section 8.3.2, targets of a swap, frames that the decoder attends to."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from jean.losses import emotion_loss
from jean.models.expression_transformer import ExpressionTransformer, position_codes
from jean.train.expression.config import ExpressionConfig
from jean.train.expression.stage import pair_loss


def test_a_mean_with_its_weight_decay_learns_what_a_sum_learns_with_the_papers():
    inputs, targets = torch.randn(4, 4, dtype=torch.float64), torch.randn(4, 8 * 2048, dtype=torch.float64)
    learned = []
    for decay, reduce in ((1e-5, lambda x: x.sum(1).mean()), (ExpressionConfig().weight_decay, torch.mean)):
        weights = torch.nn.Parameter(torch.ones(4, 8 * 2048, dtype=torch.float64))
        adam = torch.optim.Adam([weights], lr=1e-2, weight_decay=decay, eps=0.0)
        for _ in range(5):
            adam.zero_grad()
            reduce((inputs @ weights - targets).abs()).backward()
            adam.step()
        learned.append(weights.detach())
    torch.testing.assert_close(*learned, rtol=1e-9, atol=1e-9)


def small(**options) -> ExpressionTransformer:
    torch.manual_seed(0)
    defaults = {"features": 6, "width": 8, "hidden": 16, "heads": 4, "layers": 2, "feedforward": 32, "window": 8}
    return ExpressionTransformer(**(defaults | options)).eval()


def windows(seed: int, count: int = 2) -> torch.Tensor:
    return torch.randn(count, 8, 6, generator=torch.Generator().manual_seed(seed))


def test_sizes_are_the_papers():
    config = ExpressionConfig()
    assert (config.window, config.swap_probability, config.width) == (8, 0.8, 64)
    assert (config.hidden, config.layers, config.heads, config.dropout) == (512, 3, 8, 0.2)
    assert (config.epochs, config.batch, config.train_pairs) == (20, 256, 60)
    assert config.weight_decay == pytest.approx(1e-5 / (8 * 2048)), "of a sum over a window, relative to its mean"
    assert (config.disentangle, config.scaling, config.history) == (False, "none", "teacher")
    model = ExpressionTransformer(features=2048)
    assert [tuple(p.weight.shape) for p in model.down if hasattr(p, "weight")] == [(512, 2048), (128, 512)]
    assert [tuple(p.weight.shape) for p in model.up if hasattr(p, "weight")] == [(512, 128), (2048, 512)]
    assert len(model.encoder.layers) == len(model.decoder.layers) == 3
    assert model.encoder.layers[0].self_attn.num_heads == 8
    lip, expression = model.encode(torch.zeros(2, 8, 2048))
    assert lip.shape == expression.shape == (2, 8, 64)
    assert model.decode(lip, expression).shape == (2, 8, 2048)


def test_the_decoder_attends_to_earlier_target_frames_only():
    model = small()
    lip, expression = model.encode(windows(0))
    tokens = model.down(windows(1)).detach().requires_grad_()
    out = model.decode(lip.detach(), expression.detach(), tokens)
    for t in range(8):
        (gradient,) = torch.autograd.grad(out[:, t].square().sum(), tokens, retain_graph=True, allow_unused=True)
        attended = gradient.abs().sum((0, 2)) > 0
        assert attended.tolist() == [True] * t + [False] * (8 - t)


def test_the_decoder_attends_to_the_embeddings_of_the_whole_window():
    model = small()
    lip, expression = (value.detach().requires_grad_() for value in model.encode(windows(0)))
    out = model.decode(lip, expression, model.down(windows(1)))
    for value in (lip, expression):
        (gradient,) = torch.autograd.grad(out[:, 3].square().sum(), value, retain_graph=True)
        assert (gradient.abs().sum((0, 2)) > 0).all()


def test_without_a_target_the_decoder_attends_to_its_own_output():
    model = small()
    lip, expression = model.encode(windows(0))
    free = model.decode(lip, expression)
    # with the free-running output as target, the output must be the same again, frame by frame
    assert torch.allclose(model.decode(lip, expression, model.down(free)), free, atol=1e-5)


def test_without_history_the_output_does_not_depend_on_the_target():
    model = small(history="none")
    lip, expression = model.encode(windows(0))
    first = model.decode(lip, expression, model.down(windows(1)))
    assert torch.equal(first, model.decode(lip, expression, model.down(windows(2))))
    assert not torch.allclose(first[:, 0], first[:, 1])  # positions still differ


class Ideal(ExpressionTransformer):
    """Features are e_l (first three) and e_e (last three) side by side."""

    def encode_tokens(self, tokens):
        return tokens[..., :3], tokens[..., 3:]

    def decode(self, lip, expression, target_tokens=None):
        return torch.cat([lip, expression], -1)


def ideal() -> ExpressionTransformer:
    model = Ideal(features=6, width=8, heads=4, layers=1, hidden=8, feedforward=8)
    model.down = torch.nn.Identity()
    return model.eval()


ALWAYS, NEVER = torch.tensor([True, True]), torch.tensor([False, False])


def test_lips_of_a_with_the_expression_of_b_give_b():
    # the same words at the same moment: e_l is common, e_e is not
    a, b = windows(0), windows(1)
    b[..., :3] = a[..., :3]
    for swap in (ALWAYS, NEVER, torch.tensor([True, False])):
        assert pair_loss(ideal(), a, b, swap).item() == 0
    # the roles exchanged: e_e is common, e_l is not. Swapping e_e then gives A where the target is B
    c = windows(1)
    c[..., 3:] = a[..., 3:]
    wrong = pair_loss(ideal(), a, c, ALWAYS)
    assert torch.allclose(wrong, 2 * (a - c).abs().mean()) and wrong > 0.5
    assert pair_loss(ideal(), a, c, NEVER).item() == 0


def test_target_and_history_of_a_swap_come_from_the_owner_of_the_expression():
    calls = []

    class RecordingIdeal(Ideal):
        def decode(self, lip, expression, target_tokens=None):
            calls.append((lip, expression, target_tokens))
            return torch.zeros(2, 8, 6)

    model = RecordingIdeal(features=6, width=8, heads=4, layers=1, hidden=8, feedforward=8)
    model.down = torch.nn.Identity()
    a, b = windows(0), windows(1)
    swap = torch.tensor([True, False])
    loss = pair_loss(model, a, b, swap)
    (lip, expression, past), (other_lip, other_expression, other_past) = calls
    assert torch.equal(lip, a[..., :3]) and torch.equal(other_lip, b[..., :3])  # e_l is never exchanged
    assert torch.equal(expression[0], b[0, :, 3:]) and torch.equal(expression[1], a[1, :, 3:])
    assert torch.equal(past[0], b[0]) and torch.equal(past[1], a[1]) and torch.equal(other_past[0], a[0])
    assert torch.equal(other_expression[0], a[0, :, 3:])
    assert torch.allclose(
        loss,
        emotion_loss(torch.zeros(2, 8, 6), torch.stack([b[0], a[1]]), torch.zeros(2, 8, 6), torch.stack([a[0], b[1]])),
    )


def test_the_embedding_of_a_frame_is_the_middle_of_its_window():
    model = small()
    track = np.random.default_rng(0).standard_normal((20, 6)).astype(np.float32)
    lip, expression = model.embed_track(track, batch=7)
    assert lip.shape == expression.shape == (20, 8)
    with torch.no_grad():
        lips, expressions = model.encode(torch.from_numpy(track[None, 6:14]))  # frames 6 to 13: the fifth is 10
    assert np.allclose(lip[10], lips[0, 4], atol=1e-5) and np.allclose(expression[10], expressions[0, 4], atol=1e-5)
    padded = np.concatenate([np.repeat(track[:1], 4, 0), track])
    assert np.allclose(model.embed_track(padded)[1][4:10], expression[:6], atol=1e-5)  # the first frame is repeated


def test_features_are_standardised_with_the_statistics():
    model = small()
    model.set_statistics(torch.full((6,), 3.0), torch.full((6,), 2.0))
    assert torch.equal(model.standardised(torch.full((1, 8, 6), 7.0)), torch.full((1, 8, 6), 2.0))


def test_position_codes_are_sines_and_cosines():
    codes = position_codes(3, 4)
    assert torch.allclose(codes[2], torch.tensor([np.sin(2), np.cos(2), np.sin(0.02), np.cos(0.02)]).float())


def test_heads_must_divide_the_width():
    from jean.errors import UsageError

    with pytest.raises(UsageError, match="heads"):
        ExpressionConfig(heads=7)
