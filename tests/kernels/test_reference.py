"""The readable renderer against hand-computed values, closed forms and a second formulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from jean.kernels import reference as ref


def test_a_ray_through_the_principal_point_looks_along_z():
    pose = torch.eye(4)[None]
    pose[0, :3, 3] = torch.tensor([1.0, 2.0, 3.0])
    origins, directions = ref.camera_rays(
        torch.tensor([[8.0, 4.0]]), torch.tensor([10.0]), torch.tensor([[8.0, 4.0]]), pose
    )
    assert torch.allclose(origins, torch.tensor([[1.0, 2.0, 3.0]]))
    assert torch.allclose(directions, torch.tensor([[0.0, 0.0, 1.0]]))


def test_a_point_on_a_ray_projects_back_to_its_pixel():
    from jean.geometry import Camera, make_pose, project, rotation_matrix

    camera = Camera(300.0, (120.0, 131.0), 256, 256)
    pose = make_pose(rotation_matrix(np.array([0.2, -0.4, 0.1])), np.array([3.0, -5.0, -60.0]))
    pixels = torch.tensor([[10.5, 20.5], [200.5, 99.5], [127.5, 250.5]])
    origins, directions = ref.camera_rays(
        pixels,
        torch.full((3,), 300.0),
        torch.tensor([[120.0, 131.0]]).expand(3, 2),
        torch.tensor(pose).float().expand(3, 4, 4),
    )
    points = (origins + 47.0 * directions).double().numpy()
    assert np.allclose(project(points, camera, pose), pixels.numpy(), atol=1e-2)
    assert torch.allclose(directions.norm(dim=-1), torch.ones(3))


def test_box_interval_hits_misses_and_starts_inside():
    origins = torch.tensor([[0.0, 0.0, -5.0], [3.0, 0.0, -5.0], [0.0, 0.0, 0.0]])
    directions = torch.tensor([[0.0, 0.0, 1.0]]).expand(3, 3)
    near, far = ref.box_interval(origins, directions, torch.tensor([-1.0, -1, -1]), torch.tensor([1.0, 1, 2]))
    assert torch.allclose(near[[0, 2]], torch.tensor([4.0, 0.0])) and torch.allclose(
        far[[0, 2]], torch.tensor([7.0, 2.0])
    )
    assert near[1] == far[1]


def test_constant_density_follows_the_beer_lambert_law():
    edges = ref.uniform_edges(torch.tensor([1.0]), torch.tensor([4.0]), 30)
    depths, intervals = (edges[:, 1:] + edges[:, :-1]) / 2, edges[:, 1:] - edges[:, :-1]
    out = ref.composite(torch.full_like(depths, 0.7), torch.ones(1, 30, 2), depths, intervals)
    assert out.opacity.item() == pytest.approx(1 - math.exp(-0.7 * 3.0), rel=1e-5)
    assert torch.allclose(out.channels, out.opacity[:, None].expand(1, 2))
    assert torch.allclose(out.weights.sum(1), out.opacity)


def test_composite_equals_the_loop_over_samples():
    generator = torch.Generator().manual_seed(1)
    density = torch.rand(5, 7, generator=generator) * 3
    channels = torch.rand(5, 7, 3, generator=generator)
    depths = torch.cumsum(torch.rand(5, 7, generator=generator), 1)
    intervals = torch.rand(5, 7, generator=generator)
    out = ref.composite(density, channels, depths, intervals)
    for ray in range(5):
        light, colour, depth = 1.0, np.zeros(3), 0.0
        for sample in range(7):
            alpha = 1 - math.exp(-float(density[ray, sample] * intervals[ray, sample]))
            colour += light * alpha * channels[ray, sample].numpy()
            depth += light * alpha * float(depths[ray, sample])
            light *= 1 - alpha
        assert np.allclose(out.channels[ray].numpy(), colour, atol=1e-6)
        assert out.depth[ray].item() == pytest.approx(depth, abs=1e-5)
        assert out.opacity[ray].item() == pytest.approx(1 - light, abs=1e-6)


def test_composite_gradients():
    generator = torch.Generator().manual_seed(2)

    def draw(*shape):
        return torch.rand(*shape, generator=generator, dtype=torch.float64).requires_grad_()

    density, channels, depths, intervals = draw(3, 4), draw(3, 4, 2), draw(3, 4), draw(3, 4)

    def outputs(*inputs):
        out = ref.composite(*inputs)
        return out.channels, out.opacity, out.depth, out.weights

    assert torch.autograd.gradcheck(outputs, (density, channels, depths, intervals))


def test_empty_and_opaque_rays():
    depths, intervals = torch.tensor([[1.0, 2.0]] * 2), torch.ones(2, 2)
    out = ref.composite(torch.tensor([[0.0, 0.0], [1e6, 5.0]]), torch.ones(2, 2, 3), depths, intervals)
    assert out.opacity.tolist() == [0.0, 1.0] and out.depth.tolist() == [0.0, 1.0]
    behind = ref.over(out.channels, out.opacity, torch.full((2, 3), 0.25))
    assert torch.allclose(behind, torch.tensor([[0.25] * 3, [1.0] * 3]))


def test_no_rays():
    out = ref.composite(torch.zeros(0, 4), torch.zeros(0, 4, 3), torch.zeros(0, 4), torch.zeros(0, 4))
    assert out.channels.shape == (0, 3) and out.opacity.shape == (0,)


def test_inverse_cdf_places_samples_by_weight():
    edges = torch.tensor([[0.0, 1.0, 2.0, 3.0]])
    depths = ref.invert_cdf(edges, torch.tensor([[0.0, 1.0, 0.0]]), torch.tensor([[0.1, 0.5, 0.9]]))
    assert torch.allclose(depths, torch.tensor([[1.1, 1.5, 1.9]]), atol=1e-5)


def test_inverse_cdf_reproduces_the_weights_as_a_histogram():
    weights = torch.tensor([[1.0, 3.0, 0.5, 5.5]])
    quantiles = ref.quantile_grid(1, 20000, None, torch.device("cpu"))
    depths = ref.invert_cdf(ref.uniform_edges(torch.zeros(1), torch.ones(1), 4), weights, quantiles)
    fractions = torch.histc(depths, 4, 0, 1) / 20000
    assert torch.allclose(fractions, weights[0] / 10, atol=1e-3)


def test_stratified_depths_stay_in_their_strata_and_repeat_with_the_seed():
    near, far = torch.zeros(50), torch.full((50,), 8.0)
    one = ref.stratified_depths(near, far, 8, torch.Generator().manual_seed(3))
    two = ref.stratified_depths(near, far, 8, torch.Generator().manual_seed(3))
    assert torch.equal(one, two)
    assert torch.equal(one.floor(), torch.arange(8.0).expand(50, 8))
    assert torch.equal(ref.stratified_depths(near, far, 8)[0], torch.arange(8.0) + 0.5)
