"""Training the expression transformer: ``jean train-expr`` (sections 3.2 and 8.3, Eqs. 3 and 4)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from jean.drivers.emotion import BLENDSHAPES, PairWindows, pair_windows
from jean.drivers.time_warp import exact_path, fast_path
from jean.environment import pick_device
from jean.errors import InputError
from jean.files import check_writable
from jean.losses import emotion_loss
from jean.models.expression_transformer import ExpressionTransformer
from jean.models.landmark_autoencoder import swapped
from jean.progress import Progress
from jean.train.engine.epoch_stage import EpochStage
from jean.train.engine.epochs import Epochs, random_at
from jean.train.engine.loop import run
from jean.train.engine.settings import decisive
from jean.train.expression.config import ExpressionConfig, resolved
from jean.train.expression.disentangle import part
from jean.train.expression.pairs import find_pairs


class ExpressionStage(EpochStage):
    """The stage as the loop knows it."""

    name = "expression"

    def __init__(self, train: PairWindows, validation: PairWindows, config: ExpressionConfig, device: torch.device):
        self.train, self.validation, self.config, self.device = train, validation, config, device
        torch.manual_seed(config.seed)
        self.model = ExpressionTransformer(**model_arguments(train, config)).to(device)
        self.model.set_statistics(*statistics(train, config.scaling or "none"))
        adam = torch.optim.Adam(self.model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
        epochs = Epochs(len(train), config.batch or 256, config.seed)
        super().__init__(self.model, adam, epochs, config.steps, config.epochs)

    def step(self, step: int) -> dict[str, float]:
        """One step of Adam on Eq. 4 over windows of pairs."""
        chosen = self.epochs.at(step)
        random = random_at(step, self.config.seed)
        swap = torch.from_numpy(random.random(len(chosen)) < self.config.swap_probability).to(self.device)
        self.model.train()
        loss = pair_loss(self.model, *self._pair(self.train, chosen), swap)
        found = self.descend(loss, step)
        if self.config.parted and step == self.steps - 1:
            self._part()
        return found

    @torch.no_grad()
    def _part(self) -> None:
        """Sets the maps that part e_l from e_e, from the training pairs."""
        self.model.eval()
        sides: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
        middle = self.config.window // 2
        for chosen in np.array_split(np.arange(len(self.train)), max(1, len(self.train) // 256)):
            for side, windows in zip(sides, self._pair(self.train, chosen), strict=True):
                side.append(torch.cat(self.model.encode(windows), -1)[:, middle].cpu().numpy())
        found = part(np.concatenate(sides[0]), np.concatenate(sides[1]))
        self.model.set_parting(*(torch.from_numpy(v).float() for v in (found.mean, found.lip, found.expression)))

    def _pair(self, windows: PairWindows, chosen: np.ndarray) -> tuple[Tensor, Tensor]:
        a, b = windows.at(chosen)
        return torch.from_numpy(a).to(self.device), torch.from_numpy(b).to(self.device)

    @torch.no_grad()
    def evaluate(self, step: int) -> dict[str, float]:
        """Mean absolute error of standardised features on pairs that were not trained on.

        ``swap_error``: with the expression of the other; ``own_error``: nothing swapped; ``free_error``: swapped, and
        the decoder sees its own past instead of the true one; ``mean_error``: of the training mean, the rival
        to beat; ``other_error``: of taking A's features for B's, what ignoring the expression would cost.
        """
        self.model.eval()
        count = min(len(self.validation), 256)
        chosen = np.linspace(0, len(self.validation) - 1, count).astype(int)
        a, b = self._pair(self.validation, chosen)
        x, y = self.model.standardised(a), self.model.standardised(b)
        lip, own = self.model.encode(a)
        _, other = self.model.encode(b)
        found = {
            "swap": self.model.decode(lip, other, self.model.down(y)) - y,
            "own": self.model.decode(lip, own, self.model.down(x)) - x,
            "free": self.model.decode(lip, other) - y,
            "mean": y,
            "other": x - y,
        }
        return {f"{name}_error": value.abs().mean().item() for name, value in found.items()}


def pair_loss(model: ExpressionTransformer, a: Tensor, b: Tensor, swap: Tensor) -> Tensor:
    """Eq. 4 of aligned windows ``a`` and ``b`` [B, ω, D], e_e exchanged where ``swap`` [B] is true.

    Where it is, the lip content of A with the expression of B must give B's features: both say the same at
    the same moment, so that only the expression tells them apart.
    """
    x, y = model.standardised(a), model.standardised(b)
    tokens_x, tokens_y = model.down(x), model.down(y)
    lip_a, expression_a = model.encode_tokens(tokens_x)
    lip_b, expression_b = model.encode_tokens(tokens_y)
    with_a, with_b = swapped(expression_a, expression_b, swap)
    target_a, target_b = swapped(x, y, swap)
    past_a, past_b = swapped(tokens_x, tokens_y, swap)
    return emotion_loss(model.decode(lip_a, with_a, past_a), target_a, model.decode(lip_b, with_b, past_b), target_b)


def statistics(windows: PairWindows, scaling: str) -> tuple[Tensor, Tensor]:
    """What the model takes from features and divides them by, [D] each; see ``ExpressionConfig.scaling``."""
    values = np.concatenate(windows.features)
    mean, spread = values.mean(0), values.std(0)
    if scaling == "none":
        mean, spread = np.zeros_like(mean), np.ones_like(spread)
    elif scaling == "global":
        spread = np.full_like(spread, np.sqrt(np.mean(spread**2)))
    return torch.from_numpy(mean), torch.from_numpy(np.maximum(spread, 1e-6))


def model_arguments(windows: PairWindows, config: ExpressionConfig) -> dict[str, Any]:
    """The arguments of ``ExpressionTransformer``, as stored in every checkpoint."""
    names = ("window", "width", "hidden", "layers", "heads", "dropout", "feedforward", "history")
    return {"features": int(windows.features[0].shape[1]), **{name: getattr(config, name) for name in names}}


def train_expression(
    data: Sequence[Path], output: Path, config: ExpressionConfig, progress: Progress
) -> dict[str, Any]:
    """Learns one person's expression transformer, or goes on where an earlier run stopped.

    Args:
        data: clip folders, or folders of them (``jean.clips.corpus``).
        output: the run folder.
        config: what to train.
        progress: told how far it is.

    Returns:
        The errors of ``ExpressionStage.evaluate``, ``steps``, ``seconds``, the counts of the data, and ``variant``:
        "jean", or "d" where no emotion network made the features.

    Raises:
        UsageError: several people and none chosen.
        InputError: no sentence in two emotions, or features that are not there.
        SetupError, ArtefactError, DivergedError, Interrupted: see ``jean.train.engine.loop.run``.
    """
    config = resolved(config)
    check_writable(output)
    pairs = find_pairs(data, config)
    warp = partial(fast_path, radius=config.radius) if config.dtw == "fast" else exact_path
    train, made = pair_windows(pairs.train, pairs.features, config.window, warp)
    validation, other = pair_windows(pairs.validation, pairs.features, config.window, warp)
    if other != made:
        raise InputError("the clips have several kinds of features.", "Prepare all of them anew.")
    counts = {
        "train_pairs": len(pairs.train),
        "train_windows": len(train),
        "validation_pairs": len(pairs.validation),
        "validation_windows": len(validation),
        "clips": len(train.features),
    }
    progress.say(f"{pairs.features}: " + ", ".join(f"{value} {key.replace('_', ' ')}" for key, value in counts.items()))
    variant = "jean" if made["network"] else "d"
    if variant == "d":
        progress.warn(f"{pairs.features} come from no emotion network: this is the paper's variant (d).")
    stage = ExpressionStage(train, validation, config, torch.device(pick_device(config.device)))
    stored = "arrays.safetensors" if pairs.features == BLENDSHAPES else "emotion_features.safetensors"
    compared = decisive(config, pairs.clips(), stored)
    meta = {
        "model": model_arguments(train, config),
        "emotion": made,
        "variant": variant,
        "person": pairs.person,
        "held_out": [clip.name for pair in pairs.validation for clip in pair],
        **counts,
    }
    result = run(stage, output, stage.schedule(), progress, config=compared, meta=meta)
    return result | counts | {"emotion_features": pairs.features, "variant": variant}
