"""The losses of the motion model one by one: small models that differ in them, trained alike."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from jean.drivers.motion_model import MotionModel, NetworkSizes
from jean.drivers.motion_vector import LIPS, WIDTH, MotionBasis
from jean.files import write_json
from jean.models.motion_network import MotionNetwork
from jean.train.motion.config import MotionConfig
from jean.train.motion.data import MotionClip, Windows, fit_blinks
from jean.train.motion.stage import HEADS, SOUND_WIDTH, MotionStage, build_model

CRITIC_STEPS = 60
NOTHING: dict[str, Any] = {
    "emotion_weight": 0.0, "cohesion_weight": 0.0, "sound_weight": 0.0, "moment_weight": 0.0
}  # fmt: skip
# each row adds one loss to the row before; the last one is another network
VARIANTS: dict[str, dict[str, Any]] = {
    "flow alone": NOTHING,
    "+ emotion": NOTHING | {"emotion_weight": 0.1},
    "+ cohesion": NOTHING | {"emotion_weight": 0.1, "cohesion_weight": 0.05},
    "+ sound": NOTHING | {"emotion_weight": 0.1, "cohesion_weight": 0.05, "sound_weight": 0.05},
    "+ moments": {},
    "paper": {"preset": "paper"},
}


def ablate(
    folder: Path,
    clips: Sequence[MotionClip],
    like: MotionModel,
    basis: MotionBasis,
    steps: int,
    score: Callable[[MotionModel], dict[str, Any]],
    say: Callable[[str], None],
) -> dict[str, dict[str, Any]]:
    """Trains and scores one model per variant, all with the same basis; rows that a run before has left are kept.

    Args:
        folder: of the kept rows, one JSON file each.
        clips: the training clips.
        like: a model whose emotions and facts are taken.
        basis: of the cues.
        steps: of each training.
        score: gives the figures of a model.
        say: receives a line per row.

    Returns:
        Figures by name of the variant.
    """
    torch.set_num_threads(1)
    rows = {}
    for name, changes in VARIANTS.items():
        config = MotionConfig(steps=steps, critic_steps=CRITIC_STEPS, device="cpu", **changes)
        asked, kept = config.model_dump(mode="json"), folder / f"{name}.json"
        row = json.loads(kept.read_text()) if kept.is_file() else {}
        if row.get("config") != asked:
            row = {"config": asked, "figures": score(_train(clips, like, basis, config))}
            write_json(kept, row)
        rows[name] = row["figures"]
        say(f"{name}: {json.dumps(rows[name])}")
    return rows


def _train(clips: Sequence[MotionClip], like: MotionModel, basis: MotionBasis, config: MotionConfig) -> MotionModel:
    """A model of the configuration, trained on the clips."""
    windows, blinks = Windows(clips, basis, like.emotions), fit_blinks(clips, basis, like.emotions)
    sizes = NetworkSizes(
        kind=config.network, width=WIDTH, lips=LIPS, sound=SOUND_WIDTH, emotions=len(like.emotions),
        hidden=config.hidden, layers=config.layers, heads=HEADS, expressions=len(like.facts.expression.names),
    )  # fmt: skip
    network = build_model(clips, basis, blinks, sizes, np.zeros((68, 3)), np.eye(4), config.seed)
    stage = MotionStage(windows, windows, network, config, torch.device("cpu"))
    for step in range(stage.steps):
        stage.step(step)
    trained = stage.modules["model"]
    assert isinstance(trained, MotionNetwork)
    return MotionModel(Path("-"), trained.eval(), basis, like.facts.model_copy(update={"network": sizes}))
