"""A consumer of e_a and e_e for ``disentangle.py``: an MLP conditioned as F_Θ is, without a picture.

Linear probes say little about what a radiance field takes from e_e. This network has the field's layers (8 of 128,
the input joined again after the fifth) and its own audio encoder (AD-NeRF's), learned with it. From the sound and e_e
of one clip it learns that clip's true controls. Then it gets the sound of one clip with e_e of another: its mouth
should follow the sound, whatever the mouth of the other clip does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from disentangle_readers import slopes
from torch import Tensor, nn
from torch.nn import functional

from jean.metrics.mouth import correlation
from jean.models.audio_encoder import AudioEncoder
from jean.synthetic_speaker.controls import CONTROLS

AUDIO_WIDTH = 32
STEPS, BATCH = 500, 256
JAW = CONTROLS.index("jaw_open")


class Consumer(nn.Module):
    """e_in → controls.

    Args:
        rows, features: size of an audio window.
        vector_width: width of e_e.
    """

    def __init__(self, rows: int, features: int, vector_width: int):
        super().__init__()
        self.audio = AudioEncoder(features, rows, 64, 0.1)
        self.project = nn.Linear(64, AUDIO_WIDTH)
        width = AUDIO_WIDTH + vector_width
        self.layers = nn.ModuleList(
            nn.Linear(width if k == 0 else 128 + (width if k == 5 else 0), 128) for k in range(8)
        )
        self.out = nn.Linear(128, len(CONTROLS))

    def forward(self, audio: Tensor, vectors: Tensor) -> Tensor:
        """Controls [B, 21] of audio windows [B, rows, features] and e_e [B, width]."""
        condition = torch.cat([self.project(self.audio(audio)), vectors], 1)
        hidden = condition
        for k, layer in enumerate(self.layers):
            hidden = functional.relu(layer(torch.cat([hidden, condition], 1) if k == 5 else hidden))
        return self.out(hidden)


def crossed_mouth(
    train: Sequence[Any], pairs: Sequence[tuple[Any, Any]], embed: Callable[[Any], np.ndarray], seed: int = 0
) -> dict[str, float]:
    """Which mouth the consumer shows for crossed clips.

    Args:
        train: clips to learn from.
        pairs: (clip that gives e_e, clip that gives the sound).
        embed: e_e [T, W] of a clip.
        seed: of weights and batches.

    Returns:
        ``jaw ~ speech``: correlation of the predicted jaw with that of the sound's clip; ``slope on speech`` (1 is
        right) and ``slope on other's mouth`` (0 is right), of one regression on both.
    """
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    audio = torch.from_numpy(np.concatenate([_audio(clip) for clip in train]))
    vectors = np.concatenate([embed(clip) for clip in train])
    mean, std = vectors.mean(0), np.maximum(vectors.std(0), 1e-2 * vectors.std())
    inputs = torch.from_numpy(((vectors - mean) / std).astype(np.float32))
    targets = torch.from_numpy(np.concatenate([clip.arrays["expression"] for clip in train]).astype(np.float32))
    centre, scale = targets.mean(0), targets.std(0).clamp_min(0.02)
    model = Consumer(audio.shape[1], audio.shape[2], inputs.shape[1])
    optimiser = torch.optim.Adam(model.parameters(), lr=2e-3)
    for step in range(STEPS):
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * 0.1 ** (step / STEPS)
        rows = torch.from_numpy(random.integers(len(audio), size=BATCH))
        loss = (model(audio[rows], inputs[rows]) - (targets[rows] - centre) / scale).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.eval()
    tracks: list[list[np.ndarray]] = [[], [], []]
    for expression, speech in pairs:
        count = min(expression.frame_count, speech.frame_count)
        condition = torch.from_numpy(((embed(expression)[:count] - mean) / std).astype(np.float32))
        with torch.no_grad():
            shown = (model(torch.from_numpy(_audio(speech)[:count]), condition) * scale + centre).numpy()[:, JAW]
        asked, other = (clip.arrays["expression"][:count, JAW] for clip in (speech, expression))
        for track, values in zip(tracks, (shown, asked, other), strict=True):
            track.append(values - values.mean())
    shown, asked, other = map(np.concatenate, tracks)
    by_speech, by_other = slopes(shown, np.stack([asked, other], 1))
    return {
        "jaw ~ speech": correlation(shown, asked),
        "slope on speech": float(by_speech),
        "slope on other's mouth": float(by_other),
    }


def _audio(clip: Any) -> np.ndarray:
    return np.array(clip.audio_windows(clip.audio_name()), np.float32)
