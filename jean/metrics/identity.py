"""ACD: whether it is the same person, as the cosine distance of ArcFace embeddings (section 4.1.2)."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any

import numpy as np

from jean.errors import ArtefactError, SetupError
from jean.metrics.base import Column, Compared, FramePair, PairContext, Scores, known_mean

WEIGHTS = "w600k_r50.onnx"
SIZE_PX = 112

Embed = Callable[[np.ndarray, np.ndarray], np.ndarray]


def cosine_distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """1 − cosine of the angle between embeddings [..., D] → [...]; 0 the same direction, 2 the opposite."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return 1 - (a * b).sum(-1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1))


def five_points(landmarks: np.ndarray) -> np.ndarray:
    """Eyes' centres, nose tip and mouth corners [5, 2] that ArcFace's alignment wants, from [68, 2] px."""
    points = [landmarks[36:42].mean(0), landmarks[42:48].mean(0), landmarks[30], landmarks[48], landmarks[54]]
    return np.array(points, np.float32)


class Identity(Compared):
    """ACD against the expression source, frame by frame."""

    name = "identity"
    version = "1"
    role = "expression"
    columns = (Column("acd", "ACD", "lower", 3, "Cosine distance of ArcFace embeddings (buffalo_l), same moment."),)

    def __init__(self, context: PairContext):
        self._embed = load_arcface()
        self._distances: list[float] = []

    @staticmethod
    def facts(context: PairContext) -> dict[str, Any]:
        """The weights."""
        from jean.weights import store as weights

        return {"weights": weights.digest(weights.find(WEIGHTS))}

    def update(self, pair: FramePair) -> None:
        """Adds one pair of frames."""
        assert pair.reference is not None
        ours, theirs = pair.result.face, pair.reference.face
        if ours is None or theirs is None:
            self._distances.append(float("nan"))
            return
        a = self._embed(pair.result.image, ours.landmarks)
        b = self._embed(pair.reference.image, theirs.landmarks)
        self._distances.append(float(cosine_distance(a, b)))

    def result(self) -> Scores:
        """The scores over all pairs."""
        distances = np.array(self._distances)
        return Scores({"acd": known_mean(distances)}, {"acd": distances})


def load_arcface() -> Embed:
    """(RGB uint8 [H, W, 3], landmarks [68, 2] px) → embedding float32 [512], not normalised.

    Raises:
        SetupError: insightface or the weights are missing.
        ArtefactError: the weights are not ArcFace's.
    """
    from jean.weights import store as weights

    path = weights.find(WEIGHTS)
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when onnxruntime is imported
    try:
        from insightface import model_zoo
        from insightface.utils import face_align
    except ImportError as error:
        raise SetupError(f"insightface cannot be loaded ({error}).", "Run: pip install insightface") from error
    try:
        # the processor gives the same numbers everywhere, and 112 × 112 px need no more
        with redirect_stdout(sys.stderr):  # it prints; stdout is for the command's result
            model = model_zoo.get_model(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:
        # it asserts, and onnxruntime has errors of its own
        raise ArtefactError(
            f"{path} cannot be loaded ({type(error).__name__}).", f"Run: jean models pull {WEIGHTS}"
        ) from error
    if model is None or not hasattr(model, "get_feat"):
        raise ArtefactError(f"{path} is no face recognition network.", f"Run: jean models pull {WEIGHTS}")

    def embed(image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of scikit-image, about what insightface calls
            points = five_points(landmarks)
            aligned = face_align.norm_crop(np.ascontiguousarray(image[..., ::-1]), points, SIZE_PX)
        return np.asarray(model.get_feat([aligned])[0], np.float32)

    return embed
