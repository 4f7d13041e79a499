"""A trained head, read back to be driven."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from jean.checkpoint import Checkpoint
from jean.environment import pick_device
from jean.errors import ArtefactError
from jean.models.talking_head import TalkingHead


def load_model(checkpoint: Checkpoint, device: str) -> TalkingHead:
    """The trained head, ready to render.

    Raises:
        ArtefactError: the checkpoint was made by another version of the model.
    """
    arguments = checkpoint.payload["meta"]["model"]
    model = TalkingHead(**arguments)
    state = dict(checkpoint.module_state("model"))
    state.pop("expression_range", None)  # runs from before the support limit clamped each coefficient
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise ArtefactError(
            f"{checkpoint.path} was made by another version of this program.", "Train it again with this version."
        ) from error
    return model.eval().to(pick_device(device))


def load_embedder(checkpoint: Checkpoint) -> Callable[[np.ndarray], np.ndarray]:
    """e_e [T, 64] of a track of emotion features, by the transformer that the head was trained with."""
    from jean.models.expression_transformer import ExpressionTransformer

    model = ExpressionTransformer(**checkpoint.payload["meta"]["expression_source"]["model"])
    model.load_state_dict(checkpoint.module_state("expression_transformer"))
    model.eval()
    return lambda track: model.embed_track(track)[1]
