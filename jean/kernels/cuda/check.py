"""Compares GPU kernels with torch on the GPU at hand, before ``auto`` uses them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from jean.errors import JeanError
from jean.kernels import reference, reference_splat
from jean.kernels.arguments import RenderCall
from jean.kernels.cuda.example import (
    COARSE,
    example,
    example_gaussians,
    example_mlp,
    example_triplane,
    readable_mlp,
    readable_picture,
    readable_triplane,
)
from jean.kernels.cuda.launch import launch_render
from jean.kernels.cuda.mlp import launch_mlp, launch_mlp_backward
from jean.kernels.ops import rays as ray_ops
from jean.kernels.ops.mlp import MlpCall
from jean.kernels.ops.splat import splat
from jean.kernels.ops.triplane import triplane_field
from jean.kernels.reference_splat import SeenGaussians, Splat

SAMPLES, FULL_SAMPLES_OPACITY = 10, 0.6  # rays of a lower opacity get fewer samples


@dataclass(frozen=True)
class Verdict:
    """Result of one check of GPU kernels.

    Attributes:
        passed: whether the kernels agree with torch.
        line: the result as one line of text.
        error: measured by the check in ``CHECKS``; None if the kernels did not run.
    """

    passed: bool
    line: str
    error: float | None = None


@lru_cache
def verdict(operation: str, device: torch.device) -> Verdict:
    """Computes a small random problem with kernels and with torch, and compares; warns if they differ.

    Args:
        operation: a name in ``CHECKS`` or ``PARTS``.
        device: the GPU.
    """
    if operation in PARTS:
        parts = [verdict(part, device) for part in PARTS[operation]]
        return Verdict(all(part.passed for part in parts), "; ".join(part.line for part in parts))
    name = torch.cuda.get_device_name(device)
    check, limit = CHECKS[operation]
    try:
        error = check(device)
    except (JeanError, RuntimeError) as problem:
        outcome = Verdict(False, f"kernels for {operation} do not run on {name} ({problem}): torch takes their place")
    else:
        against = "error against torch in single precision"
        what = f"kernels for {operation} on {name}: {against} {error:.1e}, at most {limit:.0e}"
        passed = error < limit  # a NaN fails
        outcome = Verdict(passed, what if passed else f"{what} is allowed: torch takes their place", error)
    if not outcome.passed:
        warnings.warn(outcome.line, stacklevel=2)
    return outcome


def check_picture(device: torch.device, launcher: Any = None, rays: int = 600) -> float:
    """Mean error of colours and opacities of rays through a random field, by the fused kernels."""
    field, grid, origins, directions = example(device, rays)
    call = RenderCall(
        field, grid.sampling, grid.low, grid.high, origins, directions, SAMPLES, COARSE, FULL_SAMPLES_OPACITY
    )
    for output in call.outputs:
        output.fill_(torch.nan)
    launch_render(call, launcher)
    expected = readable_picture(field, grid, origins, directions, SAMPLES, FULL_SAMPLES_OPACITY)
    got = call.result()
    return _maximum([_mean_error(got.channels, expected.channels), _mean_error(got.opacity, expected.opacity)])


def check_mlp_values(device: torch.device, launcher: Any = None, samples: int = 2000) -> float:
    """``check_mlp`` in single precision."""
    return check_mlp(device, "single", launcher, samples)


def check_mlp_half(device: torch.device, launcher: Any = None, samples: int = 2000) -> float:
    """``check_mlp`` in half precision. Gradients count by a tenth: both passes round, and where a ReLU changes sides,
    everything before it differs."""
    return check_mlp(device, "half", launcher, samples, 0.1)


def check_mlp(device: torch.device, kind: str, launcher: Any, samples: int, gradient_weight: float = 1.0) -> float:
    """Largest of the mean errors of the paper's field.

    Errors are those of densities relative to their standard deviation, of colours where the density is not zero, and
    of all gradients relative to their mean absolute value, times ``gradient_weight``.
    """
    positions, frame, spec = example_mlp(device, samples)
    with torch.enable_grad():
        leaves = [t.detach().clone().requires_grad_() for t in (positions, *spec.weights, *spec.biases, *spec.ends)]
        layers = len(spec.weights)
        field = replace(spec, weights=leaves[1 : layers + 1], biases=leaves[layers + 1 : -4], ends=leaves[-4:])
        density, rgb = readable_mlp(leaves[0], frame, field)
        to_density = torch.linspace(0.5, 1.5, samples, device=device)  # of one sign, so that sums do not cancel
        to_rgb = (to_density * (density > 0))[:, None].repeat(1, 3)  # empty space has no colour
        expected = torch.autograd.grad([density, rgb], leaves, [0.1 * to_density, to_rgb])
        density, rgb = density.detach(), rgb.detach()
    call = MlpCall(positions, frame, spec, True)
    assert call.rgb is not None
    call.density.fill_(torch.nan)
    call.rgb.fill_(torch.nan)
    launch_mlp(call.field, call.samples, device, kind, launcher=launcher)
    gradients = [torch.full_like(leaf, torch.nan) for leaf in leaves]
    gradients[0].zero_()
    launch_mlp_backward(call.field, call.samples, 0.1 * to_density, to_rgb, gradients[1:], gradients[0], kind, launcher)
    occupied = density > 0
    values = [_mean_error(call.density, density) / float(density.std()), _mean_error(call.rgb[occupied], rgb[occupied])]
    slopes = [_mean_error(got, want) / float(want.abs().mean()) for got, want in zip(gradients, expected, strict=True)]
    return _maximum([*values, *(gradient_weight * slope for slope in slopes)])


def check_triplane(device: torch.device, samples: int = 2000) -> float:
    """Largest of the mean errors of the fast field: of densities relative to their standard deviation, of colours, and
    of all gradients relative to their mean absolute value."""
    results = []
    with torch.enable_grad():
        for function in (triplane_field, readable_triplane):
            arguments = example_triplane(device, samples)
            positions, _, gates, bias, light, planes, _, weights, _, _ = arguments
            leaves = [positions, gates, bias, light, *(plane.table for plane in planes), *weights]
            for leaf in leaves:
                leaf.requires_grad_()
            density, rgb = function(*arguments)
            flow = torch.linspace(0.5, 1.5, samples, device=device)  # of one sign, so that sums do not cancel
            gradients = torch.autograd.grad([density, rgb], leaves, [0.1 * flow, flow[:, None].expand(-1, 3)])
            results.append((density.detach(), rgb.detach(), gradients))
    (got, got_rgb, got_gradients), (density, rgb, gradients) = results
    values = [_mean_error(got, density) / float(density.std()), _mean_error(got_rgb, rgb)]
    relative = [_mean_error(a, b) / float(b.abs().mean()) for a, b in zip(got_gradients, gradients, strict=True)]
    return _maximum([*values, *relative])


def check_march(device: torch.device, rays: int = 600) -> float:
    """98th percentile over rays of the error of sampling intervals, cm. The rest may read another cell at a border."""
    _, grid, origins, directions = example(device, rays)
    box = (grid.sampling, grid.low, grid.high)
    near, far = reference.box_interval(origins, directions, grid.low, grid.high)
    results = []
    for hit, edges in (
        ray_ops.march(*box, origins, directions, SAMPLES, COARSE, None, full_samples_opacity=FULL_SAMPLES_OPACITY),
        reference.march(
            *box, origins, directions, near, far, SAMPLES, COARSE, full_samples_opacity=FULL_SAMPLES_OPACITY
        ),
    ):
        all_edges = edges.new_zeros(rays, SAMPLES + 1)
        all_edges[hit] = edges
        results.append(all_edges)
    return float((results[0] - results[1]).abs().amax(1).quantile(0.98))


def check_composite(device: torch.device, rays: int = 300) -> float:
    """Largest of the mean errors of composites and of all their gradients, relative to their standard deviations."""
    generator = torch.Generator().manual_seed(0)
    shapes = ((rays, 17), (rays, 17, 5), (rays, 17), (rays, 17))
    arguments = [torch.rand(shape, generator=generator).to(device) for shape in shapes]
    results = []
    for function in (ray_ops.composite, reference.composite):
        inputs = [tensor.clone().requires_grad_() for tensor in arguments]
        out = function(*inputs)
        values = [out.channels, out.opacity, out.depth, out.weights]
        gradients = torch.autograd.grad(torch.stack([value.square().sum() for value in values]).sum(), inputs)
        results.append([*(value.detach() for value in values), *gradients])
    return _maximum([_mean_error(got, want) / float(want.std()) for got, want in zip(*results, strict=True)])


def check_splat(device: torch.device, size: int = 48) -> float:
    """Largest of the mean errors of rasterised Gaussians, in pictures and in all gradients, relative to the mean
    absolute value; the larger one of 3 and of 5 colours."""
    errors = []
    for colours in (3, 5):
        gaussians, camera = example_gaussians(device, colours)
        functions: list[Callable[..., Splat]] = [splat, reference_splat.splat]
        results = []
        for function in functions:
            seen = SeenGaussians(*(tensor.clone().requires_grad_() for tensor in (*gaussians, *camera)))
            screen = torch.zeros(len(seen.centres), 2, device=device, requires_grad=True)
            with torch.enable_grad():
                out = function(seen, (2, -3, size, size - 5), screen=screen, compensate=colours == 3)
                loss = out.colour.square().sum() + out.opacity.square().sum() + 1e-4 * out.depth.square().sum()
            gradients = torch.autograd.grad(loss, [*seen, screen])
            values = [out.colour, out.opacity, out.depth, out.radii]
            results.append([*(value.detach() for value in values), *gradients])
        errors += [_mean_error(got, want) / float(want.abs().mean()) for got, want in zip(*results, strict=True)]
    return _maximum(errors)


def _maximum(errors: list[float]) -> float:
    return float(torch.tensor(errors).max())  # NaN if any error is NaN, unlike Python's own max


def _mean_error(got: Tensor, want: Tensor) -> float:
    return float((got - want).abs().mean())


# Operations that need several checks: a field may be trained in either precision.
PARTS = {"mlp": ("mlp_values", "mlp_half")}
# Checks and the errors that they allow. In bf16 the factors of products have 8 bits: mean errors are 10⁻³, and 10⁻² of
# the standard deviation of densities that eleven layers have rounded. One layer with its inputs in a wrong order gives
# more than twice the allowed error. Everything else is single precision; where rounding decides a ReLU, the gradients
# of a sample differ.
CHECKS: dict[str, tuple[Callable[[torch.device], float], float]] = {
    "picture": (check_picture, 5e-3),
    "triplane": (check_triplane, 1e-3),
    "mlp_values": (check_mlp_values, 1e-3),
    "mlp_half": (check_mlp_half, 3e-2),
    "march": (check_march, 1e-3),
    "composite": (check_composite, 1e-4),
    "splat": (check_splat, 1e-3),
}
