"""Trained models read back from run folders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from jean.checkpoint import Checkpoint, load_checkpoint
from jean.errors import ArtefactError
from jean.models.audio_encoder import AudioEncoder
from jean.models.expression_transformer import ExpressionTransformer
from jean.models.landmark_autoencoder import LandmarkAutoencoder


@dataclass(frozen=True)
class Stored:
    """A trained model, frozen, in evaluation mode, on the CPU.

    Attributes:
        model: the module.
        meta: what its trainer wrote beside it: widths, extractors, tracker.
        hash: of the weights.
        checkpoint: the whole of it.
    """

    model: Any
    meta: dict[str, Any]
    hash: str
    checkpoint: Checkpoint


def _load(run: Path, stage: str, build: Callable[..., nn.Module], warn: Callable[[str], None] | None) -> Stored:
    checkpoint = load_checkpoint(run, stage=stage, **({"warn": warn} if warn else {}))
    meta = checkpoint.payload["meta"]
    try:
        model = build(**meta["model"])
        model.load_state_dict(checkpoint.module_state("model"))
    except (TypeError, KeyError, RuntimeError) as error:
        raise ArtefactError(
            f"{checkpoint.path} was made by another version of this program.", "Train it again with this version."
        ) from error
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return Stored(model.eval(), meta, checkpoint.content_hash, checkpoint)


def load_landmark_autoencoder(run: Path, warn: Callable[[str], None] | None = None) -> Stored:
    """What ``train-landmarks`` learned.

    Raises:
        ArtefactError: ``run`` is no such run, is damaged, or was made by another version.
    """
    return _load(run, "landmarks", LandmarkAutoencoder, warn)


def load_audio_encoder(run: Path, warn: Callable[[str], None] | None = None) -> Stored:
    """What ``train-audio`` learned.

    Raises:
        ArtefactError: ``run`` is no such run, is damaged, or was made by another version.
    """
    return _load(run, "audio", AudioEncoder, warn)


def load_expression_transformer(run: Path, warn: Callable[[str], None] | None = None) -> Stored:
    """What ``train-expr`` learned.

    Raises:
        ArtefactError: ``run`` is no such run, is damaged, or was made by another version.
    """
    return _load(run, "expression", ExpressionTransformer, warn)
