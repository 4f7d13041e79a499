"""The response of a trained head's lips: how far they open in its pictures when an opening is asked for."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from jean.drivers.response import Curve, StoredResponse


class LipResponse(StoredResponse):
    """The response of a head to opening and width, cm; see ``jean.train.nerf.lip_response`` for the measurement."""

    FILE: ClassVar[str] = "lip_response.json"

    kind: Literal["lip_response"] = "lip_response"
    opening: Curve
    width: Curve

    def ask_for(self, lips: np.ndarray) -> np.ndarray:
        """Opening and width to ask for [T, 2], cm, so that ``lips`` [T, 2], cm, are rendered."""
        return np.stack([self.opening.ask_for(lips[:, 0]), self.width.ask_for(lips[:, 1])], 1)
