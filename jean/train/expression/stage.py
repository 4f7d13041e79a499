"""Training of the expression transformer: ``jean train-expr`` (sections 3.2 and 8.3, Eqs. 3 and 4)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from jean.clips.meta import ARRAYS_FILE, BLENDSHAPES, EMOTION_FILE
from jean.drivers.emotion import PairWindows, pair_windows, sound_rows
from jean.drivers.erasure import Eraser
from jean.drivers.time_warp import exact_path, fast_path
from jean.environment import pick_device
from jean.errors import InputError
from jean.losses import emotion_loss
from jean.models.expression_transformer import ExpressionTransformer
from jean.models.landmark_autoencoder import swapped
from jean.models.stored import load_expression_transformer
from jean.progress import Progress
from jean.train.engine import ranks
from jean.train.engine.epoch_config import claim_run, fingerprint
from jean.train.engine.epoch_stage import EpochStage, step_generator
from jean.train.engine.loop import run
from jean.train.expression.config import ExpressionConfig
from jean.train.expression.disentangle import MIN_CORRELATION, disentangle
from jean.train.expression.pairs import Pairs, find_pairs
from jean.train.expression.report import leak_report, shared_directions, warnings
from jean.train.expression.speech import speech_concepts

CHANCE = 0.3  # canonical correlation of e_e and speech that counts as chance
_EVALUATED_WINDOWS = 256  # at most, which bounds the time of an evaluation


class ExpressionStage(EpochStage):
    """Trains the expression transformer, one step at a time (Eq. 4).

    Args:
        train: windows of the training pairs.
        validation: windows of the validation pairs.
        config: of the stage.
        device: where to train.
        spoken: for ``erase_speech``: emotion features and speech (``speech_concepts``) of the training clips, [T, D]
            and [T, K] per clip.
    """

    name = "expression"

    def __init__(
        self,
        train: PairWindows,
        validation: PairWindows,
        config: ExpressionConfig,
        device: torch.device,
        spoken: Sequence[tuple[np.ndarray, np.ndarray]] = (),
    ):
        self.train, self.validation, self.config, self.device = train, validation, config, device
        self.spoken = spoken
        torch.manual_seed(config.seed)
        self.model = ExpressionTransformer(**model_arguments(train, config)).to(device)
        self.model.set_statistics(*statistics(train, config.scaling))
        adam = torch.optim.Adam(self.model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
        super().__init__(self.model, adam, len(train), config)

    def step(self, step: int) -> dict[str, float]:
        """Takes one Adam step on Eq. 4 and returns the scalars to log. The last step also disentangles, if asked."""
        batch = self.epochs.at(step)
        random = step_generator(step, self.config.seed)
        drawn = random.random(len(batch)) < self.config.swap_probability
        swap = torch.from_numpy(ranks.share(drawn)).to(self.device)
        self.model.train()
        loss = pair_loss(self.model, *self._pair(self.train, ranks.share(batch)), swap)
        scalars = self.descend(loss, step)
        if self.config.disentangle and step == self.steps - 1:
            self._disentangle()
        if self.config.erase_speech and step == self.steps - 1:
            self._erase_speech()
        return scalars

    @torch.no_grad()
    def _disentangle(self) -> None:
        """Computes the disentangling maps from the training pairs and stores them in the model."""
        maps = disentangle(*aligned_embeddings(self.model, self.train))
        if not (maps.correlations > MIN_CORRELATION).any():
            raise InputError(
                "the two sides of the aligned pairs share nothing (largest correlation "
                f"{maps.correlations[0]:.2f}): there is no speech to take out of e_e.",
                "Check that the clips of a pair say the same sentence, or align on the sound: --set align_on=audio",
            )
        arrays = (maps.mean, maps.lip, maps.expression)
        self.model.set_disentangling_maps(*(torch.from_numpy(array).float() for array in arrays))

    @torch.no_grad()
    def _erase_speech(self) -> None:
        """Takes speech out of the map to e_e, by ``Eraser`` on the training clips."""
        self.model.eval()
        vectors = np.concatenate([self.model.embed_track(features)[1] for features, _ in self.spoken])
        eraser = Eraser.fit(vectors, np.concatenate([speech for _, speech in self.spoken]), least=CHANCE)
        maps = self.model.part_mean, self.model.part_lip, self.model.part_expression
        expression = maps[2].cpu().double().numpy()
        erased = torch.from_numpy(expression - expression @ eraser.read @ eraser.write.T).float()
        self.model.set_disentangling_maps(maps[0], maps[1], erased.to(self.device))

    def _pair(self, windows: PairWindows, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        """The aligned features of A and B, [B, ω, D] each, of windows ``indices`` [B]."""
        a, b = windows.at(indices)
        return torch.from_numpy(a).to(self.device), torch.from_numpy(b).to(self.device)

    @torch.no_grad()
    def evaluate(self, step: int) -> dict[str, float]:
        """Mean absolute errors of standardised features on the validation pairs.

        Returns:
            ``swap_error``: A decoded with the expression of B, against B; earlier frames of B are given.
            ``free_error``: the same, but the decoder attends to its own earlier output.
            ``own_error``: A decoded with its own expression, against A.
            ``mean_error``: baseline, the mean of the training features against B.
            ``other_error``: baseline, A's features against B: the error of ignoring the expression.
        """
        self.model.eval()
        count = min(len(self.validation), _EVALUATED_WINDOWS)
        indices = np.linspace(0, len(self.validation) - 1, count).astype(int)
        a, b = self._pair(self.validation, indices)
        x, y = self.model.standardised(a), self.model.standardised(b)
        lip, own = self.model.encode(a)
        _, other = self.model.encode(b)
        differences = {
            "swap": self.model.decode(lip, other, self.model.down(y)) - y,
            "own": self.model.decode(lip, own, self.model.down(x)) - x,
            "free": self.model.decode(lip, other) - y,
            "mean": y,
            "other": x - y,
        }
        return {f"{name}_error": value.abs().mean().item() for name, value in differences.items()}


@torch.no_grad()
def aligned_embeddings(model: ExpressionTransformer, windows: PairWindows) -> tuple[np.ndarray, np.ndarray]:
    """(e_l, e_e) of both sides of all aligned windows, [W, 2 · width] each, before the disentangling maps.

    Args:
        model: the transformer.
        windows: of pairs of clips.
    """
    model.eval()
    sides: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for batch in np.array_split(np.arange(len(windows)), max(1, len(windows) // 256)):
        for side, features in zip(sides, windows.at(batch), strict=True):
            halves = model.encode(torch.from_numpy(features).to(model.mean.device))
            side.append(torch.cat(halves, -1)[:, windows.window // 2].cpu().numpy())
    return np.concatenate(sides[0]), np.concatenate(sides[1])


def pair_loss(model: ExpressionTransformer, a: Tensor, b: Tensor, swap: Tensor) -> Tensor:
    """Eq. 4 of a batch of aligned windows.

    Where expressions are exchanged, the lip content of A with the expression of B must give the features of B: both say
    the same at the same moment, so they differ in expression only.

    Args:
        model: the expression transformer.
        a, b: features [B, ω, D] of the two sides of each pair.
        swap: bool [B], the pairs whose e_e are exchanged.
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
    """Offset and scale, [D] each, that standardise the features of the training clips.

    Args:
        windows: of the training pairs.
        scaling: "none": offset 0 and scale 1; "global": the mean, and one scale, the root mean square of the standard
            deviations; "each": the mean and the standard deviation of each feature.
    """
    values = np.concatenate(windows.features)
    mean, std = values.mean(0), values.std(0)
    if scaling == "none":
        mean, std = np.zeros_like(mean), np.ones_like(std)
    elif scaling == "global":
        std = np.full_like(std, np.sqrt(np.mean(std**2)))
    return torch.from_numpy(mean), torch.from_numpy(np.maximum(std, 1e-6))


def model_arguments(windows: PairWindows, config: ExpressionConfig) -> dict[str, Any]:
    """Arguments of ``ExpressionTransformer``, stored in every checkpoint."""
    names = ("window", "width", "hidden", "layers", "heads", "dropout", "feedforward", "history")
    return {"features": int(windows.features[0].shape[1]), **{name: getattr(config, name) for name in names}}


def _spoken(pairs: Pairs, features: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Emotion features and speech of the clips of the training pairs."""
    clips = [clip.open() for clip in {clip.name: clip for pair in pairs.train for clip in pair}.values()]
    return [(clip.emotion_track(features), speech) for clip, speech in zip(clips, speech_concepts(clips), strict=True)]


@ranks.joined
def train_expression(
    data: Sequence[Path], output: Path, config: ExpressionConfig, progress: Progress
) -> dict[str, Any]:
    """Trains one person's expression transformer, or resumes an interrupted run.

    Args:
        data: clip folders, or folders of them (``jean.clips.corpus``).
        output: the run folder.
        config: of the stage.
        progress: receives messages, warnings and the progress.

    Returns:
        The errors of ``ExpressionStage.evaluate``, ``steps``, ``seconds``, the counts of the data,
        ``emotion_features``, ``variant``: "jean", or "d" if the features are not from an emotion network, and what the
        embeddings tell (``jean.train.expression.report``).

    Raises:
        UsageError: clips of several people and no person chosen.
        InputError: no sentence in two emotions, a clip without the features, or pairs that share nothing to take out.
        SetupError, ArtefactError, DivergedError, Interrupted: see ``jean.train.engine.loop.run``.
    """
    pairs = find_pairs(data, config, progress.warn)
    claim_run(output, pairs.clips(), data)
    warp = partial(fast_path, radius=config.radius) if config.dtw == "fast" else exact_path
    rows_of = sound_rows if config.align_on == "audio" else None
    train, description = pair_windows(pairs.train, pairs.features, config.window, warp, None, rows_of)
    validation, _ = pair_windows(pairs.validation, pairs.features, config.window, warp, description, rows_of)
    counts = {
        "train_pairs": len(pairs.train),
        "train_windows": len(train),
        "validation_pairs": len(pairs.validation),
        "refused_pairs": pairs.refused,
        "unchecked_pairs": pairs.unchecked,
        "validation_windows": len(validation),
        "clips": len(train.features),
    }
    progress.say(f"{pairs.features}: " + ", ".join(f"{value} {key.replace('_', ' ')}" for key, value in counts.items()))
    variant = "jean" if description["network"] else "d"
    if variant == "d":
        progress.warn(f"{pairs.features} are not from an emotion network: this is variant (d) of the paper.")
    spoken = _spoken(pairs, pairs.features) if config.erase_speech else ()
    stage = ExpressionStage(train, validation, config, torch.device(pick_device(config.device)), spoken)
    file = ARRAYS_FILE if pairs.features == BLENDSHAPES else EMOTION_FILE
    compared = fingerprint(config, pairs.clips(), file)
    meta = {
        "model": model_arguments(train, config),
        "emotion": description,
        "variant": variant,
        "person": pairs.person,
        "held_out": [clip.name for pair in pairs.validation for clip in pair],
        **counts,
    }
    result = run(stage, output, stage.schedule(), progress, config=compared, meta=meta)
    if not ranks.is_first():
        return result | counts | {"emotion_features": pairs.features, "variant": variant}
    model = load_expression_transformer(output, progress.warn).model
    report = shared_directions(disentangle(*aligned_embeddings(model, train)).correlations)
    report |= leak_report(pairs.clips(), model, pairs.features)
    for line in warnings(report):
        progress.warn(line)
    return result | counts | {"emotion_features": pairs.features, "variant": variant} | report
