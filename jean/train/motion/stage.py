"""Training of the motion model: ``jean train-motion``.

The blinks are fitted at once. The critics learn first, from true motion; then the flow, the lips and the emotion of the
voice are learned together. The running mean of the weights is stored.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from jean.checkpoint import load_checkpoint
from jean.clips.corpus import find_clips, people
from jean.clips.meta import ARRAYS_FILE
from jean.drivers.blinks import BlinkModel
from jean.drivers.face_frames import split_people
from jean.drivers.motion_model import FORMAT, MOTION_FILE, MotionFacts, NetworkSizes, save_motion_model
from jean.drivers.motion_sound import WIDTH as SOUND_WIDTH
from jean.drivers.motion_vector import LIPS, WIDTH, MotionBasis
from jean.drivers.named_expression import NEUTRAL
from jean.environment import pick_device
from jean.models.motion_network import MotionNetwork
from jean.progress import Progress
from jean.train.engine import ranks
from jean.train.engine.epoch_config import VALIDATION_FRACTION, claim_run, fingerprint
from jean.train.engine.epoch_stage import GradientStage, step_generator
from jean.train.engine.loop import run
from jean.train.motion.config import MotionConfig
from jean.train.motion.critics import Critics
from jean.train.motion.data import Batch, MotionClip, Windows, expression_map, fit_blinks, read_corpus
from jean.train.motion.losses import critic_losses, heard, motion_losses

_CRITIC_RATE = 2e-3
_EVALUATED = 64  # windows
HEADS = 4


class MotionStage(GradientStage):
    """The stage of the training loop.

    Args:
        train: windows of the training people.
        validation: windows of people who are not trained on, or the training windows.
        model: the network, with its statistics.
        config: of the stage.
        device: where to train.
    """

    name = "motion"

    def __init__(
        self, train: Windows, validation: Windows, model: MotionNetwork, config: MotionConfig, device: torch.device
    ):
        self.train, self.validation, self.config, self.device = train, validation, config, device
        self.live, self.model = model.to(device), copy.deepcopy(model).to(device)
        modules: dict[str, torch.nn.Module] = {"model": self.model, "live": self.live}
        adam = torch.optim.Adam(self.live.parameters(), lr=config.learning_rate, betas=(0.9, 0.99))
        optimisers: dict[str, torch.optim.Optimizer] = {"adam": adam}
        self.critics: Critics | None = None
        if config.uses_critics:
            torch.manual_seed(config.seed + 1)
            self.critics = Critics(WIDTH, SOUND_WIDTH, len(train.emotions) + 1).to(device)
            modules["critics"] = self.critics
            optimisers["critics"] = torch.optim.Adam(self.critics.parameters(), lr=_CRITIC_RATE)
        self.critic_steps = config.critic_steps if self.critics else 0
        steps = self.critic_steps + config.total_steps(max(1, len(train) // config.batch))
        super().__init__(modules, optimisers, steps, config.seed)
        seen = seen_by_critics({clip.person for clip in train.clips})
        self._critics_see = np.flatnonzero([clip.person in seen for clip in train.clips])

    def step(self, step: int) -> dict[str, float]:
        """Takes one step of the critics or of the model."""
        random, size = step_generator(step, self.config.seed, own=True), ranks.share_size(self.config.batch)
        torch.manual_seed(int(random.integers(1 << 40)))
        if step < self.critic_steps:
            return self._critic_step(self._tensors(self.train.draw(size, random, self._critics_see)))
        if self.critics is not None:
            self.critics.requires_grad_(False)
        batch = self._tensors(self.train.draw(size, random))
        losses = motion_losses(self.live, batch, self.config, self.critics)
        loss = torch.stack(list(losses.values())).sum()
        done = (step - self.critic_steps) / max(1, self.steps - self.critic_steps)
        for group in self.optimisers["adam"].param_groups:
            group["lr"] = self.config.learning_rate * min(1.0, 20 * done + 0.02) * 0.5 * (1 + math.cos(math.pi * done))
        value = self.take_step(loss, largest_norm=1.0)
        with torch.no_grad():
            keep = min(self.config.average, (step - self.critic_steps + 1) / (step - self.critic_steps + 10))
            for mean, current in zip(self.model.parameters(), self.live.parameters(), strict=True):
                mean.lerp_(current, 1 - keep)
        return {"loss": value} | {name: float(part.detach()) for name, part in losses.items()}

    def _critic_step(self, batch: dict[str, Tensor]) -> dict[str, float]:
        assert self.critics is not None
        return {"loss": self.take_step(critic_losses(self.critics, batch, heard(self.live, batch)), "critics")}

    def _tensors(self, batch: Batch) -> dict[str, Tensor]:
        def tensor(array: np.ndarray) -> Tensor:
            kind = np.int64 if array.dtype.kind == "i" else np.float32
            return torch.from_numpy(np.ascontiguousarray(array, kind)).to(self.device)

        return {name: tensor(getattr(batch, name)) for name in Batch.__dataclass_fields__}

    @torch.no_grad()
    def evaluate(self, step: int) -> dict[str, float]:
        """Losses of the stored model on fixed windows of the validation people."""
        random = np.random.default_rng([0xE7, self.config.seed])
        batch = self._tensors(self.validation.draw(_EVALUATED, random))
        torch.manual_seed(self.config.seed)
        losses = motion_losses(self.model, batch, self.config, self.critics)
        lips = self.model.lips(self.model.sound_features(batch["sound"]), batch["emotion"])
        inside = batch["inside"][..., None]
        error, spread = (inside * (lips - batch["lips"]).square()).sum(), (inside * batch["lips"].square()).sum()
        names = ("flow", "values", "gaze", "lips", "voice")
        scores = {f"validation_{name}": float(losses[name]) for name in names if name in losses}
        return scores | {"validation_lips_r2": 1 - float(error / spread.clamp_min(1e-6))}


def seen_by_critics(names: set[str]) -> set[str]:
    """The training people whose motion the critics learn from: every second one; judges can take the others."""
    return set(sorted(names)[::2])


def build_model(
    clips: Sequence[MotionClip],
    basis: MotionBasis,
    blinks: BlinkModel,
    sizes: NetworkSizes,
    shape: np.ndarray,
    pose: np.ndarray,
    seed: int,
) -> MotionNetwork:
    """A new network that knows the statistics of a corpus.

    Args:
        clips: the training clips.
        basis: of their cues.
        blinks: of these clips.
        sizes: of the network.
        shape: mean rigid head [68, 3], cm.
        pose: a neutral camera_to_world [4, 4].
        seed: of the weights.
    """
    torch.manual_seed(seed)
    model = sizes.build()
    sound = np.concatenate([clip.sound for clip in clips])
    statistics = {
        "sound_mean": sound.mean(0),
        "sound_std": np.maximum(sound.std(0), 0.05),
        **basis.arrays(),
        **{f"blink_{name}": value for name, value in blinks.arrays().items()},
        "shape": shape,
        "pose": pose,
        "expression": expression_map(clips, basis),
    }
    for name, value in statistics.items():
        getattr(model, name).copy_(torch.from_numpy(np.ascontiguousarray(value, np.float32)))
    return model


@ranks.joined
def train_motion(data: Sequence[Path], output: Path, config: MotionConfig, progress: Progress) -> dict[str, Any]:
    """Trains the motion model, or resumes an interrupted run; writes ``motion.safetensors`` in the end.

    Args:
        data: clip folders, or folders of them (``jean.clips.corpus``), with sound; tracks alone suffice.
        output: the run folder, which ``act`` and ``render --motion`` take.
        config: of the stage.
        progress: receives messages, warnings and the progress.

    Returns:
        Losses of the validation people (``validation_flow`` …), ``steps``, ``seconds``, counts, and ``emotions``.

    Raises:
        InputError, ArtefactError, UsageError: unusable data, see ``find_clips``, ``read_corpus`` and ``split_people``.
        SetupError, DivergedError, Interrupted: see ``jean.train.engine.loop.run``.
    """
    clips = sorted(find_clips(data, config.table), key=lambda clip: (clip.person, clip.name))
    claim_run(output, clips, data)
    emotions = sorted({clip.emotion for clip in clips if clip.emotion} - {NEUTRAL})
    _warn_of_gaps(clips, emotions, progress)
    train_clips, validation_clips = split_people(clips, VALIDATION_FRACTION, config.validation, config.seed)
    counts = {"clips": len(clips), "people": len(people(clips)), "validation_people": len(people(validation_clips))}
    progress.say(", ".join(f"{value} {name.replace('_', ' ')}" for name, value in counts.items()))
    read = read_corpus(clips, config.eyes, progress)
    names = {clip.name for clip in train_clips}
    train = [clip for clip in read if clip.name in names]
    held_out = {clip.name for clip in validation_clips}
    validation = [clip for clip in read if clip.name in held_out]
    basis = MotionBasis.fit([clip.track for clip in train])
    first = train_clips[0].open()
    sizes = NetworkSizes(
        kind=config.network,
        width=WIDTH,
        lips=LIPS,
        sound=SOUND_WIDTH,
        emotions=len(emotions),
        hidden=config.hidden,
        layers=config.layers,
        heads=HEADS,
        expressions=len(first.meta.expression.names),
    )
    shape = np.mean([clip.open().arrays["shape"] for clip in train_clips], 0)
    pose = np.asarray(first.arrays["camera_to_world"], np.float64)[first.frame_count // 2]
    model = build_model(train, basis, fit_blinks(train, basis, emotions), sizes, shape, pose, config.seed)
    stage = MotionStage(
        Windows(train, basis, emotions), Windows(validation, basis, emotions), model, config,
        torch.device(pick_device(config.device)),
    )  # fmt: skip
    facts = MotionFacts(
        format=FORMAT,
        network=sizes,
        emotions=emotions,
        tracker=first.meta.tracker,
        expression=first.meta.expression,
        focal=first.camera.focal_px / first.size_px,
        people=len(people(train_clips)),
        synthetic=first.meta.synthetic is not None,
    )
    meta = {"model": sizes.model_dump(), "held_out": people(validation_clips), **facts.model_dump(mode="json")} | counts
    result = run(stage, output, stage.schedule(), progress, config=fingerprint(config, clips, ARRAYS_FILE), meta=meta)
    if not ranks.is_first():
        return result | counts | {"emotions": emotions}
    trained = load_checkpoint(output, stage=MotionStage.name, warn=progress.warn).module_state("model")
    save_motion_model(output / MOTION_FILE, trained, facts)
    return result | counts | {"emotions": emotions}


def _warn_of_gaps(clips: Sequence[Any], emotions: list[str], progress: Progress) -> None:
    """Says what a corpus cannot teach."""
    if len(people(clips)) == 1:
        progress.warn("there is only one person: the motion will be hers or his, and validation is on the same person.")
    if not any(clip.emotion == NEUTRAL for clip in clips):
        progress.warn(
            "no clip is called neutral: emotions cannot be told from faces at rest, and --emotion knows none."
        )
    elif not emotions:
        progress.warn("all clips are neutral: --emotion will know no other emotion.")
