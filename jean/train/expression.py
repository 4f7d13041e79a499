"""Training the expression transformer: ``jean train-expr`` (sections 3.2 and 8.3, Eqs. 3 and 4)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from jean.config import StageConfig
from jean.data.corpus import CorpusClip, find_clips, people, same_sentence_pairs
from jean.data.emotion import BLENDSHAPES, PairWindows, pair_windows
from jean.data.time_warp import exact_path, fast_path
from jean.environment import pick_device
from jean.errors import InputError, UsageError
from jean.files import check_writable
from jean.losses import emotion_loss
from jean.models.expression_transformer import ExpressionTransformer
from jean.models.landmark_autoencoder import swapped
from jean.progress import Progress
from jean.train.epochs import Epochs, random_at
from jean.train.loop import Schedule, run
from jean.train.parting import part


class ExpressionConfig(StageConfig):
    """Everything that decides an expression transformer; the defaults are the paper's.

    Attributes:
        preset: "paper"; "small" for a processor and little data; "parted": "small" with
            e_l and e_e parted where Eq. 4 does not part them (``PRESETS``). It chooses the defaults of what is None.
        table: see ``LandmarkConfig``. person: whose transformer, where the data has several people.
        emotion_features: name of the features; "blendshapes" are the tracker's own coefficients: variant (d).
        emotions: which ones pairs are made of (section 8.3.1); None: all.
        dtw: "fast" (fastdtw) or "exact"; radius: of the fast one.
        swap_probability: δ. window: ω. width, hidden, layers, heads, dropout: section 8.3.2.
        feedforward: see ``ExpressionTransformer``; history: "none" takes the past from the decoder.
        scaling: features divided by nothing ("none"), by one number ("global") or each by its spread ("each").
        parted: after training, part e_l from e_e by what A and B share (``jean.train.parting``; not the paper's).
        train_pairs: the rest validates (60 of 84 in the paper, or that share of fewer).
        held_out: sentences that validate instead of a draw of pairs.
        epochs, batch, learning_rate, weight_decay: Adam with default parameters, section 8.3.3; steps: instead
            of epochs.
    """

    preset: Literal["paper", "small", "parted"] = "paper"
    table: Path | None = None
    person: str | None = None
    emotion_features: str | None = None
    emotions: tuple[str, ...] | None = ("neutral", "angry", "happy", "sad")  # 8.3.1
    dtw: Literal["fast", "exact"] = "fast"
    radius: int = Field(1, ge=1)
    swap_probability: float = Field(0.8, ge=0, le=1)  # 8.3.2
    window: int = Field(8, ge=2)  # 8.3.2
    width: int = Field(64, ge=4)  # 8.3.2
    hidden: int = Field(512, ge=1)  # 8.3.2
    layers: int = Field(3, ge=1)  # 8.3.2
    heads: int = Field(8, ge=1)  # 8.3.2
    dropout: float = Field(0.2, ge=0, lt=1)  # 8.3.2
    feedforward: int | None = Field(None, ge=1)
    history: Literal["teacher", "none"] | None = None
    scaling: Literal["none", "global", "each"] | None = None
    parted: bool | None = None
    train_pairs: int = Field(60, ge=1)  # 8.3.1
    held_out: tuple[str, ...] | None = None
    epochs: int | None = Field(None, ge=1)
    steps: int | None = Field(None, ge=1)
    batch: int | None = Field(None, ge=2)
    learning_rate: float = Field(1e-3, gt=0)  # Adam's default parameters, 8.3.3
    weight_decay: float = Field(1e-5, ge=0)  # 8.3.3


_SMALL: dict[str, Any] = {"steps": 1500, "batch": 32, "feedforward": 256, "scaling": "global"}
PRESETS: dict[str, dict[str, Any]] = {
    # 8.3.3; what is not stated there: feedforward (torch's own), the decoder's history, no scaling
    "paper": {
        "epochs": 20,
        "batch": 256,
        "feedforward": 2048,
        "scaling": "none",
        "history": "teacher",
        "parted": False,
    },
    "small": {**_SMALL, "history": "teacher", "parted": False},
    "parted": {**_SMALL, "history": "teacher", "parted": True},
}


def resolved(config: ExpressionConfig) -> ExpressionConfig:
    """The configuration with its preset's values where it had None; steps given replace epochs, and epochs steps."""
    values = {key: value for key, value in PRESETS[config.preset].items() if getattr(config, key) is None}
    if config.steps is not None or config.epochs is not None:
        values = {key: value for key, value in values.items() if key not in ("steps", "epochs")}
    if config.steps is not None and config.epochs is not None:
        raise UsageError("--steps and --epochs contradict each other.", "Give one of them.")
    if 2 * config.width % config.heads:
        raise UsageError(f"{config.heads} heads do not divide {2 * config.width}.", "Choose other heads or width.")
    return config.model_copy(update=values)


class ExpressionStage:
    """The stage as the loop knows it."""

    name = "expression"

    def __init__(self, train: PairWindows, validation: PairWindows, config: ExpressionConfig, device: torch.device):
        self.train, self.validation, self.config, self.device = train, validation, config, device
        torch.manual_seed(config.seed)
        self.model = ExpressionTransformer(**model_arguments(train, config)).to(device)
        self.model.set_statistics(*statistics(train, config.scaling or "none"))
        self.modules: dict[str, torch.nn.Module] = {"model": self.model}
        adam = torch.optim.Adam(self.model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
        self.optimisers: dict[str, torch.optim.Optimizer] = {"adam": adam}
        self.generator = torch.Generator().manual_seed(config.seed)
        self.epochs = Epochs(len(train), config.batch or 256, config.seed)
        self.steps = config.steps or (config.epochs or 1) * self.epochs.steps

    def step(self, step: int) -> dict[str, float]:
        """One step of Adam on Eq. 4 over windows of pairs."""
        chosen = self.epochs.at(step)
        random = random_at(step, self.config.seed)
        swap = torch.from_numpy(random.random(len(chosen)) < self.config.swap_probability).to(self.device)
        self.model.train()
        loss = pair_loss(self.model, *self._pair(self.train, chosen), swap)
        self.optimisers["adam"].zero_grad(set_to_none=True)
        loss.backward()
        self.optimisers["adam"].step()
        if self.config.parted and step == self.steps - 1:
            self._part()
        return {"loss": loss.item(), "epoch": step / self.epochs.steps}

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

    def preview(self, step: int, folder: Path) -> None:
        """No picture: ``jean inspect`` draws the embeddings."""

    def extra_state(self) -> dict[str, Tensor]:
        """Nothing."""
        return {}

    def load_extra_state(self, tensors: dict[str, Tensor]) -> None:
        """Takes back nothing."""


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


def split_pairs(
    pairs: Sequence[tuple[CorpusClip, CorpusClip]], config: ExpressionConfig
) -> tuple[list[tuple[CorpusClip, CorpusClip]], list[tuple[CorpusClip, CorpusClip]]]:
    """Pairs to train on and pairs to validate on: 60 and the rest (section 8.3.1), or ``held_out`` sentences.

    Raises:
        UsageError: a sentence that is not there, or none left to train on.
    """
    if config.held_out:
        unknown = set(config.held_out) - {str(a.sentence) for a, _ in pairs}
        if unknown:
            raise UsageError(f"no pair says sentence {min(unknown)!r}.", "Name sentences as their clips are named.")
        train = [pair for pair in pairs if pair[0].sentence not in config.held_out]
        validation = [pair for pair in pairs if pair[0].sentence in config.held_out]
    else:
        count = min(config.train_pairs, max(1, round(len(pairs) * 60 / 84)))
        order = np.random.default_rng([0xD7, config.seed]).permutation(len(pairs))
        train, validation = [pairs[i] for i in sorted(order[:count])], [pairs[i] for i in sorted(order[count:])]
    if not train:
        raise UsageError("every sentence is held out.", "Leave some to train on.")
    return train, validation or train


def train_expression(
    data: Sequence[Path], output: Path, config: ExpressionConfig, progress: Progress
) -> dict[str, Any]:
    """Learns one person's expression transformer, or goes on where an earlier run stopped.

    Args:
        data: clip folders, or folders of them (``jean.data.corpus``).
        output: the run folder.
        config: what to train.
        progress: told how far it is.

    Returns:
        The errors of ``ExpressionStage.evaluate``, ``steps``, ``seconds``, the counts of the data, and ``variant``:
        "jean", or "d" where no emotion network made the features.

    Raises:
        UsageError: several people and none chosen.
        InputError: no sentence in two emotions, or features that are not there.
        SetupError, ArtefactError, DivergedError, Interrupted: see ``jean.train.loop.run``.
    """
    config = resolved(config)
    check_writable(output)
    clips = find_clips(data, config.table)
    everybody = people(clips)
    if config.person is not None:
        if config.person not in everybody:
            raise UsageError(f"nobody is called {config.person!r}.", f"People: {', '.join(everybody)}.")
        clips = [clip for clip in clips if clip.person == config.person]
    elif len(everybody) > 1:
        raise UsageError(
            f"the clips show {len(everybody)} people, and a transformer is for one (section 8.3.2).",
            f"Choose with --person: {', '.join(everybody)}",
        )
    if config.emotions is not None:
        clips = [clip for clip in clips if clip.emotion in config.emotions]
    name = config.emotion_features or _features_of(clips)
    pairs = list(same_sentence_pairs(clips))
    if not pairs:
        raise InputError(
            "no sentence is there in two emotions.",
            "Name clips EMOTION_NUMBER, keep MEAD's layout, or give a --table with emotion and sentence.",
        )
    train_pairs, validation_pairs = split_pairs(pairs, config)
    warp = partial(fast_path, radius=config.radius) if config.dtw == "fast" else exact_path
    train, made = pair_windows(train_pairs, name, config.window, warp)
    validation, other = pair_windows(validation_pairs, name, config.window, warp)
    if other != made:
        raise InputError("the clips have several kinds of features.", "Prepare all of them anew.")
    counts = {
        "train_pairs": len(train_pairs),
        "train_windows": len(train),
        "validation_pairs": len(validation_pairs),
        "validation_windows": len(validation),
        "clips": len(train.features),
    }
    progress.say(f"{name}: " + ", ".join(f"{value} {key.replace('_', ' ')}" for key, value in counts.items()))
    variant = "jean" if made["network"] else "d"
    if variant == "d":
        progress.warn(f"{name} come from no emotion network: this is the paper's variant (d).")
    stage = ExpressionStage(train, validation, config, torch.device(pick_device(config.device)))
    every = max(1, stage.steps // 10)
    schedule = Schedule(stage.steps, every, every, max(1, stage.steps // 200), 0)
    used = sorted({clip.name: clip for pair in pairs for clip in pair}.items())
    stored = "arrays.safetensors" if name == BLENDSHAPES else "emotion_features.safetensors"
    compared = config.model_dump(mode="json", exclude={"device", "table"}) | {
        "clips": {key: clip.open().meta["files"][stored]["sha256"] for key, clip in used}
    }
    meta = {
        "model": model_arguments(train, config),
        "emotion": made,
        "variant": variant,
        "person": clips[0].person,
        "held_out": [clip.name for pair in validation_pairs for clip in pair],
        **counts,
    }
    result = run(stage, output, schedule, progress, config=compared, meta=meta)
    return result | counts | {"emotion_features": name, "variant": variant}


def _features_of(clips: Sequence[CorpusClip]) -> str:
    """The first clip's first emotion features, its blendshapes where it has none."""
    if not clips:
        raise InputError("no clip has one of the emotions.", "See --set emotions=null")
    return next(iter(clips[0].open().meta.get("emotion") or {}), BLENDSHAPES)
