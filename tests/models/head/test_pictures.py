"""Heads that draw pictures: training gives them crops, rendering whole frames, and their rows may change."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from jean.drivers.person_frames import open_person
from jean.kernels.reference import Composite
from jean.models.frame import render_frame, render_opacity
from jean.models.head.base import Head, Rearrangement
from jean.models.head.registry import HEADS
from jean.train.nerf.config import NerfConfig
from jean.train.nerf.optimiser import rearrange
from jean.train.nerf.presets import resolve
from jean.train.nerf.stage import NerfStage
from tests.helpers.tiny_clip import make_clip


class Painting(Head):
    """One colour over the whole window; two rows of parameters, which swap after the second step."""

    operations = ("composite",)
    trained_by = rendered_by = "composite"
    draws_pictures = True

    def __init__(self, arguments):
        super().__init__(arguments)
        self.colour = nn.Parameter(torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]))
        self.windows = []

    def use(self, backend):
        self.backend = backend

    def draw(self, camera, condition, view, generator, deformation=None):
        self.windows.append((*camera.pixels.amin(0).tolist(), *camera.pixels.amax(0).tolist(), len(camera.pixels)))
        rgb = torch.sigmoid(self.colour.sum(0)).expand(len(camera.pixels), 3)
        opacity = torch.full_like(rgb[:, 0], 0.5)
        return [Composite(opacity[:, None] * rgb, opacity, 50 * opacity, opacity[:, None])]

    def after_step(self, step, steps, generator):
        if step != 1:
            return None
        source = torch.tensor([1, 0])
        with torch.no_grad():
            self.colour.copy_(self.colour[source])
        return Rearrangement([self.colour], source, torch.tensor([False, True]))

    def primitives(self):
        return torch.tensor([[0.0, 0.0, 18.0], [0.0, 0.0, 4.5]]), torch.tensor([1.0, 1.0])


def stage(tmp_path, monkeypatch, **options):
    monkeypatch.setattr(HEADS, "load", lambda name: Painting)
    clip = make_clip(tmp_path / "clip", frames=10, size=24)
    config = NerfConfig(preset="painting", steps=4, rays=100, frames_per_step=1, device="cpu", **options)
    return NerfStage(open_person([clip]), resolve(config), torch.device("cpu"))


def test_training_gives_crops_and_rendering_whole_frames(tmp_path, monkeypatch):
    made = stage(tmp_path, monkeypatch)
    made.step(0)
    left, top, right, bottom, count = made.model.head.windows[-1]
    assert (right - left, bottom - top, count) == (9.0, 9.0, 100)
    losses, _ = made.losses(False)
    assert {"photo", "absolute", "structure", "opacity", "torso"} <= set(losses)
    white = np.full((150, 150, 3), 255, np.uint8)  # more pixels than rays of a pass
    render_frame(made.model.eval(), made.frames(0), white)
    assert made.model.head.windows[-1] == (0.5, 0.5, 149.5, 149.5, 150 * 150)
    assert render_opacity(made.model, made.frames(0), 24)[..., 0].tolist() == [[128] * 24] * 24


def test_crops_as_large_as_the_frame_teach_the_torso_everywhere(tmp_path, monkeypatch):
    made = stage(tmp_path, monkeypatch)
    made = NerfStage(made.data, made.config.model_copy(update={"rays": 24 * 24}), torch.device("cpu"))
    seen, taught, forward = set(), set(), made.model.torso.forward

    def watched(coordinates, pose, frame):
        places = {tuple(place) for place in coordinates.tolist()}
        seen.update(places)
        if torch.is_grad_enabled():
            taught.update(places)
        return forward(coordinates, pose, frame)

    monkeypatch.setattr(made.model.torso, "forward", watched)
    for _ in range(20):
        made.losses(False)
    assert len(seen) > 100 and taught == seen


def test_the_background_of_a_crop_has_one_colour(tmp_path, monkeypatch):
    made = stage(tmp_path, monkeypatch)
    from jean.train.nerf import losses

    batch = made.batches.draw(made.generator)
    colours = losses._random_colours(batch, made.generator)
    assert colours.shape == (100, 3) and len(colours.unique(dim=0)) == 1


def test_optimiser_and_average_follow_rearranged_rows(tmp_path, monkeypatch):
    made = stage(tmp_path, monkeypatch)
    made.step(0)
    head, average = made.model.head, made.ema.head
    with torch.no_grad():
        average.colour.copy_(torch.tensor([[1.0, 2, 3], [4, 5, 6]]))
    state = made.optimiser.state[head.colour]
    state["exp_avg"].copy_(torch.tensor([[1.0, 2, 3], [4, 5, 6]]))
    count = float(state["step"])
    rearrangement = head.after_step(1, 4, made.generator)
    rearrange(made.optimiser, rearrangement, made.model, made.ema)
    assert state["exp_avg"].tolist() == [[4.0, 5, 6], [0, 0, 0]] and float(state["step"]) == count
    assert average.colour[0].tolist() == [4.0, 5, 6] and torch.equal(average.colour[1], head.colour[1])


def test_primitives_far_from_the_head_are_penalised(tmp_path, monkeypatch):
    made = stage(tmp_path, monkeypatch)
    centres = torch.arange(-4.75, 5, 0.5)
    cells = torch.stack(torch.meshgrid(centres + 4.5, centres, centres, indexing="ij"), -1).flip(-1)
    from jean.train.nerf.head_sides import SIDES_WEIGHT, HeadSides

    made.sides = HeadSides(cells[..., 0].abs() < 3, cells)
    loss = made._shape_prior(made.frames(np.array([0])))["sides"]
    outside = made.sides.outside(made.model.head.primitives()[0])
    assert outside[1] == 0 < outside[0] and loss.item() == pytest.approx(SIDES_WEIGHT * outside[0].item() / 2)
