"""The Gaussian head: motion, regions, pictures, the start, and training from command to export."""

from __future__ import annotations

import math

import pytest
import torch

from jean.kernels.backend import REFERENCE
from jean.landmarks import LEFT_EYE, RIGHT_EYE
from jean.models.head.base import CameraPixels, HeadArguments
from jean.models.head.deformation import CELLS
from jean.models.head.density_control import _rotated
from jean.models.head.gaussian import EYE_DEPTH_WEIGHT, EYE_SLACK_CM, GaussianHead, PixelWindow
from jean.models.head.gaussian_start import hull_surface, start
from jean.models.head.gaussians import FADE_CM, LIMITS, OFFSETS, Gaussians, Region
from jean.models.head.prior import HEAD_CENTRE, HEAD_RADII

BOX = ((-14.0, -18.0, -10.0), (14.0, 15.0, 12.0))
WIDTHS = (2, 3, 4)


def face():
    """68 landmarks on a ball's front; the mouth around (0, 4, -5), eyes and brows around (0, -3, -5)."""
    ring = torch.linspace(0, 2 * math.pi, 69)[:-1]
    points = torch.stack([7 * ring.sin(), 9 * ring.cos(), torch.full((68,), -3.0)], -1)
    points[48:] = torch.stack([2 * ring[:20].mul(3.4).sin(), 4 + ring[:20].mul(3.4).cos(), torch.full((20,), -5.0)], -1)
    for own in (slice(17, 27), slice(36, 48)):
        points[own] = torch.stack(
            [5 * points[own, 0] / 7, -3 + points[own, 1] / 9, torch.full_like(points[own, 0], -5)], -1
        )
    return points


def made(size=32, seed=0):
    torch.manual_seed(seed)
    head = GaussianHead(HeadArguments(WIDTHS, BOX, face().tolist(), size_px=size))
    head.prepare_training(torch.device("cpu"), lambda centres: centres[..., :2].norm(dim=-1) < 9, torch.zeros_like)
    return head


def camera(side=20, pixels=None):
    """A camera 45 cm before the head, which looks at its centre; the face fills most of the picture."""
    y, x = torch.meshgrid(torch.arange(side) + 0.5, torch.arange(side) + 0.5, indexing="ij")
    grid = torch.stack([x, y], -1).view(-1, 2) if pixels is None else pixels
    pose = torch.eye(4)
    pose[2, 3] = -45.0
    focal, centre = torch.tensor([side * 2.0]), torch.tensor([[side / 2, side / 2]])
    return CameraPixels(grid, torch.zeros(len(grid), dtype=torch.long), pose[None], focal, centre)


def inputs(frames=1):
    return torch.zeros(frames, sum(WIDTHS)), torch.zeros(frames, 3)


def test_the_budget_grows_with_the_picture():
    assert len(made(256).gaussians.centre) == 20_000
    large = GaussianHead(HeadArguments(WIDTHS, BOX, face().tolist(), size_px=512))
    assert len(large.gaussians.centre) == 60_000


def test_gaussians_begin_on_the_face_in_the_hull_and_behind_the_lips():
    shape = face()
    surface, behind = hull_surface(shape, BOX, lambda c: c[..., :2].norm(dim=-1) < 9)
    began = start(2000, shape, surface, behind, torch.Generator().manual_seed(0))
    assert 1600 < len(began.centres) < 2400 and 0.02 < began.interior.float().mean() < 0.06
    assert (began.centres[:, :2].norm(dim=1) < 10.5).all()
    skin = began.centres[:1000]
    assert torch.allclose(skin[:, 2], surface.depth(skin[:, :2])[0])
    inside = began.centres[began.interior]
    assert (inside[:, 2] > shape[48:, 2].max() + 0.5).all() and (inside[:, :2] - torch.tensor([0, 4])).abs().max() < 3


def test_long_hair_behind_the_neck_has_gaussians_from_the_start():
    def hull(c):
        return (c[..., :2].norm(dim=-1) < 9) | ((c[..., 0] > 2) & (c[..., 0] < 9) & (c[..., 1] < 13) & (c[..., 2] > 6))

    surface, behind = hull_surface(face(), BOX, hull)
    began = start(3000, face(), surface, behind, torch.Generator().manual_seed(0))
    skin = began.centres[: -180 - 120]  # without the sides and the mouth's inside
    hair = skin[skin[:, 1] > 10]
    assert len(hair) > 30 and (hair[:, 2] > 5).all() and (hair[:, 0] > 2).all()


def test_without_a_visual_hull_gaussians_begin_on_a_mean_head():
    surface, behind = hull_surface(face(), BOX, lambda c: torch.zeros(c.shape[:-1], dtype=torch.bool))
    began = start(2000, face(), surface, behind, torch.Generator().manual_seed(0))
    assert 1500 < len(began.centres) < 2500 and began.centres.isfinite().all() and (began.spacing > 0).all()


def test_the_surface_passes_through_the_landmarks():
    shape = face()
    surface, _ = hull_surface(shape, BOX, lambda c: c[..., :2].norm(dim=-1) < 12)
    depth, share = surface.depth(shape[48:, :2])
    assert (depth - shape[48:, 2]).abs().max() < 0.5 and (share == 0).all()


def with_eyes():
    """The face with eye corners 2.8 cm apart at a depth of -5 cm, the middles at (-3, -3) and (3, -3)."""
    shape = face()
    for eye, x in ((RIGHT_EYE, -3.0), (LEFT_EYE, 3.0)):
        across = torch.tensor([-1.4, -0.5, 0.5, 1.4, 0.5, -0.5])
        up = torch.tensor([0.0, -0.4, -0.4, 0.0, 0.4, 0.4])
        shape[eye] = torch.stack([x + across, -3 + up, torch.full_like(up, -5.0)], -1)
    return shape


def test_the_surface_of_an_eye_is_its_ball_between_its_corners():
    shape = with_eyes()
    shape[42, 2] = -4.6  # one corner of the left eye lies deeper
    surface, _ = hull_surface(shape, BOX, lambda c: c[..., :2].norm(dim=-1) < 12)
    # an iris at rest is 0.4 cm before the middle of its corners, on a ball with a radius of 1.05 cm
    at = torch.tensor([[-3.0, -3.0], [3.0, -3.0], [-2.5, -3.0], [-1.6, -3.0], [1.6, -3.0], [4.4, -3.0]])
    wanted = torch.tensor([-5.4, -5.2, -4.35 - (1.05**2 - 0.25) ** 0.5, -5.0, -4.6, -5.0])
    assert torch.allclose(surface.depth(at)[0], wanted, atol=1e-5) and surface.in_eyes(at).all()
    beside = torch.tensor([[1.2, -3.0], [0.0, -3.0], [3.0, -2.4]])
    assert not surface.in_eyes(beside).any() and (surface.depth(beside)[0] > -5.2).all()


def test_eyes_are_held_at_their_depth_and_cheeks_have_room():
    head = GaussianHead(HeadArguments(WIDTHS, BOX, with_eyes().tolist(), size_px=32))
    head.prepare_training(torch.device("cpu"), lambda c: c[..., :2].norm(dim=-1) < 9, torch.zeros_like)
    at = torch.tensor([[3.0, -3.0], [-3.0, 1.0]])  # an eye, a cheek
    with torch.no_grad():
        head.gaussians.interior.zero_()
        head.gaussians.count.fill_(2)
        head.gaussians.centre[:2] = torch.cat([at, head.surface.depth(at)[0][:, None] + 0.3], 1)
    head.regularisers()["depth"].backward()
    eye, cheek = head.gaussians.centre.grad[:2, 2].tolist()
    assert eye == pytest.approx(EYE_DEPTH_WEIGHT * (0.3 - EYE_SLACK_CM), rel=1e-4) and cheek == 0


def test_beside_the_face_the_surface_is_a_dome_that_joins_the_sides():
    """A head with wide hair: 11 cm to both sides at every height from -15 to 12 cm."""
    surface, behind = hull_surface(face(), BOX, lambda c: (c[..., 0].abs() < 12) & (c[..., 1] > -16) & (c[..., 1] < 13))
    x = torch.linspace(7, 11.4, 23)
    depth, share = surface.depth(torch.stack([x, torch.full_like(x, -1.5)], -1))
    assert share[0] == 0 and share[-1] == 1 and (depth.diff() > -1e-5).all()  # further back towards the outline
    assert depth[-1] > HEAD_CENTRE[2] - 2 and (depth <= HEAD_CENTRE[2]).all()
    assert surface.depth(torch.tensor([[0.0, -14.5]]))[0] > surface.depth(torch.tensor([[0.0, -8.0]]))[0] + 3  # crown
    # the sides lie on the ellipses of their slices, from beside the face to a little behind the widest place
    began = start(3000, face(), surface, behind, torch.Generator().manual_seed(1))
    side = began.centres[began.spacing[:, 0] > began.spacing[:, 0].min() + 1e-6]
    middle, half, roundness = surface.slice(side[:, 1])
    across, deep = (side[:, 0] - middle) / half, (side[:, 2] - HEAD_CENTRE[2]) / (HEAD_RADII[2] * roundness)
    assert torch.allclose(across.square() + deep.square(), torch.ones(len(side)), atol=1e-4)
    assert -0.26 < deep.min() < -0.2 and 0 < deep.max() < 0.04 and len(side) == 180


def test_a_regions_influence_fades_at_its_border():
    region = Region((-2.0, 1.0), (2.0, 5.0))
    at = torch.tensor([[0.0, 3, -5], [2 - FADE_CM / 2, 3, -5], [2.1, 3, -5], [0, 3, 9]])
    assert region.weight(at).tolist() == pytest.approx([1, 0.5, 0, 0], abs=1e-6)


def test_the_condition_moves_the_regions_alone():
    head = made()
    g, count = head.gaussians, int(head.gaussians.count)
    condition = torch.randn(sum(WIDTHS), generator=torch.Generator().manual_seed(1))

    def offsets(condition):
        with torch.enable_grad():
            layout = g.layout()
        full = torch.zeros(count, sum(OFFSETS.values()))
        return full.index_copy(0, layout.moving, g.change(layout, condition))

    change = offsets(condition).abs().sum(1)
    weight = sum(region.weight(g.centre[:count]) for region in g.regions) + g.interior[:count]
    assert (change[weight == 0] == 0).all() and (change[weight > 0] > 0).all() and (weight == 0).sum() > 20
    # speech does not reach eyes and brows
    speech = condition.clone()
    speech[: WIDTHS[0]] += 5
    again, first = offsets(speech), offsets(condition)
    eyes = (g.regions[0].weight(g.centre[:count]) > 0) & (g.regions[1].weight(g.centre[:count]) == 0)
    eyes &= g.interior[:count] == 0
    assert eyes.any() and torch.equal(again[eyes], first[eyes])


def test_the_eyes_own_inputs_reach_the_eyes_alone():
    torch.manual_seed(0)
    head = GaussianHead(HeadArguments(WIDTHS, BOX, face().tolist(), size_px=32, eye_width=4))
    head.prepare_training(torch.device("cpu"), lambda centres: centres[..., :2].norm(dim=-1) < 9, torch.zeros_like)
    g, layout = head.gaussians, head.gaussians.layout()
    condition = torch.zeros(sum(WIDTHS) + 4)
    gazing = condition.clone()
    gazing[5:9] = 2.0  # after speech (2) and expression (3)
    difference = (g.change(layout, gazing) - g.change(layout, condition)).abs().sum(1)
    eyes = layout.weights[:, 0] > 0
    assert (difference[eyes] > 0).all() and (difference[~eyes] == 0).all() and eyes.any() and (~eyes).any()


def test_offsets_are_bounded():
    head = made()
    g, layout = head.gaussians, head.gaussians.layout()
    change = g.change(layout, torch.full((sum(WIDTHS),), 1e6)).abs()
    bounds = torch.tensor([LIMITS[name] for name, count in OFFSETS.items() for _ in range(count)])
    assert (change <= bounds).all() and torch.allclose(change.amax(0), bounds, rtol=1e-3)


def test_landmarks_move_the_skin_and_not_the_mouths_inside():
    head = made()
    g, count = head.gaussians, int(head.gaussians.count)
    deformation = torch.zeros(CELLS**2, 2)
    deformation[:] = torch.tensor([-0.5, 0.25])  # towards canonical space
    moved = g.pose(*(value[0] for value in inputs()), deformation).centres
    still = g.pose(*(value[0] for value in inputs()), None).centres
    skin = g.interior[:count] == 0
    wanted = torch.tensor([0.5, -0.25, 0.0]).expand(int(skin.sum()), 3)
    assert torch.allclose((moved - still)[skin], wanted, atol=1e-5)
    assert torch.equal(moved[~skin], still[~skin]) and (~skin).any()


def test_rigid_parts_do_not_move():
    head = made()
    offsets, lips = torch.ones(1, 68, 2), torch.zeros(1, WIDTHS[0])
    assert head.deformation(offsets, lips).abs().max() > 0.5
    head.hold_rigid_parts(lambda positions: torch.ones(len(positions)))
    assert head.deformation(offsets, lips).abs().max() == 0


def test_light_is_linear_in_the_slants():
    g = Gaussians(4, sum(WIDTHS), 3, WIDTHS[2], BOX, [Region((0.0, 0.0), (1.0, 1.0))])
    torch.nn.init.normal_(g.light, generator=torch.Generator().manual_seed(0))
    view, condition = torch.tensor([1.0, -2.0, 0.5]), torch.zeros(sum(WIDTHS))
    one, two = g.frame_waves(view, condition), g.frame_waves(2 * view, condition)
    assert torch.allclose(two, 2 * one) and one[:, 3:].abs().sum() == 0 < one.abs().sum()
    wave = g.waves(torch.tensor([[0.0, -1.5, 0.0]]))[0].view(6, 6)  # the middle of the box: cos(π k / 2)
    assert wave[0].tolist() == pytest.approx([1, 0, -1, 0, 1, 0], abs=1e-5)


def test_pixels_are_those_of_the_whole_picture():
    head = made().eval()
    condition, view = inputs()
    whole = head.draw(camera(), condition, view, None)[0]
    some = torch.tensor([[7.5, 3.5], [2.5, 12.5], [13.5, 9.5]])
    part = head.draw(camera(pixels=some), condition, view, None)[0]
    rows = (some[:, 1].long() * 20 + some[:, 0].long()).tolist()
    for name in ("channels", "opacity", "depth"):
        assert torch.allclose(getattr(part, name), getattr(whole, name)[rows], atol=1e-6), name
    assert whole.opacity.max() > 0.5 and whole.opacity[0] == 0


def test_pixels_of_several_frames_keep_their_order():
    head = made().eval()
    one = camera()
    condition, view = inputs(2)
    condition[1, :2] = 3.0
    with torch.no_grad():
        head.gaussians.offsets.mul_(20)
    both = CameraPixels(
        one.pixels.repeat_interleave(2, 0),
        torch.arange(2).repeat(400),
        one.camera_to_world.expand(2, 4, 4),
        one.focal_px.expand(2),
        one.center_px.expand(2, 2),
    )
    mixed = head.draw(both, condition, view, None)[0]
    for frame in range(2):
        alone = head.draw(one, condition[frame : frame + 1], view[:1], None)[0]
        assert torch.allclose(mixed.channels[frame::2], alone.channels, atol=1e-6)
    assert not torch.allclose(mixed.channels[0::2], mixed.channels[1::2], atol=1e-3)


def test_depth_is_the_distance_along_the_ray():
    head = made().eval()
    with torch.no_grad():  # a wall at z = 0: 45 cm away in the middle, farther in the corners
        head.gaussians.centre[:, 2] = 0
        head.gaussians.opacity.fill_(8)
        head.gaussians.log_scale.fill_(0.0)
    drawn = head.draw(camera(), *inputs(), None)[0]
    depth = (drawn.depth / drawn.opacity).view(20, 20)
    assert depth[10, 10].item() == pytest.approx(45, abs=0.1)
    assert depth[2, 10].item() == pytest.approx(45 * math.hypot(1, 7.5 / 40), abs=0.3)


def test_kernels_and_torch_draw_the_same():
    head = made().eval()
    condition, view = inputs()
    native = head.draw(camera(), condition, view, None)[0]
    head.use(REFERENCE)
    torch_only = head.draw(camera(), condition, view, None)[0]
    assert torch.allclose(native.channels, torch_only.channels, atol=1e-4)
    assert torch.allclose(native.opacity, torch_only.opacity, atol=1e-4)


def test_gradients_reach_every_parameter_and_the_pose():
    head = made()
    condition, view = torch.randn(1, sum(WIDTHS)), torch.ones(1, 3)
    view_of = camera()
    pose = view_of.camera_to_world.clone().requires_grad_()
    moved = CameraPixels(view_of.pixels, view_of.frame, pose, view_of.focal_px, view_of.center_px)
    drawn = head.draw(moved, condition, view, torch.Generator())[0]
    (drawn.channels.square().sum() + drawn.opacity.square().sum()).backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
    assert pose.grad[0, :3].abs().sum() > 0
    head.after_step(0, 1000, torch.Generator())
    count = int(head.gaussians.count)
    assert head.gradient_sum[:count].sum() > 0 and head.seen[:count].max() == 1 and head.seen[count:].sum() == 0


def test_the_layout_follows_changed_positions():
    head = made()
    with torch.no_grad():
        first = head.gaussians.layout()
        assert head.gaussians.layout() is first
        head.gaussians.centre[:, 0] += 0.5
        assert not torch.equal(head.gaussians.layout().waves, first.waves)
    held = head.gaussians.layout()  # with gradients, positions change in every step, and the layout is held
    assert torch.equal(held.waves, first.waves)
    with torch.no_grad():
        head.gaussians.centre[:, 0] += 0.5
    assert head.gaussians.layout() is held
    head.gaussians.hold_layout()
    count = len(first.waves)
    assert torch.equal(head.gaussians.layout().waves, head.gaussians.waves(head.gaussians.centre[:count]))


def test_the_extent_in_depth_is_that_of_the_covariance():
    head = made()
    g, generator = head.gaussians, torch.Generator().manual_seed(4)
    with torch.no_grad():
        g.rotation.copy_(torch.randn(g.rotation.shape, generator=generator))
        g.log_scale.copy_(torch.randn(g.log_scale.shape, generator=generator))
        extent, count = g.extent_in_depth(), int(g.count)
        # the third column of the matrix that turns vectors, by the rotation that density control uses
        axes = [_rotated(g.rotation[:count], torch.eye(3)[k].expand(count, 3))[:, 2] for k in range(3)]
        variance = (torch.stack(axes, 1) * torch.exp(g.log_scale[:count])).square().sum(1)
    assert torch.allclose(extent, variance.sqrt(), rtol=1e-4)


def test_pixels_are_found_in_their_rectangle():
    grid = torch.tensor([[x + 0.5, y + 0.5] for y in (3, 4, 5) for x in (7, 8)])
    whole = PixelWindow.of(grid)
    assert (whole.left, whole.top, whole.width, whole.height, whole.rows) == (7, 3, 2, 3, None)
    turned = PixelWindow.of(grid.flip(0))
    assert turned.rows is not None and turned.rows.tolist() == [5, 4, 3, 2, 1, 0]
    corners = PixelWindow.of(grid[[0, 5]])
    assert corners.rows is not None and corners.rows.tolist() == [0, 5]
    center, focal = torch.tensor([6.0, 2.0]), torch.tensor(4.0)
    expected = torch.tensor([math.hypot(1.0, (x - 6) / 4, (y - 2) / 4) for x, y in grid.tolist()])
    assert torch.allclose(whole.lengthening(grid, center, focal), expected)
    assert torch.allclose(turned.lengthening(grid.flip(0), center, focal), expected.flip(0))
