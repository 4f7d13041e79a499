"""Loads trained models from run folders."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from jean.checkpoint import Checkpoint, load_checkpoint
from jean.documents import validated
from jean.errors import ArtefactError
from jean.models.audio_encoder import AudioEncoder
from jean.models.expression_transformer import ExpressionTransformer
from jean.models.landmark_autoencoder import LandmarkAutoencoder
from jean.models.run_meta import STAGES, OtherMeta


@dataclass(frozen=True)
class StoredModel:
    """A trained model, frozen, in evaluation mode, on the CPU.

    Attributes:
        model: the module.
        meta: what its trainer stored about it: model arguments, feature extractors, tracker.
        hash: content hash of the checkpoint.
        checkpoint: the whole checkpoint.
    """

    model: Any
    meta: dict[str, Any]
    hash: str
    checkpoint: Checkpoint


def load_model(
    run: Path, stage: str, build: Callable[..., nn.Module], warn: Callable[[str], None] = warnings.warn
) -> StoredModel:
    """Loads the module "model" of a run's last checkpoint.

    Args:
        run: run folder.
        stage: name of the stage that trained it.
        build: class of the module. It is called with the arguments that the trainer stored as ``meta["model"]``.
        warn: receives warnings about damaged checkpoints.

    Raises:
        ArtefactError: ``run`` is no run of this stage, is damaged, or was written by another version.
    """
    checkpoint = load_checkpoint(run, stage=stage, warn=warn)
    meta = checkpoint.payload["meta"]
    validated(STAGES.get(stage, OtherMeta), meta, checkpoint.path, "Train it again with this version.")
    try:
        model = build(**meta["model"])
        model.load_state_dict(checkpoint.module_state("model"))
    except (TypeError, ValueError, RuntimeError) as error:
        raise ArtefactError(
            f"{checkpoint.path} was made by another version of this program.", "Train it again with this version."
        ) from error
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return StoredModel(model.eval(), meta, checkpoint.content_hash, checkpoint)


def load_landmark_autoencoder(run: Path, warn: Callable[[str], None] = warnings.warn) -> StoredModel:
    """Loads the landmark autoencoder of a run of ``train-landmarks``; see ``load_model``."""
    return load_model(run, "landmarks", LandmarkAutoencoder, warn)


def load_audio_encoder(run: Path, warn: Callable[[str], None] = warnings.warn) -> StoredModel:
    """Loads the audio encoder of a run of ``train-audio``; see ``load_model``."""
    return load_model(run, "audio", AudioEncoder, warn)


def load_expression_transformer(run: Path, warn: Callable[[str], None] = warnings.warn) -> StoredModel:
    """Loads the expression transformer of a run of ``train-expr``; see ``load_model``."""
    return load_model(run, "expression", ExpressionTransformer, warn)
