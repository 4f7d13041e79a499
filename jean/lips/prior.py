"""The lip prior: a small convolutional network from speech to lip parameters, the same for all speakers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from jean.lips.inputs import PriorInput, SpectrumInput, input_of
from jean.lips.parameters import OPENING, PARAMETERS
from jean.lips.spectrum import ROWS_HZ, mel_power, speaking

PRIOR_FILE = "prior.safetensors"  # in a run folder of train-lips: the trained prior, in half precision
BUILTIN = Path(__file__).with_name(PRIOR_FILE)
WIDTH = 128
# Dilation, rows back and rows ahead of each block. The output at a time depends on 180 ms of later rows, plus the 10 ms
# of the first layer. Half a window of the spectrum comes on top: less than 0.2 s plus one row.
BLOCKS = ((1, 3, 3), (2, 3, 3), (4, 3, 2))
BACK, AHEAD = (1 + sum(dilation * rows[k] for dilation, *rows in BLOCKS) for k in (0, 1))  # rows an output depends on
PIECE_ROWS = 6000  # one minute: a longer sound is computed in pieces, so that memory does not grow with its length
PHONEMES = 40  # classes of the auxiliary output, see ``jean.train.lips.articulation``
BILABIALS = (15, 16, 17)  # of these classes: b, p and m
QUANTILES = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)  # at which ranges of lip parameters are compared
# The lips close where the probability of p, b or m has a peak: not at one of 0.02, entirely from 0.08 on. A missed
# closure is seen at once, a needless one hardly.
UNLIKELY, LIKELY = 0.02, 0.08
APART_ROWS = 4  # by which peaks are apart
HOLD_ROWS = 4  # for which a closure is held: one frame of a video at 25 per second
EDGE_ROWS = 0.7  # standard deviation of the Gaussian over the edges of a closure
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


class Standardise(nn.Module):
    """Subtracts a mean [D] from the last dimension, and divides by a standard deviation [D]."""

    mean: Tensor
    std: Tensor

    def __init__(self, width: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("std", torch.ones(width))

    def forward(self, values: Tensor) -> Tensor:
        """Standardised values [..., D]."""
        return (values - self.mean) / self.std


class LipPrior(nn.Module):
    """Predicts lip parameters from speech, 100 times per second.

    Args:
        dropout: probability of dropping a hidden unit after each block while training.
        width: channels of the blocks.
        source: what it reads of a sound; None for the spectrum.
    """

    quantiles: Tensor

    def __init__(self, dropout: float = 0.0, width: int = WIDTH, source: PriorInput | None = None):
        super().__init__()
        self.source: PriorInput = source or SpectrumInput()
        self.standard = nn.Identity() if self.source.standardised else Standardise(self.source.width)
        self.first = nn.Conv1d(self.source.width, width, 3, padding=1)
        self.blocks = nn.Sequential(*(nn.Sequential(_Block(width, *b), nn.Dropout(dropout)) for b in BLOCKS))
        self.hidden = nn.Conv1d(width, 64, 1)
        self.lips = nn.Conv1d(64, len(PARAMETERS), 1)
        self.phonemes = nn.Conv1d(width, PHONEMES, 1)
        # of each parameter over the speech that the prior was trained on, in its own unit
        self.register_buffer("quantiles", torch.zeros(len(PARAMETERS), len(QUANTILES)))

    def standardise(self, mean: np.ndarray, std: np.ndarray) -> None:
        """Sets mean and standard deviation [D] of the rows of an input that is not standardised already."""
        assert isinstance(self.standard, Standardise)
        self.standard.mean.copy_(torch.from_numpy(mean))
        self.standard.std.copy_(torch.from_numpy(std))

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Lip parameters [B, N, 5] and phoneme logits [B, N, P] of rows [B, N, D] of the input."""
        features = self.blocks(torch.relu(self.first(self.standard(rows).transpose(1, 2))))
        lips = self.lips(torch.tanh(self.hidden(features)))
        return lips.transpose(1, 2), self.phonemes(features).transpose(1, 2)

    def track(self, wave: np.ndarray) -> LipTrack:
        """The lips that go with a sound.

        Args:
            wave: mono, 16 kHz, [S] in [-1, 1].

        Raises:
            UsageError, SetupError, ArtefactError: the features that the prior reads cannot be computed here.
        """
        power = mel_power(wave)
        if not len(power):
            return LipTrack(
                np.zeros((1, len(PARAMETERS))), np.zeros(1, bool), self.quantiles.cpu().numpy(), np.zeros(1)
            )
        return self.track_rows(self.source.rows(wave, power), speaking(power))

    def track_rows(self, rows: np.ndarray, voice: np.ndarray) -> LipTrack:
        """The lips that go with rows [N, D] of the input, N ≥ 1; ``voice`` says where somebody speaks, bool [N]."""
        values, bilabial = np.empty((len(rows), len(PARAMETERS))), np.empty(len(rows))
        for start, lips, phonemes in self.in_pieces(rows):
            values[start : start + len(lips)] = lips
            bilabial[start : start + len(lips)] = phonemes[:, list(BILABIALS)].sum(-1)
        general = self.quantiles.cpu().numpy()
        closed = float(np.quantile(values[voice, OPENING], QUANTILES[0])) if voice.any() else float(general[OPENING, 0])
        values, closing = _smooth(values, SMOOTHING_S * ROWS_HZ), closures(bilabial)
        values[:, OPENING] -= closing * np.maximum(values[:, OPENING] - closed, 0)  # closures are faster than vowels
        return LipTrack(values, voice, general, closing)

    @torch.no_grad()
    def in_pieces(self, rows: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """What the network predicts for rows [N, D], without further rules, piece by piece.

        Every piece takes the rows around it that its values depend on, so that the pieces have no seams.

        Yields:
            Number of the first row, lip parameters [n, 5] and probabilities of the phonemes [n, P] of each piece.
        """
        self.eval()
        for start in range(0, len(rows), PIECE_ROWS):
            stop, first = min(start + PIECE_ROWS, len(rows)), max(start - BACK, 0)
            piece = torch.from_numpy(rows[first : stop + AHEAD])[None].to(self.quantiles.device)
            lips, logits = (output[0, start - first : stop - first] for output in self(piece))
            yield start, lips.double().cpu().numpy(), logits.softmax(-1).double().cpu().numpy()


@dataclass(frozen=True)
class LipTrack:
    """Predicted lips over time.

    Attributes:
        values: [N, 5], ``PARAMETERS`` in the prior's unit, row n at n / 100 s.
        speaking: bool [N], whether somebody speaks.
        quantiles: [5, K], the range of each parameter in general speech, at ``QUANTILES``.
        closing: [N], how far p, b or m close the lips, 0 to 1; ``values`` are closed already.
    """

    values: np.ndarray
    speaking: np.ndarray
    quantiles: np.ndarray
    closing: np.ndarray

    def speaks_at(self, times_s: np.ndarray) -> np.ndarray:
        """Whether somebody speaks at times [T], s: bool [T]."""
        rows = np.clip(np.round(times_s * ROWS_HZ).astype(int), 0, len(self.speaking) - 1)
        return np.asarray(self.speaking[rows])

    def at(self, times_s: np.ndarray) -> np.ndarray:
        """The values at times [T], s: [T, 5]."""
        rows = np.arange(len(self.values)) / ROWS_HZ
        return np.stack([np.interp(times_s, rows, column) for column in self.values.T], 1)

    def closing_at(self, times_s: np.ndarray) -> np.ndarray:
        """How far p, b or m close the lips at times [T], s: [T]."""
        return np.interp(times_s, np.arange(len(self.closing)) / ROWS_HZ, self.closing)


def prior_of_run(run: Path) -> Path:
    """The prior's file in a run of train-lips.

    Raises:
        InputError: there is none.
    """
    from jean.errors import InputError

    path = run / PRIOR_FILE
    if not path.is_file():
        raise InputError(f"{run} holds no lip prior.", "Give a finished run of train-lips.")
    return path


def load_prior(path: Path | None = None) -> LipPrior:
    """The lip prior in evaluation mode, on the CPU.

    Args:
        path: a safetensors file; None for the one that comes with the package.

    Raises:
        ArtefactError: the file is missing, damaged, or no lip prior.
    """
    from jean.errors import ArtefactError
    from jean.weights.tensors import read_metadata, read_tensors

    file = path or BUILTIN
    weights = {name: value.float() for name, value in read_tensors(file).items()}
    prior = LipPrior(width=len(weights.get("first.bias", ())) or WIDTH, source=input_of(file, read_metadata(file)))
    try:
        prior.load_state_dict(weights)
    except RuntimeError as error:
        raise ArtefactError(f"{file} holds no lip prior.", "Train one with: jean train-lips") from error
    return prior.eval()


def save_prior(path: Path, state: Mapping[str, Tensor], source: PriorInput) -> None:
    """Writes a lip prior, its weights in half precision.

    Args:
        path: the safetensors file.
        state: state of the network.
        source: what it reads.
    """
    from jean.files import write_safetensors

    tensors = {name: value if name.startswith("standard.") else value.half() for name, value in state.items()}
    write_safetensors(path, tensors, source.metadata() or None)


def closures(bilabial: np.ndarray) -> np.ndarray:
    """How far the lips close, 0 to 1 [N], where a bilabial is likely; held for one frame of a video.

    Args:
        bilabial: probability of p, b or m [N].
    """
    from scipy.ndimage import maximum_filter1d

    likely = _smooth(bilabial, 1.0)
    peaks = likely >= maximum_filter1d(likely, 2 * APART_ROWS + 1) - 1e-9
    closing = np.clip((likely - UNLIKELY) / (LIKELY - UNLIKELY), 0, 1) * peaks
    return _smooth(maximum_filter1d(closing, HOLD_ROWS), EDGE_ROWS)


def _smooth(values: np.ndarray, std_rows: float) -> np.ndarray:
    from scipy.ndimage import gaussian_filter1d

    smooth = partial(gaussian_filter1d, sigma=std_rows, axis=0, mode="nearest")
    return np.asarray(smooth(values))
