"""Kernels on a card are used by themselves only after they have agreed with torch on that card."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from jean.errors import JeanError
from jean.kernels import reference
from jean.kernels.arguments import PictureCall
from jean.kernels.cuda.example import (
    COARSE,
    example,
    example_mlp,
    example_triplane,
    readable_mlp,
    readable_picture,
    readable_triplane,
)
from jean.kernels.cuda.launch import launch_picture
from jean.kernels.cuda.mlp import launch_mlp, launch_mlp_backward
from jean.kernels.ops import rays as ray_ops
from jean.kernels.ops.mlp import MlpCall
from jean.kernels.ops.triplane import triplane_field

SAMPLES, THICK = 10, 0.6  # rays below that told opacity get fewer


@dataclass(frozen=True)
class Verdict:
    """Whether an operation's kernels are right on a card, and one line that says so.

    Attributes:
        error: that ``CHECKS`` measured; None where they did not run.
    """

    passed: bool
    line: str
    error: float | None = None


@lru_cache
def verdict(operation: str, device: torch.device) -> Verdict:
    """Runs an operation on a small random problem, by the kernels and by torch, and compares."""
    if operation in PARTS:
        parts = [verdict(part, device) for part in PARTS[operation]]
        return Verdict(all(part.passed for part in parts), "; ".join(part.line for part in parts))
    name = torch.cuda.get_device_name(device)
    check, limit = CHECKS[operation]
    try:
        error = check(device)
    except (JeanError, RuntimeError) as problem:
        made = Verdict(False, f"kernels for {operation} do not run on {name} ({problem}): torch takes their place")
    else:
        against = "error against torch in single precision"
        what = f"kernels for {operation} on {name}: {against} {error:.1e}, at most {limit:.0e}"
        passed = error < limit  # a NaN fails
        made = Verdict(passed, what if passed else f"{what} is allowed: torch takes their place", error)
    if not made.passed:
        warnings.warn(made.line, stacklevel=2)
    return made


def check_picture(device: torch.device, launcher: Any = None, rays: int = 600) -> float:
    """Mean error of colours and opacities of rays through a random field; ``launcher`` as in ``launch_picture``."""
    field, grid, origins, directions = example(device, rays)
    call = PictureCall(field, grid.sampling, grid.low, grid.high, origins, directions, SAMPLES, COARSE, THICK)
    for made in call.made:
        made.fill_(torch.nan)
    launch_picture(call, launcher)
    want, got = readable_picture(field, grid, origins, directions, SAMPLES, THICK), call.result()
    return _greatest([_mean_error(got.channels, want.channels), _mean_error(got.opacity, want.opacity)])


def check_mlp_values(device: torch.device, launcher: Any = None, samples: int = 2000) -> float:
    """``check_mlp`` in single precision."""
    return check_mlp(device, "single", launcher, samples)


def check_mlp_half(device: torch.device, launcher: Any = None, samples: int = 2000) -> float:
    """``check_mlp`` in half precision, a tenth of the gradients' errors: each is what two passes have rounded, and
    where a ReLU falls to the other side, all behind it differs."""
    return check_mlp(device, "half", launcher, samples, 0.1)


def check_mlp(device: torch.device, kind: str, launcher: Any, samples: int, of_gradients: float = 1.0) -> float:
    """Mean error of the paper's field: of densities as a share of their spread, of colours where something is, and of
    all gradients as a share of their mean size, times ``of_gradients``."""
    positions, frame, spec = example_mlp(device, samples)
    with torch.enable_grad():
        leaves = [t.detach().clone().requires_grad_() for t in (positions, *spec.weights, *spec.biases, *spec.ends)]
        layers = len(spec.weights)
        given = replace(spec, weights=leaves[1 : layers + 1], biases=leaves[layers + 1 : -4], ends=leaves[-4:])
        density, rgb = readable_mlp(leaves[0], frame, given)
        to_density = torch.linspace(0.5, 1.5, samples, device=device)  # of one sign: sums do not cancel
        to_rgb = (to_density * (density > 0))[:, None].repeat(1, 3)  # as in a picture, where nothing is nothing is seen
        wanted = torch.autograd.grad([density, rgb], leaves, [0.1 * to_density, to_rgb])
        density, rgb = density.detach(), rgb.detach()
    call = MlpCall(positions, frame, spec, True)
    assert call.rgb is not None
    call.density.fill_(torch.nan)
    call.rgb.fill_(torch.nan)
    launch_mlp(call.field, call.samples, device, kind, launcher=launcher)
    made = [torch.full_like(leaf, torch.nan) for leaf in leaves]
    made[0].zero_()
    launch_mlp_backward(call.field, call.samples, 0.1 * to_density, to_rgb, made[1:], made[0], kind, launcher)
    there = density > 0
    values = [_mean_error(call.density, density) / float(density.std()), _mean_error(call.rgb[there], rgb[there])]
    slopes = [_mean_error(got, want) / float(want.abs().mean()) for got, want in zip(made, wanted, strict=True)]
    return _greatest([*values, *(of_gradients * slope for slope in slopes)])


def check_triplane(device: torch.device, samples: int = 2000) -> float:
    """Mean error of the fast field: of densities as a share of their spread, of colours, and of all gradients as a
    share of their mean size."""
    made = []
    with torch.enable_grad():
        for function in (triplane_field, readable_triplane):
            given = example_triplane(device, samples)
            positions, _, gates, bias, light, planes, _, weights, _, _ = given
            leaves = [positions, gates, bias, light, *(plane.table for plane in planes), *weights]
            for leaf in leaves:
                leaf.requires_grad_()
            density, rgb = function(*given)
            flow = torch.linspace(0.5, 1.5, samples, device=device)  # of one sign: sums do not cancel
            gradients = torch.autograd.grad([density, rgb], leaves, [0.1 * flow, flow[:, None].expand(-1, 3)])
            made.append((density.detach(), rgb.detach(), gradients))
    (got, got_rgb, got_slopes), (density, rgb, slopes) = made
    values = [_mean_error(got, density) / float(density.std()), _mean_error(got_rgb, rgb)]
    shares = [_mean_error(a, b) / float(b.abs().mean()) for a, b in zip(got_slopes, slopes, strict=True)]
    return _greatest([*values, *shares])


def check_march(device: torch.device, rays: int = 600) -> float:
    """Error of the sampling intervals, cm, that 2 % of the rays exceed: at a cell's border a lookup may differ."""
    _, grid, origins, directions = example(device, rays)
    box = (grid.sampling, grid.low, grid.high)
    near, far = reference.box_interval(origins, directions, grid.low, grid.high)
    made = []
    for hit, edges in (
        ray_ops.march(*box, origins, directions, SAMPLES, COARSE, None, thick=THICK),
        reference.march(*box, origins, directions, near, far, SAMPLES, COARSE, thick=THICK),
    ):
        whole = edges.new_zeros(rays, SAMPLES + 1)
        whole[hit] = edges
        made.append(whole)
    return float((made[0] - made[1]).abs().amax(1).quantile(0.98))


def check_composite(device: torch.device, rays: int = 300) -> float:
    """Mean error of composites and of all their gradients, as a share of the gradients' spread."""
    generator = torch.Generator().manual_seed(0)
    shapes = ((rays, 17), (rays, 17, 5), (rays, 17), (rays, 17))
    given = [torch.rand(shape, generator=generator).to(device) for shape in shapes]
    made = []
    for function in (ray_ops.composite, reference.composite):
        inputs = [tensor.clone().requires_grad_() for tensor in given]
        out = function(*inputs)
        values = [out.channels, out.opacity, out.depth, out.weights]
        gradients = torch.autograd.grad(torch.stack([value.square().sum() for value in values]).sum(), inputs)
        made.append([*(value.detach() for value in values), *gradients])
    return _greatest([_mean_error(got, want) / float(want.std()) for got, want in zip(*made, strict=True)])


def _greatest(errors: list[float]) -> float:
    return float(torch.tensor(errors).max())  # a NaN, unlike by Python's own


def _mean_error(got: Tensor, want: Tensor) -> float:
    return float((got - want).abs().mean())


# Operations that need several checks: a field is trained in the precision that is asked for.
PARTS = {"mlp": ("mlp_values", "mlp_half")}
# Checks, and what they may find. Values that enter a matrix product keep 8 bits in bf16: mean errors of 10⁻³,
# and 10⁻² of the spread of densities that eleven layers have rounded; one layer's inputs in a wrong order give more
# than twice of what is allowed. The rest is in single precision; where it decides a ReLU, a sample's gradients differ.
CHECKS: dict[str, tuple[Callable[[torch.device], float], float]] = {
    "picture": (check_picture, 5e-3),
    "triplane": (check_triplane, 1e-3),
    "mlp_values": (check_mlp_values, 1e-3),
    "mlp_half": (check_mlp_half, 3e-2),
    "march": (check_march, 1e-3),
    "composite": (check_composite, 1e-4),
}
