"""Small trainings for tests of several ranks. Run as a program, it is one rank; torchrun's variables say which."""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock

STEPS = 50


def train(name: str, data: Path, output: Path, steps: int = STEPS) -> dict:
    """Trains one stage on ``data``, which ``make_data`` wrote, without random numbers that belong to one rank alone."""
    from jean.kernels import reference
    from jean.kernels.ops import rays
    from jean.progress import Silent

    clips, silent = [data / "corpus"], Silent()
    if name == "landmarks":
        from jean.train.landmarks.config import LandmarkConfig
        from jean.train.landmarks.stage import train_landmarks

        config = LandmarkConfig(preset="small", steps=steps, batch=32, device="cpu")
        return train_landmarks(clips, output, config, silent)
    if name == "audio":
        from jean.train.audio.config import AudioConfig
        from jean.train.audio.stage import train_audio

        return train_audio(clips, data / "landmarks", output, AudioConfig(steps=steps, batch=32, device="cpu"), silent)
    if name == "expression":
        from jean.train.expression.config import ExpressionConfig
        from jean.train.expression.stage import train_expression

        small = {"width": 8, "hidden": 16, "heads": 4, "layers": 1, "feedforward": 16, "dropout": 0.0}
        config = ExpressionConfig(**small, steps=steps, batch=16, person="p0", device="cpu")
        return train_expression(clips, output, config, silent)
    if name == "motion":
        from jean.train.motion.config import MotionConfig
        from jean.train.motion.stage import train_motion

        small = {"critic_steps": 3, "batch": 4, "hidden": 16, "layers": 1}
        return train_motion([data / "motion"], output, MotionConfig(**small, steps=steps, device="cpu"), silent)
    if name == "lips":
        from jean.train.lips.config import LipsConfig
        from jean.train.lips.train import train_lips

        config = LipsConfig(steps=steps, batch=4, validation=("none",), device="cpu")
        return train_lips([data / "clip"], output, config, silent)
    from jean.train.nerf.config import NerfConfig
    from jean.train.nerf.train import train_nerf

    sizes = {"rays": 128, "frames_per_step": 4}
    config = NerfConfig(preset=name, steps=steps, dropout=0.0, background="plate", eyes=False, device="cpu", **sizes)
    middles = reference.quantile_grid  # instead of jitter, which is each rank's own

    def without_jitter(count, samples, generator, device):
        return middles(count, samples, None, device)

    with ExitStack() as patches:
        for module in (reference, rays):
            patches.enter_context(mock.patch.object(module, "quantile_grid", without_jitter))
        return train_nerf([data / "clip"], output, config, silent)


@contextmanager
def equal_ranks():
    """Context that checks before every save that all ranks have the same weights."""
    from jean.train.engine import loop, ranks

    save = loop._Run._save_if_due

    def check(self) -> None:
        if self._save_due():
            weights = [
                float(p.detach().double().sum()) for module in self.stage.modules.values() for p in module.parameters()
            ]
            assert weights == ranks.from_first(weights)
        save(self)

    with mock.patch.object(loop._Run, "_save_if_due", check):
        yield


def make_data(folder: Path) -> Path:
    """Writes the clips that the trainings read."""
    from tests.helpers.tiny_clip import make_clip, move_lips
    from tests.helpers.tiny_corpus import make_corpus
    from tests.helpers.tiny_motion import write_motion_clips

    make_corpus(folder / "corpus")
    move_lips(make_clip(folder / "clip", frames=40, size=32))
    write_motion_clips(folder / "motion")
    train("landmarks", folder, folder / "landmarks", steps=2)
    return folder


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    data, output, *names = sys.argv[1:]
    for each in names:
        name, _, steps = each.partition(":")
        with equal_ranks():
            train(name, Path(data), Path(output) / name, int(steps or STEPS))
