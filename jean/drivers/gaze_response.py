"""The response of a trained head's gaze: where its rendered eyes look when a gaze is asked for.

A person who looks at the camera turns the eyes against every turn of the head. The training frames then explain a part
of the gaze by the turn, and the head learns eyes that follow the camera, like those of a mask with hollow eyes. So the
response has two parts: a curve over the asked gaze, and a shift with the turn of the head.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from jean.drivers.response import Curve, StoredResponse

LEAST_SLOPE = 0.2  # a gaze that is asked for five times as far still looks like an eye; measured on three heads


class AxisResponse(BaseModel):
    """The response along one axis, degrees.

    Attributes:
        curve: rendered against asked gaze at the mean turn of the head.
        with_turn: how far the rendered gaze moves when the gaze that meets the camera moves by one degree.
        mean_turn_deg: the mean gaze that meets the camera.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    curve: Curve
    with_turn: Annotated[float, Field(ge=-2, le=2)]
    mean_turn_deg: Annotated[float, Field(ge=-90, le=90)]

    def ask_for(self, wanted: np.ndarray, to_camera: np.ndarray) -> np.ndarray:
        """Gaze to ask for so that ``wanted`` is rendered where ``to_camera`` meets the camera; all [T], degrees."""
        shift = self.with_turn * (to_camera - self.mean_turn_deg)
        return self.curve.ask_for(wanted - shift, LEAST_SLOPE)


class GazeResponse(StoredResponse):
    """The response of a head to gaze; see ``jean.train.nerf.gaze_response`` for the measurement."""

    FILE: ClassVar[str] = "gaze_response.json"

    kind: Literal["gaze_response"] = "gaze_response"
    across: AxisResponse
    down: AxisResponse

    def ask_for(self, gaze: np.ndarray, to_camera: np.ndarray) -> np.ndarray:
        """Gaze to ask for so that ``gaze`` is rendered.

        Args:
            gaze: wanted gaze to the right and down [T, 2], degrees.
            to_camera: gaze that meets the camera [T, 2], degrees (``jean.drivers.eyes.camera_gaze``).

        Returns:
            [T, 2], degrees: the nearest that the head reaches.
        """
        axes = (self.across, self.down)
        return np.stack([axis.ask_for(gaze[:, k], to_camera[:, k]) for k, axis in enumerate(axes)], 1)
