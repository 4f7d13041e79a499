"""Inputs of a lip prior: the log-mel spectrum, or the rows of any registered audio feature, 100 times per second."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from jean.documents import parse_object, validated
from jean.errors import ArtefactError
from jean.features import registry
from jean.features.base import AudioFeatures
from jean.lips.spectrum import BANDS, ROWS_HZ, Recording
from jean.row_file import in_blocks

_KEY = "lip_prior"  # of the metadata in the file's header
_REMEDY = "Train it again: jean train-lips"


class PriorInput(Protocol):
    """What a lip prior reads of a sound.

    Attributes:
        width: D, values per row.
        standardised: whether rows have a mean near 0 and a standard deviation near 1 already.
    """

    width: int
    standardised: bool

    def rows(self, wave: np.ndarray, power: np.ndarray) -> np.ndarray:
        """Rows float32 [N, D] of a sound, row n at n / 100 s.

        Args:
            wave: mono, 16 kHz, [S] in [-1, 1].
            power: its mel power [N, 64], from ``jean.lips.spectrum.mel_power``.
        """
        ...

    def metadata(self) -> dict[str, str]:
        """What the header of a prior's file says, so that ``input_of`` gives this input again."""
        ...


class SpectrumInput:
    """The normalised log-mel spectrum. It depends on little of the sound around a row, and needs no weights."""

    width = BANDS
    standardised = True

    def rows(self, wave: np.ndarray, power: np.ndarray) -> np.ndarray:
        """See ``PriorInput``. Rows of a long sound lie in an unnamed file, see ``jean.row_file``."""
        if not len(power):
            return np.zeros((0, BANDS), np.float32)
        return in_blocks(Recording.of(power).normalise, power)

    def metadata(self) -> dict[str, str]:
        """Nothing."""
        return {}


class FeatureFacts(BaseModel):
    """What a file says about the features that a prior reads."""

    model_config = ConfigDict(extra="forbid", strict=True)

    features: str = Field(min_length=1, description="Name of the audio features.")
    version: str = Field(description="Their version.")
    width: int = Field(ge=1, le=1_000_000, description="Values per row.")


class FeatureInput:
    """The rows of an audio feature, interpolated to 100 per second.

    Args:
        facts: name, version and width of the features.
    """

    standardised = False

    def __init__(self, facts: FeatureFacts):
        self.facts = facts
        self.width = facts.width

    @classmethod
    def of(cls, extractor: AudioFeatures) -> FeatureInput:
        """The input that reads the features of an extractor."""
        source = cls(FeatureFacts(features=extractor.name, version=str(extractor.version), width=int(extractor.width)))
        source.extractor = extractor
        return source

    @cached_property
    def extractor(self) -> AudioFeatures:
        """The extractor, loaded at its first use.

        Raises:
            UsageError, SetupError: it is unknown, or its package or weights are missing.
            ArtefactError: another version or width is installed than the prior was trained with.
        """
        found: AudioFeatures = registry.create_version("audio", self.facts.features, self.facts.version, "lip prior")
        if found.width != self.width:
            message = f"the lip prior reads {self.width} values per row; {found.name} has {found.width}."
            raise ArtefactError(message, _REMEDY)
        return found

    def rows(self, wave: np.ndarray, power: np.ndarray) -> np.ndarray:
        """See ``PriorInput``. The features themselves are in memory; their interpolated rows are as in the spectrum."""
        extracted = self.extractor.extract(np.asarray(wave, np.float32))
        return at_rows_hz(extracted, self.extractor.rate_hz, len(power))

    def metadata(self) -> dict[str, str]:
        """The facts as JSON."""
        return {_KEY: json.dumps(self.facts.model_dump())}


def at_rows_hz(values: np.ndarray, rate_hz: float, count: int) -> np.ndarray:
    """Rows float32 [N, D] at 100 per second of rows [M, D] at ``rate_hz``, by linear interpolation; ``count`` is N.

    Example:
        >>> at_rows_hz(np.array([[0.0], [1.0]]), 50.0, 4)[:, 0].tolist()
        [0.0, 0.5, 1.0, 1.0]
    """

    def between(positions: np.ndarray) -> np.ndarray:
        low = positions.astype(int)
        fraction = (positions - low).astype(np.float32)[:, None]
        after = values[np.minimum(low + 1, len(values) - 1)].astype(np.float32)
        return np.asarray(values[low].astype(np.float32) * (1 - fraction) + after * fraction)

    return in_blocks(between, np.minimum(np.arange(count) * (rate_hz / ROWS_HZ), len(values) - 1))


def input_of(path: Path, metadata: Mapping[str, str]) -> PriorInput:
    """The input that the header of a prior's file describes; the spectrum if it describes none.

    Args:
        path: the file, for messages.
        metadata: of its header.

    Raises:
        ArtefactError: the description is malformed.
    """
    if _KEY not in metadata:
        return SpectrumInput()
    try:
        document = parse_object(metadata[_KEY])
    except ValueError as error:
        raise ArtefactError(f"{path} does not say what its lip prior reads.", _REMEDY) from error
    return FeatureInput(validated(FeatureFacts, document, path, _REMEDY))
