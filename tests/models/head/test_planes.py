"""Feature planes, compared with ``grid_sample``."""

from __future__ import annotations

import torch
from torch.nn import functional

from jean.kernels.backend import REFERENCE
from jean.models.head.planes import FeaturePlane, VersionedCache, bilinear_rows, refine_plane


def sampled(plane: FeaturePlane, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    image = plane.table.view(plane.height, plane.width, -1).permute(2, 0, 1)[None]
    grid = torch.stack([x, y], -1)[None, None] * 2 - 1
    return functional.grid_sample(image, grid, align_corners=True, padding_mode="border")[0, :, 0].T


def test_values_equal_those_of_grid_sample_inside_and_outside():
    torch.manual_seed(0)
    plane = FeaturePlane(7, 11, 3)
    x, y = torch.rand(200) * 1.4 - 0.2, torch.rand(200) * 1.4 - 0.2
    # positions are clamped a thousandth of a cell inside the last edge
    assert torch.allclose(plane(x, y), sampled(plane, x, y), atol=1e-3)


def test_a_faded_plane_is_unchanged_inside_and_zero_outside():
    torch.manual_seed(3)
    plane, whole = FeaturePlane(21, 31, 3, fade=4), FeaturePlane(21, 31, 3)
    whole.load_state_dict(plane.state_dict())
    x, y = torch.rand(300) * 0.7 + 0.15, torch.rand(300) * 0.5 + 0.25  # 4 cells and more from the border
    assert torch.equal(plane(x, y), whole(x, y))
    assert (plane(torch.tensor([-0.2, 1.5, 0.0, 0.3]), torch.tensor([0.5, 0.5, 0.4, 1.0])).abs() < 1e-3).all()
    near, far = (plane(torch.tensor([column / 30]), torch.tensor([0.5])) for column in (1, 3))
    assert torch.allclose(near, whole(torch.tensor([1 / 30]), torch.tensor([0.5])) / 4, atol=1e-4)
    assert torch.allclose(far, whole(torch.tensor([3 / 30]), torch.tensor([0.5])) * 3 / 4, atol=1e-4)


def test_table_gradients_equal_those_of_grid_sample():
    torch.manual_seed(1)
    plane = FeaturePlane(5, 6, 4)
    x, y, weight = torch.rand(50) * 0.98, torch.rand(50) * 0.98, torch.rand(50, 4)
    (ours,) = torch.autograd.grad((plane(x, y) * weight).sum(), plane.table)
    (theirs,) = torch.autograd.grad((sampled(plane, x, y) * weight).sum(), plane.table)
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_gradients_of_table_and_coordinates_pass_gradcheck():
    torch.manual_seed(2)
    plane = FeaturePlane(4, 5, 2).double()
    x = (torch.rand(9, dtype=torch.float64) * 0.9 + 0.05).requires_grad_()
    y = (torch.rand(9, dtype=torch.float64) * 0.9 + 0.05).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, y, table: plane(x, y), (x, y, plane.table), atol=1e-6)


def test_weights_sum_to_one_and_rows_are_in_range():
    x, y = torch.tensor([-3.0, 0.0, 0.5, 1.0, 9.0]), torch.tensor([0.0, 1.0, 0.5, -1.0, 2.0])
    rows, weights = bilinear_rows(x, y, 3, 4)
    assert torch.allclose(weights.sum(1), torch.ones(5)) and (weights >= 0).all()
    assert rows.min() >= 0 and rows.max() < 12


def test_a_constant_plane_has_no_roughness():
    plane = FeaturePlane(4, 4, 2, scale=0.0)
    assert plane.roughness(REFERENCE) == 0
    plane.table.data[0] = 1.0
    assert plane.roughness(REFERENCE) > 0


def test_the_cache_never_shows_a_half_updated_entry():
    tensor, values = torch.ones(3), []

    class Observed(VersionedCache):
        """Reads the cache after each assignment of an attribute, as another thread may."""

        def __setattr__(self, name, value):
            super().__setattr__(name, value)
            if value is not None:
                values.append(self.get([tensor], lambda: "value"))

    assert Observed().get([tensor], lambda: "value") == "value"
    assert values and set(values) == {"value"}


def test_a_refined_plane_has_the_same_surface():
    torch.manual_seed(4)
    coarse, fine = FeaturePlane(4, 6, 3), FeaturePlane(10, 16, 3)
    fine.table.data = refine_plane(coarse.table.data, 4, 6, 3)
    x, y = torch.rand(200), torch.rand(200)
    assert torch.allclose(
        coarse(x, y), fine(x, y), atol=1e-3
    )  # positions are clamped by a fraction of a cell, and cells differ in size
    assert torch.allclose(coarse(x * 0.99, y * 0.99), fine(x * 0.99, y * 0.99), atol=1e-5)
