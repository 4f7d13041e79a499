"""Reads a trained head for rendering."""

from __future__ import annotations

from jean.checkpoint import Checkpoint
from jean.drivers.head_meta import check_head
from jean.environment import pick_device
from jean.errors import ArtefactError
from jean.models.head.registry import HEADS
from jean.models.talking_head import TalkingHead


def load_model(checkpoint: Checkpoint, device: str) -> TalkingHead:
    """Builds the trained head of a checkpoint, in evaluation mode.

    Args:
        checkpoint: of the stage ``train-nerf``.
        device: "auto", "cpu" or "cuda".

    Raises:
        ArtefactError: the checkpoint was made by another version of the model.
    """
    meta = check_head(checkpoint)
    if meta["model"]["preset"] not in HEADS:
        raise ArtefactError(
            f"{checkpoint.path} needs the head {meta['model']['preset']!r}, which is not installed.",
            "Install the package that provides it.",
        )
    try:
        model = TalkingHead.from_arguments(meta["model"])
        model.load_state_dict(checkpoint.module_state("model"))
    except (RuntimeError, ValueError, TypeError) as error:
        raise ArtefactError(
            f"{checkpoint.path} was made by another version of this program.", "Train it again with this version."
        ) from error
    return model.eval().to(pick_device(device))
