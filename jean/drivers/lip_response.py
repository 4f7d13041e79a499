"""The response of a trained head's lips: how far they open in its pictures when an opening is asked for.

A head blurs lips that barely part and cannot open them further than it has seen. Its response is therefore no straight
line. ``train-nerf`` measures it and stores it with the run; rendering asks for what gives the wanted lips.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from jean.checkpoint import Checkpoint
from jean.documents import validated
from jean.integrity import read_sealed, write_sealed

FILE = "lip_response.json"  # in the run folder
REACHED = 0.97  # of the range of the response: who asks for more than gives this only breaks the mouth
LEAST_SLOPE = 0.5  # of the response: where the lips hardly respond, asking for more only amplifies noise
_REMEDY = "Delete it and run the same train-nerf command again."

Track = Annotated[list[float], Field(min_length=2, max_length=1000)]


class Curve(BaseModel):
    """Rendered against asked values of one lip parameter, cm."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    asked: Track
    rendered: Track

    @model_validator(mode="after")
    def _monotone(self) -> Curve:
        if len(self.asked) != len(self.rendered) or not (np.diff(self.asked) > 0).all():
            raise ValueError("the asked values must increase, with one rendered value for each")
        return self

    def ask_for(self, wanted: np.ndarray) -> np.ndarray:
        """What to ask for so that ``wanted`` [T] is rendered; the nearest that the curve reaches.

        >>> Curve(asked=[0.0, 1.0, 2.0], rendered=[0.0, 0.5, 2.5]).ask_for(np.array([0.25, 1.5, 9.0])).tolist()
        [0.5, 1.5, 2.0]
        """
        asked, rendered = np.array(self.asked), np.array(self.rendered)
        full = rendered.min() + REACHED * np.ptp(rendered)
        end = max(2, int(np.argmax(rendered >= full)) + 1)
        return np.interp(wanted, _increasing(asked[:end], rendered[:end]), asked[:end])


class LipResponse(BaseModel):
    """The response of a head to opening and width; see ``jean.train.nerf.lip_response`` for the measurement."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    kind: Literal["lip_response"] = "lip_response"
    format: Literal[1] = 1
    checkpoint: str = Field(description="Hex sha256 of the weights that were measured.")
    tracker: str = Field(description="The tracker that measured the lips.")
    opening: Curve
    width: Curve

    def ask_for(self, lips: np.ndarray) -> np.ndarray:
        """Opening and width to ask for [T, 2], cm, so that ``lips`` [T, 2], cm, are rendered."""
        return np.stack([self.opening.ask_for(lips[:, 0]), self.width.ask_for(lips[:, 1])], 1)

    def write(self, folder: Path) -> None:
        """Writes it into a run folder."""
        write_sealed(folder / FILE, self.model_dump())

    @classmethod
    def read(cls, checkpoint: Checkpoint) -> LipResponse | None:
        """The response of a run; None where none was measured for the weights of ``checkpoint``.

        Raises:
            ArtefactError: the stored file is damaged.
        """
        path = checkpoint.path.parents[1] / FILE
        if not path.is_file():
            return None
        response = validated(cls, read_sealed(path), path, _REMEDY)
        return response if response.checkpoint == checkpoint.content_hash else None


def _increasing(asked: np.ndarray, rendered: np.ndarray) -> np.ndarray:
    """The nearest values to ``rendered`` [K], about, that rise by at least ``LEAST_SLOPE`` times the rise of asked."""
    least = LEAST_SLOPE * asked
    from_left = np.maximum.accumulate(rendered - least)
    from_right = np.minimum.accumulate((rendered - least)[::-1])[::-1]
    return np.asarray((from_left + from_right) / 2 + least)
