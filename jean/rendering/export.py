"""``jean export``: the Gaussians of a trained head as a PLY file, as 3DGS viewers read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from jean.checkpoint import load_checkpoint
from jean.drivers.method import Method
from jean.drivers.person import Person, read_person
from jean.errors import UsageError
from jean.files import atomic_path
from jean.models.head.base import PosedGaussians
from jean.models.talking_head import Frames, TalkingHead
from jean.outputs import claim
from jean.progress import Progress
from jean.rendering.export_config import ExportConfig
from jean.rendering.load import load_model

# The format of 3DGS (Kerbl et al. 2023): colour as the constant spherical harmonic, opacity as a logit, scales as
# logarithms, quaternions with w first. Readers expect the normals, which nobody uses.
PROPERTIES = (
    *("x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity"),
    *("scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"),
)
SH_CONSTANT = 0.28209479177387814  # 1 / (2 √π)
LARGEST_LOGIT = 15.0  # opacities of 0 and 1 have no finite logit


def export(run: Path, config: ExportConfig, output: Path, progress: Progress) -> dict[str, Any]:
    """Writes a head's Gaussians in head space: cm, x to the head's left, y down, z to the back of the head.

    Args:
        run: run folder of ``train_nerf`` with a head that consists of Gaussians.
        config: which frame.
        output: the PLY file.
        progress: receives messages and warnings.

    Returns:
        ``output``, ``gaussians`` (their number), and ``frame``.

    Raises:
        UsageError: another kind of head, an output that is not called .ply, or a frame that the clip does not have.
        ArtefactError: a damaged run.
    """
    if output.suffix.lower() != ".ply":
        raise UsageError(f"{output} is not a PLY file.", "Name the output HEAD.ply.")
    checkpoint, person = load_checkpoint(run, stage="nerf", warn=progress.warn), read_person(run)
    claim([run], files=[output])
    model = load_model(checkpoint, config.device)
    frames = _frame(model, person, Method.of_run(checkpoint), config.frame)
    gaussians = model.posed_gaussians(frames, at_rest=config.frame is None)
    if gaussians is None:
        raise UsageError(f"the head of {run} does not consist of Gaussians.", "Train one with --preset gaussian.")
    write_ply(output, gaussians)
    count = len(gaussians.centres)
    progress.say(f"{count} Gaussians.")
    return {"output": str(output), "gaussians": count, "frame": config.frame}


def write_ply(path: Path, gaussians: PosedGaussians) -> None:
    """Writes Gaussians as binary PLY in the format of 3DGS."""
    table = np.concatenate([values.cpu().numpy() for values in ply_columns(gaussians)], 1).astype("<f4")
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {len(table)}"]
    lines += [f"property float {name}" for name in PROPERTIES]
    with atomic_path(path) as temporary:
        temporary.write_bytes("\n".join([*lines, "end_header", ""]).encode("ascii") + table.tobytes())


def ply_columns(gaussians: PosedGaussians) -> list[Tensor]:
    """The columns [N, ·] of ``PROPERTIES``."""
    opacity = torch.logit(gaussians.opacities.double()).clamp(-LARGEST_LOGIT, LARGEST_LOGIT)
    return [
        gaussians.centres,
        torch.zeros_like(gaussians.centres),
        (gaussians.colours - 0.5) / SH_CONSTANT,
        opacity[:, None],
        gaussians.scales.log(),
        torch.nn.functional.normalize(gaussians.rotations, dim=-1),
    ]


def _frame(model: TalkingHead, person: Person, method: Method, index: int | None) -> Frames:
    """The drivers of one frame of the training clip; for None a still frame's pose, and the mean face.

    Raises:
        UsageError: the clip has no such frame.
    """
    count = len(person.camera_to_world)
    if index is not None and index >= count:
        raise UsageError(f"the training clip has {count} frames.", f"Give --frame 0 to {count - 1}.")
    row = person.still_index() if index is None else index
    device, offsets = model.device, torch.from_numpy(person.offsets[row : row + 1]).float().to(model.device)
    lips = torch.zeros(1, model.audio_width, device=device)
    if index is not None and method.audio_drives_mouth:
        lips = model.head.lip_coordinates(offsets).float()
    expression = model.expression_mean[None]
    if index is not None:
        expression = torch.from_numpy(person.expression[row : row + 1]).float().to(device)
    return Frames(
        camera_to_world=torch.from_numpy(person.camera_to_world[row : row + 1]).float().to(device),
        focal_px=torch.tensor([person.camera.focal_px], device=device),
        center_px=torch.tensor([person.camera.center_px], device=device),
        audio=None,
        expression=expression,
        offsets=offsets,
        lips=lips,
    )
