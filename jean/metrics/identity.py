"""ACD: distance between the identities of two faces, by ArcFace embeddings (section 4.1.2)."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any

import numpy as np

from jean.errors import ArtefactError, SetupError
from jean.metrics.base import Column, FramePair, Metric, MetricContext, MetricOptions, Scores, finite_mean

WEIGHTS = "w600k_r50.onnx"
SIZE_PX = 112

# (RGB uint8 [H, W, 3], landmarks [68, 2] px) → embedding float32 [512], not normalised
Embed = Callable[[np.ndarray, np.ndarray], np.ndarray]


def cosine_distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """1 − cosine of the angle between embeddings [..., D] → [...]; 0 for equal directions, 2 for opposite ones.

    >>> float(cosine_distance(np.array([1.0, 0.0]), np.array([0.0, 2.0])))
    1.0
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return 1 - (a * b).sum(-1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1))


def five_points(landmarks: np.ndarray) -> np.ndarray:
    """Landmarks for ArcFace's alignment: centres of the eyes, nose tip, mouth corners, float32 [5, 2] px.

    Args:
        landmarks: [68, 2] px.
    """
    points = [landmarks[36:42].mean(0), landmarks[42:48].mean(0), landmarks[30], landmarks[48], landmarks[54]]
    return np.array(points, np.float32)


class Identity(Metric):
    """ACD between the result and the expression source at the same time, averaged over frames."""

    name = "identity"
    version = "1"
    role = "expression"
    columns = (Column("acd", "ACD", "lower", 3, "Cosine distance of ArcFace embeddings (buffalo_l), same time."),)

    def __init__(self, context: MetricContext, options: MetricOptions | None = None):
        super().__init__(context, options)
        self._embed = load_arcface()
        self._distances: list[float] = []

    @classmethod
    def facts(cls, context: MetricContext, options: MetricOptions) -> dict[str, Any]:
        """Hash of the weights."""
        from jean.weights import store as weights

        return {"weights": weights.digest(weights.find(WEIGHTS))}

    def update(self, pair: FramePair) -> None:
        """Adds the distance of one frame pair; NaN if a face is missing."""
        assert pair.reference is not None
        face, reference = pair.result.face, pair.reference.face
        if face is None or reference is None:
            self._distances.append(float("nan"))
            return
        embedding = self._embed(pair.result.image, face.landmarks)
        reference_embedding = self._embed(pair.reference.image, reference.landmarks)
        self._distances.append(float(cosine_distance(embedding, reference_embedding)))

    def result(self) -> Scores:
        """The mean over frames with both faces."""
        distances = np.array(self._distances)
        return Scores({"acd": finite_mean(distances)}, {"acd": distances})


def load_arcface() -> Embed:
    """Loads ArcFace; returns a function from (image, landmarks) to its embedding (see ``Embed``).

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
        # the CPU gives the same numbers on every machine and is fast enough for 112 × 112 px
        with redirect_stdout(sys.stderr):  # insightface prints; stdout is reserved for the command's result
            model = model_zoo.get_model(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:
        # insightface asserts, and onnxruntime raises exceptions of its own
        raise ArtefactError(
            f"{path} cannot be loaded ({type(error).__name__}).", f"Run: jean models pull {WEIGHTS}"
        ) from error
    if model is None or not hasattr(model, "get_feat"):
        raise ArtefactError(f"{path} is not a face recognition network.", f"Run: jean models pull {WEIGHTS}")

    def embed(image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of scikit-image, caused by insightface
            points = five_points(landmarks)
            aligned = face_align.norm_crop(np.ascontiguousarray(image[..., ::-1]), points, SIZE_PX)
        return np.asarray(model.get_feat([aligned])[0], np.float32)

    return embed
