"""The lip prior: a small convolutional network from speech to lip parameters, the same for all speakers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from jean.lips.parameters import OPENING, PARAMETERS
from jean.lips.spectrum import BANDS, ROWS_HZ, Recording, mel_power, speaking

PRIOR_FILE = "prior.safetensors"  # in a run folder of train-lips: the trained prior, in half precision
BUILTIN = Path(__file__).with_name(PRIOR_FILE)
WIDTH = 128
# Dilation, rows back and rows ahead of each block. The output at a time depends on 180 ms of later sound, plus the
# 10 ms of the first layer and half a window: less than 0.2 s plus one row.
BLOCKS = ((1, 3, 3), (2, 3, 3), (4, 3, 2))
BACK, AHEAD = (1 + sum(dilation * rows[k] for dilation, *rows in BLOCKS) for k in (0, 1))  # rows an output depends on
PIECE_ROWS = 6000  # one minute: a longer sound is computed in pieces, so that memory does not grow with its length
PHONEMES = 40  # classes of the auxiliary output, see ``jean.train.lips.articulation``
BILABIALS = (15, 16, 17)  # of these classes: b, p and m
QUANTILES = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)  # at which ranges of lip parameters are compared
# Probabilities of p, b and m up to which the lips do not close, and from which they close entirely. A missed closure is
# seen at once, a needless one hardly.
UNLIKELY, LIKELY = 0.05, 0.3
HOLD_ROWS = 5  # for which a closure is held
SMOOTHING_S = 0.02  # standard deviation of the Gaussian over the predicted tracks


class _Block(nn.Module):
    """A residual block: a dilated convolution over time, batch normalisation, ReLU, and a pointwise convolution."""

    def __init__(self, width: int, dilation: int, back: int, ahead: int):
        super().__init__()
        self.padding = (back * dilation, ahead * dilation)
        self.wide = nn.Conv1d(width, width, back + ahead + 1, dilation=dilation)
        self.norm = nn.BatchNorm1d(width)
        self.point = nn.Conv1d(width, width, 1)

    def forward(self, values: Tensor) -> Tensor:
        wide = self.wide(nn.functional.pad(values, self.padding))
        return values + self.point(torch.relu(self.norm(wide)))


class LipPrior(nn.Module):
    """Predicts lip parameters from speech, 100 times per second.

    Args:
        dropout: probability of dropping a hidden unit after each block while training.
        width: channels of the blocks.
    """

    quantiles: Tensor

    def __init__(self, dropout: float = 0.0, width: int = WIDTH):
        super().__init__()
        self.first = nn.Conv1d(BANDS, width, 3, padding=1)
        self.blocks = nn.Sequential(*(nn.Sequential(_Block(width, *b), nn.Dropout(dropout)) for b in BLOCKS))
        self.hidden = nn.Conv1d(width, 64, 1)
        self.lips = nn.Conv1d(64, len(PARAMETERS), 1)
        self.phonemes = nn.Conv1d(width, PHONEMES, 1)
        # of each parameter over the speech that the prior was trained on, in its own unit
        self.register_buffer("quantiles", torch.zeros(len(PARAMETERS), len(QUANTILES)))

    def forward(self, spectrum: Tensor) -> tuple[Tensor, Tensor]:
        """Lip parameters [B, N, 5] and phoneme logits [B, N, P] of normalised spectra [B, N, 64]."""
        features = self.blocks(torch.relu(self.first(spectrum.transpose(1, 2))))
        lips = self.lips(torch.tanh(self.hidden(features)))
        return lips.transpose(1, 2), self.phonemes(features).transpose(1, 2)

    @torch.no_grad()
    def track(self, wave: np.ndarray) -> LipTrack:
        """The lips that go with a sound.

        Args:
            wave: mono, 16 kHz, [S] in [-1, 1].
        """
        self.eval()
        power = mel_power(wave)
        if not len(power):
            return LipTrack(np.zeros((1, len(PARAMETERS))), np.zeros(1, bool), self.quantiles.numpy())
        values, bilabial = self._in_pieces(power, Recording.of(power))
        general = self.quantiles.cpu().numpy()
        voice = speaking(power)
        closed = float(np.quantile(values[voice, OPENING], QUANTILES[0])) if voice.any() else float(general[OPENING, 0])
        values[:, OPENING] = _close(values[:, OPENING], bilabial, closed)
        return LipTrack(_smooth(values, SMOOTHING_S * ROWS_HZ), voice, general)

    def _in_pieces(self, power: np.ndarray, recording: Recording) -> tuple[np.ndarray, np.ndarray]:
        """Lip parameters [N, 5] and probability of a bilabial [N] of mel power [N, 64], float64.

        Every piece takes the rows around it that its values depend on, so that the pieces have no seams.
        """
        lips, bilabial = np.empty((len(power), len(PARAMETERS))), np.empty(len(power))
        for start in range(0, len(power), PIECE_ROWS):
            stop, first = min(start + PIECE_ROWS, len(power)), max(start - BACK, 0)
            spectrum = recording.normalise(power[first : stop + AHEAD])
            rows = torch.from_numpy(spectrum)[None].to(self.quantiles.device)
            values, logits = (output[0, start - first : stop - first] for output in self(rows))
            lips[start:stop] = values.double().cpu().numpy()
            bilabial[start:stop] = logits.softmax(-1)[:, list(BILABIALS)].sum(-1).double().cpu().numpy()
        return lips, bilabial


@dataclass(frozen=True)
class LipTrack:
    """Predicted lips over time.

    Attributes:
        values: [N, 5], ``PARAMETERS`` in the prior's unit, row n at n / 100 s.
        speaking: bool [N], whether somebody speaks.
        quantiles: [5, K], the range of each parameter in general speech, at ``QUANTILES``.
    """

    values: np.ndarray
    speaking: np.ndarray
    quantiles: np.ndarray

    def speaks_at(self, times_s: np.ndarray) -> np.ndarray:
        """Whether somebody speaks at times [T], s: bool [T]."""
        rows = np.clip(np.round(times_s * ROWS_HZ).astype(int), 0, len(self.speaking) - 1)
        return np.asarray(self.speaking[rows])

    def at(self, times_s: np.ndarray) -> np.ndarray:
        """The values at times [T], s: [T, 5]."""
        rows = np.arange(len(self.values)) / ROWS_HZ
        return np.stack([np.interp(times_s, rows, column) for column in self.values.T], 1)


def load_prior(path: Path | None = None) -> LipPrior:
    """The lip prior in evaluation mode, on the CPU.

    Args:
        path: a safetensors file; None for the one that comes with the package.

    Raises:
        ArtefactError: the file is missing, damaged, or no lip prior.
    """
    from jean.errors import ArtefactError
    from jean.weights.tensors import read_tensors

    weights = {name: value.float() for name, value in read_tensors(path or BUILTIN).items()}
    prior = LipPrior(width=len(weights.get("first.bias", ())) or WIDTH)
    try:
        prior.load_state_dict(weights)
    except RuntimeError as error:
        raise ArtefactError(f"{path or BUILTIN} holds no lip prior.", "Train one with: jean train-lips") from error
    return prior.eval()


def _close(opening: np.ndarray, bilabial: np.ndarray, closed: float) -> np.ndarray:
    """The opening [N], ``closed`` where a bilabial is likely, held long enough for one frame of a video to show it.

    Args:
        opening: predicted [N].
        bilabial: probability of p, b or m [N].
        closed: opening of closed lips.
    """
    from scipy.ndimage import maximum_filter1d

    likely = maximum_filter1d(_smooth(bilabial, 1.0), HOLD_ROWS)
    share = np.clip((likely - UNLIKELY) / (LIKELY - UNLIKELY), 0, 1)
    return np.asarray(opening - share * np.maximum(opening - closed, 0))


def _smooth(values: np.ndarray, std_rows: float) -> np.ndarray:
    from scipy.ndimage import gaussian_filter1d

    smooth = partial(gaussian_filter1d, sigma=std_rows, axis=0, mode="nearest")
    return np.asarray(smooth(values))
