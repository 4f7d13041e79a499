"""Measures what limits a trained head on held-out frames: face PSNR in dB per case, and two trivial baselines.

    python examples/benchmarks/heldout.py RUN CLIP [--all RUN_ALL] [--json]

PSNR covers the convex hull of the landmarks. RUN_ALL is a second run, trained with ``--expression all``: the paper's
variant (b). The case with poses optimised on the held-out pixels is a diagnosis of the tracking, not a result. In two
cases the lips of the speech hold another mouth, a smile or a frown: told by the expression vectors, or lent from the
held-out frames' own mouths, as an expression source lends it.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from jean.checkpoint import load_checkpoint
from jean.drivers.method import Method
from jean.drivers.offsets import fit_offsets, predict_offsets
from jean.drivers.person_frames import PersonFrames, open_clips
from jean.drivers.slow import held_offsets, parted_mouth
from jean.drivers.tracks import DriverTracks
from jean.metrics.crops import hull_mask
from jean.models.frame import render_pixels
from jean.models.pose import correct_poses
from jean.models.talking_head import Frames, TalkingHead
from jean.rendering.lips import held_lips
from jean.rendering.load import load_model
from jean.train.nerf.latents import POSE_VALUES, FrameLatents

POSE_STEPS = 60  # of the pose optimisation
POSE_RAYS = 1500  # per step
POSE_RATE = 4e-3  # learning rate


class Case:
    """A trained head and the clip it is compared with."""

    def __init__(self, run: Path, clip: Path):
        checkpoint = load_checkpoint(run, stage="nerf")
        self.model: TalkingHead = load_model(checkpoint, "cpu")
        clips = open_clips([clip])
        self.data = PersonFrames(clips, Method.of_run(checkpoint), bool(self.model.eye_width))
        self.tracks = DriverTracks.of_person(self.data)
        weights = checkpoint.module_state("latents")["weight"]
        self.latents = FrameLatents(len(weights), weights.shape[1] - POSE_VALUES)
        self.latents.load_state_dict({"weight": weights})
        self.mean_offsets = self.data.measured_offsets[self.data.train].mean(0, dtype=np.float64)
        self.steps, self.hash = checkpoint.step, checkpoint.content_hash

    @torch.no_grad()
    def frames(self, index: int, own_code: bool = False) -> Frames:
        """The drivers of one frame; with its latent code and pose correction for training frames."""
        frames = self.tracks.frames(index)
        if own_code and self.model.latent_width:
            frames = self.latents.apply_to(frames, torch.tensor([index]), torch.ones(1))
        return frames

    @torch.no_grad()
    def held_mouths(self) -> dict[str, torch.Tensor]:
        """Lip coordinates of the speech in all frames [T, W] that hold another mouth, by where that comes from."""
        data, fps = self.data, self.data.clips[0].fps
        own = data.measured_offsets[data.train]
        told = predict_offsets(fit_offsets(data.expression[data.train], own), data.expression)
        shape = data.shape[:, :2] + self.mean_offsets
        windows = [self.frames(index).audio for index in range(len(data.expression))]
        lips = torch.cat([self.model.audio_embedding(window) for window in windows if window is not None])
        mouths, replaced = {}, parted_mouth(lips.numpy(), fps)[1]
        for name, offsets in {"told": told, "lent": data.measured_offsets}.items():
            held = held_offsets(offsets - self.mean_offsets, shape, fps)
            change = held_lips(self.model, own, data.shape, held, replaced)
            mouths[name] = lips + torch.from_numpy(change).float()
        return mouths

    def with_lips(self, index: int, lips: torch.Tensor) -> Frames:
        """The drivers of one frame with its lip coordinates of all frames [T, W]."""
        return replace(self.frames(index), audio=None, lips=lips[[index]])

    def pixels(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, torch.Tensor]:
        """Rows and columns [N] of the face hull, its real colours [N, 3] and its background [N, 3], in [0, 1]."""
        rows, columns = np.nonzero(hull_mask(self.data.landmarks[index], self.data.size_px, self.data.size_px))
        plate = torch.from_numpy(self.data.plate(index)[rows, columns].astype(np.float32) / 255)
        return rows, columns, self.data.image(index)[rows, columns] / 255.0, plate

    def psnr(self, index: int, frames: Frames) -> float:
        """PSNR of the rendered face hull against the real one, dB."""
        rows, columns, real, plate = self.pixels(index)
        where = torch.from_numpy(np.stack([columns, rows], 1).astype(np.float32) + 0.5)
        return decibels(render_pixels(self.model, frames, where, plate, self.data.size_px)[0].numpy(), real)

    def with_best_pose(self, index: int) -> float:
        """PSNR after optimising the pose on the held-out pixels, dB (diagnosis only)."""
        rows, columns, real, plate = self.pixels(index)
        frames, random = self.frames(index), np.random.default_rng(index)
        condition = self.model.condition(frames).detach()
        target = torch.from_numpy(real).float()
        move = torch.zeros(1, 6, requires_grad=True)
        optimiser = torch.optim.Adam([move], lr=POSE_RATE)

        def moved() -> Frames:
            pose = correct_poses(frames.camera_to_world, move[:, :3], move[:, 3:] * 20)
            return replace(frames, camera_to_world=pose)

        for _ in range(POSE_STEPS):
            some = random.integers(0, len(rows), POSE_RAYS)
            where = torch.from_numpy(np.stack([columns[some], rows[some]], 1).astype(np.float32) + 0.5)
            frame = torch.zeros(len(some), dtype=torch.long)
            traced = self.model.trace(moved(), where, frame, self.data.size_px, condition=condition)
            loss = (traced.over(plate[some]) - target[some]).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        return self.psnr(index, moved())


def decibels(image: np.ndarray, real: np.ndarray) -> float:
    """PSNR of two arrays in [0, 1], dB."""
    return float(-10 * np.log10(max(np.square(image - real).mean(), 1e-10)))


def baselines(data: PersonFrames) -> tuple[float, float]:
    """Mean held-out PSNR of two baselines: the mean training frame, and the one with the nearest landmarks."""
    mean = np.mean([data.image(t).astype(np.float64) for t in data.train], axis=0) / 255
    marks = data.landmarks[data.train].reshape(len(data.train), -1)
    of_mean, of_nearest = [], []
    for index in data.held_out:
        face = hull_mask(data.landmarks[index], data.size_px, data.size_px)
        real = data.image(index)[face] / 255.0
        nearest = data.train[int(np.linalg.norm(marks - data.landmarks[index].ravel(), axis=1).argmin())]
        of_mean.append(decibels(mean[face], real))
        of_nearest.append(decibels(data.image(nearest)[face] / 255.0, real))
    return float(np.mean(of_mean)), float(np.mean(of_nearest))


def main() -> None:
    """Prints all cases, or one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--all", type=Path, help="a run trained with --expression all")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    case = Case(options.run, options.clip)
    data = case.data
    train = data.train[np.linspace(0, len(data.train) - 1, 20).round().astype(int)]
    mean, nearest = baselines(data)
    result = {
        "train_own_code": float(np.mean([case.psnr(t, case.frames(t, own_code=True)) for t in train])),
        "train_no_code": float(np.mean([case.psnr(t, case.frames(t)) for t in train])),
        "heldout": float(np.mean([case.psnr(t, case.frames(t)) for t in data.held_out])),
        **{
            f"heldout_mouth_{name}": float(np.mean([case.psnr(t, case.with_lips(t, lips)) for t in data.held_out]))
            for name, lips in case.held_mouths().items()
        },
        "heldout_pose_on_pixels": float(np.mean([case.with_best_pose(t) for t in data.held_out])),
        "baseline_mean_frame": mean,
        "baseline_nearest_frame": nearest,
    }
    if options.all:
        other = Case(options.all, options.clip)
        result["heldout_all_blendshapes"] = float(np.mean([other.psnr(t, other.frames(t)) for t in data.held_out]))
    result = {name: round(value, 2) for name, value in result.items()}
    if options.json:
        print(json.dumps(result | {"steps": case.steps, "checkpoint": case.hash}))
    else:
        print("\n".join(f"{name:26} {value:6.2f} dB" for name, value in result.items()))


if __name__ == "__main__":
    main()
