"""The file of a motion model: half-precision weights and what a reader has to know, in one safetensors file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from jean.clips.meta import ExpressionSpec, ExtractorSpec
from jean.drivers.motion_sound import WIDTH as SOUND_WIDTH
from jean.drivers.motion_vector import LIPS, WIDTH, MotionBasis
from jean.errors import ArtefactError, InputError
from jean.files import write_safetensors
from jean.models.motion_flow import MotionFlow
from jean.models.motion_network import MotionNetwork, MotionSizes
from jean.models.motion_recurrent import MotionRecurrent

MOTION_FILE = "motion.safetensors"  # in a run folder of train-motion
BUILTIN = Path(__file__).with_name("motion_prior.safetensors")
BUILTIN_NAME = "builtin"
FORMAT = 2
_KEY = "motion"  # of the metadata in the file's header
_BASIS = ("face_mean", "face_axes", "face_dual", "lip_mean", "lip_axes", "lip_dual")


class NetworkSizes(BaseModel):
    """Kind of a network, and its ``MotionSizes`` within the bounds of this version."""

    model_config = ConfigDict(extra="forbid", strict=True)

    kind: Literal["flow", "recurrent"] = Field(description="Flow matching over windows, or frame after frame.")

    width: int = Field(ge=WIDTH, le=WIDTH)
    lips: int = Field(ge=LIPS, le=LIPS)
    sound: int = Field(ge=SOUND_WIDTH, le=SOUND_WIDTH)
    emotions: int = Field(ge=0, le=1000)
    hidden: int = Field(ge=8, le=4096)
    layers: int = Field(ge=1, le=100)
    heads: int = Field(ge=1, le=64)
    expressions: int = Field(ge=0, le=10_000)

    def build(self) -> MotionNetwork:
        """A network of this kind and these sizes."""
        sizes = MotionSizes(**self.model_dump(exclude={"kind"}))
        return MotionFlow(sizes) if self.kind == "flow" else MotionRecurrent(sizes)


class MotionFacts(BaseModel):
    """What the file says besides the weights."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    format: int = Field(ge=FORMAT, le=FORMAT, description="Version of the file's format.")
    network: NetworkSizes = Field(description="Kind and sizes of the network.")
    emotions: list[str] = Field(description="Names of the emotions besides neutral, in the order of the network.")
    tracker: ExtractorSpec = Field(description="Tracker of the corpus.")
    expression: ExpressionSpec = Field(description="Expression coefficients of the corpus.")
    focal: float = Field(gt=0, le=100, description="Focal length over the frame's side, of the corpus.")
    people: int = Field(ge=1, description="People in the training.")
    synthetic: bool = Field(description="Whether the corpus is of the synthetic speaker.")


@dataclass(frozen=True)
class MotionModel:
    """A motion model in evaluation mode, on the CPU.

    Attributes:
        path: its file.
        network: the network.
        basis: maps between motion vectors and landmark offsets.
        facts: emotions, tracker and expression coefficients.
    """

    path: Path
    network: MotionNetwork
    basis: MotionBasis
    facts: MotionFacts

    @property
    def emotions(self) -> list[str]:
        """Names of the emotions besides neutral."""
        return self.facts.emotions


def motion_path(name: str | Path) -> Path:
    """The file of the motion model that a user names: "builtin", or a finished run of train-motion.

    Raises:
        InputError: there is no such model.
    """
    if str(name) == BUILTIN_NAME and not Path(name).exists():
        return BUILTIN
    path = Path(name) / MOTION_FILE
    if not path.is_file():
        raise InputError(f"{name} holds no motion model.", "Use builtin, a finished run of train-motion, or a clip.")
    return path


def save_motion_model(path: Path, state: dict[str, torch.Tensor], facts: MotionFacts) -> None:
    """Writes a motion model.

    Args:
        path: the file.
        state: state of the network.
        facts: what the file says besides.
    """
    half = {name: value.detach().cpu().half() for name, value in state.items()}
    write_safetensors(path, half, {_KEY: json.dumps(facts.model_dump(mode="json", exclude_none=True))})


def load_motion_model(path: Path) -> MotionModel:
    """Reads a motion model.

    Raises:
        ArtefactError: the file is missing, damaged, or no motion model of this version.
    """
    from safetensors import SafetensorError, safe_open

    remedy = "Train it again: jean train-motion"
    try:
        with safe_open(str(path), "pt") as file:
            state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 - no iterator there
            described: Any = json.loads(dict(file.metadata() or {})[_KEY])
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise ArtefactError(f"{path} is missing, damaged, or no motion model.", remedy) from error
    try:
        facts = MotionFacts.model_validate(described)
        network = facts.network.build()
        network.load_state_dict(state)
        if len(facts.emotions) != facts.network.emotions or len(facts.expression.names) != facts.network.expressions:
            raise ValueError("names and sizes differ")
        if not all(bool(torch.isfinite(value).all()) for value in state.values()):
            raise ValueError("a weight is not finite")
    except (ValidationError, RuntimeError, ValueError, TypeError) as error:
        raise ArtefactError(f"{path} holds no motion model of this version.", remedy) from error
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    arrays: dict[str, np.ndarray] = {name: getattr(network, name).double().numpy() for name in _BASIS}
    return MotionModel(path, network.eval(), MotionBasis.from_arrays(arrays), facts)
