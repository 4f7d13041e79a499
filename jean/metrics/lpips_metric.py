"""LPIPS: how different two faces look to a network (Zhang et al. 2018), AlexNet's version 0.1."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jean.errors import ArtefactError, SetupError
from jean.metrics.base import Column, Compared, FramePair, PairContext, Scores, known_mean
from jean.metrics.crops import aligned_crops
from jean.metrics.lip_sync.precision import full_precision

if TYPE_CHECKING:
    import torch

WEIGHTS = "alexnet-owt-7be5be79.pth"
SMALLEST_PX = 32  # AlexNet's strides leave nothing of smaller pictures


class PerceptualDistance(Compared):
    """LPIPS over the aligned face box against the expression source."""

    name = "lpips"
    version = "1"
    role = "expression"
    columns = (Column("lpips", "LPIPS", "lower", 3, "Over the aligned face box; AlexNet, version 0.1."),)

    def __init__(self, context: PairContext):
        from jean.weights import store as weights

        self._net = load_lpips(weights.as_safetensors(WEIGHTS), context.device)
        self._device = context.device
        self._distances: list[float] = []
        self._small = 0

    @staticmethod
    def facts(context: PairContext) -> dict[str, Any]:
        """The backbone's weights."""
        from jean.weights import store as weights

        return {"weights": weights.digest(weights.find(WEIGHTS))}

    def update(self, pair: FramePair) -> None:
        """Adds one pair of frames."""
        assert pair.reference is not None
        ours, theirs = pair.result.face, pair.reference.face
        distance = float("nan")
        if ours is not None and theirs is not None:
            crops = aligned_crops(pair.result.image, ours.landmarks, pair.reference.image, theirs.landmarks)
            if min(crops[0].shape[:2]) >= SMALLEST_PX:
                distance = perceptual_distance(self._net, *crops, self._device)
            else:
                self._small += 1
        self._distances.append(distance)

    def result(self) -> Scores:
        """The scores over all pairs."""
        distances = np.array(self._distances)
        notes = (f"LPIPS: {self._small} faces are smaller than {SMALLEST_PX} px and left out.",) if self._small else ()
        return Scores({"lpips": known_mean(distances)}, {"lpips": distances}, notes)


def perceptual_distance(net: Any, image: np.ndarray, reference: np.ndarray, device: str = "cpu") -> float:
    """LPIPS of two RGB uint8 images [H, W, 3] of one size, by a network of ``load_lpips``."""
    import torch

    def ready(picture: np.ndarray) -> torch.Tensor:
        values = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1))).to(device).float()
        return values[None] / 127.5 - 1

    with full_precision():
        return float(net(ready(image), ready(reference)))


def load_lpips(backbone: Path | Mapping[str, torch.Tensor], device: str = "cpu") -> Any:
    """The network of the package ``lpips`` with a given AlexNet; nothing is downloaded.

    Args:
        backbone: AlexNet's state dict as torchvision has it, or its file.

    Raises:
        SetupError: the package is missing.
        ArtefactError: the backbone is no AlexNet.
    """
    try:
        import lpips
    except ImportError as error:
        raise SetupError(f"lpips cannot be loaded ({error}).", "Run: pip install lpips torchvision") from error
    from jean.weights.tensors import read_tensors

    state = read_tensors(backbone) if isinstance(backbone, Path) else backbone
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torchvision, about options that lpips uses
        # without pnet_rand it fetches the backbone through torchvision
        net = lpips.LPIPS(net="alex", version="0.1", pnet_rand=True, verbose=False)
    own = {f"features.{name.split('.', 1)[1]}": value for name, value in net.net.named_parameters()}
    for name, value in own.items():
        if name not in state or state[name].shape != value.shape:
            raise ArtefactError(f"the backbone of LPIPS is no AlexNet ({name}).", f"Run: jean models pull {WEIGHTS}")
        value.data.copy_(state[name])
    return net.eval().requires_grad_(False).to(device)
