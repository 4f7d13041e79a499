"""The response of a trained head: what its pictures show of a value that is asked for.

A head blurs what barely moves and cannot go further than it has seen, so its response is no straight line of slope one.
``train-nerf`` measures it and stores it with the run (``jean.train.nerf.response``); rendering asks for what gives the
wanted value.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from jean.checkpoint import Checkpoint
from jean.documents import validated
from jean.integrity import read_sealed, write_sealed

REACHED = 0.97  # of the range of the response: who asks for more than gives this only breaks the face
LEAST_SLOPE = 0.5  # of the response: where the face hardly responds, asking for more only amplifies noise
_REMEDY = "Delete it and run the same train-nerf command again."

Track = Annotated[list[float], Field(min_length=2, max_length=1000)]


class Curve(BaseModel):
    """Rendered against asked values of one parameter, both in its unit."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    asked: Track
    rendered: Track

    @model_validator(mode="after")
    def _monotone(self) -> Curve:
        if len(self.asked) != len(self.rendered) or not (np.diff(self.asked) > 0).all():
            raise ValueError("the asked values must increase, with one rendered value for each")
        return self

    def ask_for(self, wanted: np.ndarray, least_slope: float = LEAST_SLOPE) -> np.ndarray:
        """What to ask for so that ``wanted`` [T] is rendered; the nearest that the curve reaches.

        Args:
            wanted: values to be rendered.
            least_slope: of the response that is inverted: where it rises less, it counts as rising so much.

        >>> Curve(asked=[0.0, 1.0, 2.0], rendered=[0.0, 0.5, 2.5]).ask_for(np.array([0.25, 1.5, 9.0])).tolist()
        [0.5, 1.5, 2.0]
        """
        asked, rendered = np.array(self.asked), np.array(self.rendered)
        full = rendered.min() + REACHED * np.ptp(rendered)
        end = max(2, int(np.argmax(rendered >= full)) + 1)
        return np.interp(wanted, _increasing(asked[:end], rendered[:end], least_slope), asked[:end])


class StoredResponse(BaseModel):
    """A measured response, stored as one sealed document in the run folder."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    FILE: ClassVar[str]  # in the run folder

    format: Literal[1] = 1
    checkpoint: str = Field(description="Hex sha256 of the weights that were measured.")
    tracker: str = Field(description="The tracker that measured the faces.")

    def write(self, folder: Path) -> None:
        """Writes it into a run folder."""
        write_sealed(folder / self.FILE, self.model_dump())

    @classmethod
    def read(cls, checkpoint: Checkpoint) -> Self | None:
        """The response of a run; None where none was measured for the weights of ``checkpoint``.

        Raises:
            ArtefactError: the stored file is damaged.
        """
        path = checkpoint.path.parents[1] / cls.FILE
        if not path.is_file():
            return None
        response = validated(cls, read_sealed(path), path, _REMEDY)
        return response if response.checkpoint == checkpoint.content_hash else None


def _increasing(asked: np.ndarray, rendered: np.ndarray, least_slope: float) -> np.ndarray:
    """The nearest values to ``rendered`` [K], about, that rise by at least ``least_slope`` times the rise of asked."""
    least = least_slope * asked
    from_left = np.maximum.accumulate(rendered - least)
    from_right = np.minimum.accumulate((rendered - least)[::-1])[::-1]
    return np.asarray((from_left + from_right) / 2 + least)
