"""LPIPS: perceptual distance between two faces (Zhang et al. 2018), AlexNet, version 0.1."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jean.errors import ArtefactError, SetupError
from jean.metrics.base import (
    Column,
    FramePair,
    Metric,
    MetricContext,
    MetricOptions,
    Scores,
    finite_mean,
    full_precision,
)
from jean.metrics.crops import aligned_crops

if TYPE_CHECKING:
    import torch

WEIGHTS = "alexnet-owt-7be5be79.pth"
MIN_SIZE_PX = 32  # the strides of AlexNet reduce smaller images to nothing


class PerceptualDistance(Metric):
    """LPIPS between the aligned face boxes of the result and the expression source."""

    name = "lpips"
    version = "1"
    role = "expression"
    uses_torch = True
    columns = (Column("lpips", "LPIPS", "lower", 3, "Over the aligned face box; AlexNet, version 0.1."),)

    def __init__(self, context: MetricContext, options: MetricOptions | None = None):
        from jean.weights import store as weights

        super().__init__(context, options)
        self._net = load_lpips(weights.as_safetensors(WEIGHTS), context.device)
        self._distances: list[float] = []
        self._too_small = 0

    @classmethod
    def facts(cls, context: MetricContext, options: MetricOptions) -> dict[str, Any]:
        """Hash of the backbone's weights."""
        from jean.weights import store as weights

        return {"weights": weights.digest(weights.find(WEIGHTS))}

    def update(self, pair: FramePair) -> None:
        """Adds the distance of one frame pair; NaN if a face is missing or too small."""
        assert pair.reference is not None
        face, reference = pair.result.face, pair.reference.face
        distance = float("nan")
        if face is not None and reference is not None:
            crops = aligned_crops(pair.result.image, face.landmarks, pair.reference.image, reference.landmarks)
            if min(crops[0].shape[:2]) >= MIN_SIZE_PX:
                distance = perceptual_distance(self._net, *crops, self.context.device)
            else:
                self._too_small += 1
        self._distances.append(distance)

    def result(self) -> Scores:
        """The mean over frames with both faces."""
        distances = np.array(self._distances)
        small = self._too_small
        notes = (f"LPIPS: {small} faces are smaller than {MIN_SIZE_PX} px and left out.",) if small else ()
        return Scores({"lpips": finite_mean(distances)}, {"lpips": distances}, notes)


def perceptual_distance(net: Any, image: np.ndarray, reference: np.ndarray, device: str = "cpu") -> float:
    """LPIPS of two RGB uint8 images [H, W, 3] of equal size, computed by the network from ``load_lpips``."""
    import torch

    def to_tensor(pixels: np.ndarray) -> torch.Tensor:
        """float [1, 3, H, W] in [-1, 1]."""
        values = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))).to(device).float()
        return values[None] / 127.5 - 1

    with full_precision():
        return float(net(to_tensor(image), to_tensor(reference)))


def load_lpips(backbone: Path | Mapping[str, torch.Tensor], device: str = "cpu") -> Any:
    """Builds the network of the package ``lpips`` with the given AlexNet weights, without downloading anything.

    Args:
        backbone: AlexNet's state dict with torchvision's names, or the file that holds it.

    Raises:
        SetupError: the package is missing.
        ArtefactError: the backbone is not an AlexNet.
    """
    try:
        import lpips
    except ImportError as error:
        raise SetupError(f"lpips cannot be loaded ({error}).", "Run: pip install lpips torchvision") from error
    from jean.weights.tensors import read_tensors

    state = read_tensors(backbone) if isinstance(backbone, Path) else backbone
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torchvision, about options that lpips sets
        # ``pnet_rand`` skips the download of the backbone
        net = lpips.LPIPS(net="alex", version="0.1", pnet_rand=True, verbose=False)
    parameters = {f"features.{name.split('.', 1)[1]}": value for name, value in net.net.named_parameters()}
    for name, value in parameters.items():
        if name not in state or state[name].shape != value.shape:
            raise ArtefactError(
                f"the backbone of LPIPS is not an AlexNet ({name}).", f"Run: jean models pull {WEIGHTS}"
            )
        value.data.copy_(state[name])
    return net.eval().requires_grad_(False).to(device)
