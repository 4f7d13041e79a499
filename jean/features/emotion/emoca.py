"""Emotion features of EMOCA's emotion network (AffectNet), as in the paper: the 2048 values before its heads.

Its authors provide the file after registration, for non-commercial research. It is a PyTorch Lightning checkpoint, that
is, a pickle with objects of other packages. Only its tensors are read; every other object is replaced by an empty one.
The tensors are then stored as safetensors beside the file. The code follows the published structure; it has not been
compared with the published file.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from jean.errors import ArtefactError
from jean.features.emotion.face_square import face_square
from jean.weights import store as weights
from jean.weights.archives import check_archive

WEIGHTS = "emoca_ResNet50.zip"
SIZE_PX = 224
BATCH = 16
# the functions and classes that tensors in a pickle need; no others are called
_ALLOWED = {
    ("collections", "OrderedDict"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_parameter"),
    ("torch", "Size"),
    *(("torch", f"{kind}Storage") for kind in ("Float", "Long", "Int", "Half", "Double", "Byte", "Bool")),
}


class EmocaEmotion:
    """Features of EMOCA's ResNet50; see ``EmotionFeatures``.

    Args:
        path: the checkpoint or its converted tensors; None for the registered weights.
        device: device of the network, "cpu" or "cuda".

    Raises:
        SetupError: the weights are missing.
        ArtefactError: the file is not EMOCA's network.
    """

    name = "emoca"
    weights = (WEIGHTS,)
    width = 2048
    network = True

    def __init__(self, path: Path | None = None, device: str = "cpu"):
        from jean.features.emotion.resnet50_caffe import ResNet50Caffe

        source = path or weights.find(WEIGHTS)
        self.version = weights.digest(source)[:12]
        self._device = device
        self._net = ResNet50Caffe()
        self._net.load_state_dict(backbone(converted(source), source))
        self._net.eval().to(device)

    def extract(self, frames: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[np.ndarray]:
        """Yields features float32 [2048] of each frame, NaN without a face.

        Args:
            frames: (RGB uint8 [H, W, 3], landmarks [68, 2] px), in order.
        """
        batch: list[np.ndarray | None] = []
        for image, landmarks in frames:
            batch.append(face_square(image, landmarks, SIZE_PX))
            if len(batch) == BATCH:
                yield from self._run(batch)
                batch = []
        yield from self._run(batch)

    def _run(self, batch: list[np.ndarray | None]) -> Iterator[np.ndarray]:
        """Yields the features of each crop in a batch, NaN for None."""
        import torch

        crops = [crop for crop in batch if crop is not None]
        features: Iterator[np.ndarray] = iter(())
        if crops:
            images = torch.from_numpy(np.stack(crops)).to(self._device).permute(0, 3, 1, 2).float() / 255
            with torch.no_grad():
                features = iter(self._net(images).cpu().numpy())
        for crop in batch:
            yield np.full(self.width, np.nan, np.float32) if crop is None else next(features)


def converted(source: Path) -> dict[str, Any]:
    """The tensors of EMOCA's file; converts it to safetensors beside it at the first call.

    Args:
        source: the checkpoint, or a safetensors file.

    Raises:
        ArtefactError: the file is not a checkpoint.
        SetupError: the safetensors file cannot be written.
    """
    from safetensors.torch import load_file

    from jean.files import write_safetensors

    if source.suffix == ".safetensors":
        return load_file(str(source))
    target = source.with_name(f"{source.name}.{weights.digest(source)[:12]}.safetensors")
    if target.is_file():
        return load_file(str(target))
    tensors = {name: value.clone().contiguous() for name, value in read_lightning(source).items()}
    write_safetensors(target, tensors)
    return tensors


def read_lightning(source: Path) -> dict[str, Any]:
    """Reads the tensors of a torch checkpoint without running code that it may contain.

    Args:
        source: the checkpoint, or a zip archive with one.

    Raises:
        ArtefactError: the file is not a checkpoint, or holds no tensors.
    """
    import torch

    try:
        with zipfile.ZipFile(source) as archive:
            inner = [name for name in archive.namelist() if name.endswith((".ckpt", ".pth", ".pt"))]
            # torch's own files are zip archives too; they contain data.pkl instead
            check_archive(archive)
            content = archive.read(inner[0]) if inner else source.read_bytes()
        module = ModuleType("careful")
        module.__dict__.update(Unpickler=_Careful, load=_refuse, loads=_refuse)
        value = torch.load(io.BytesIO(content), map_location="cpu", pickle_module=module, weights_only=False)
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise ArtefactError(f"{source} is not a checkpoint ({type(error).__name__}).", "Download it again.") from error
    state = value.get("state_dict", value) if isinstance(value, dict) else {}
    tensors = {str(name): item for name, item in state.items() if isinstance(item, torch.Tensor)}
    if not tensors:
        raise ArtefactError(f"{source} holds no tensors.", "Download it again.")
    return tensors


def _refuse(*_: Any, **__: Any) -> None:
    """Rejects files of old torch versions, which are several pickles in a row."""
    raise pickle.UnpicklingError("a file of an old torch version")


class _Shell:
    """Replaces every object of other packages; stores nothing and does nothing."""

    def __init__(self, *args: Any, **options: Any):
        pass

    def __setstate__(self, state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, item: Any) -> None:
        """Ignores the item."""

    def extend(self, items: Any) -> None:
        """Ignores the items."""


class _Careful(pickle.Unpickler):
    """Unpickler that replaces all classes and functions outside ``_ALLOWED`` by ``_Shell``."""

    def find_class(self, module: str, name: str) -> Any:
        return super().find_class(module, name) if (module, name) in _ALLOWED else _Shell


def backbone(tensors: dict[str, Any], source: Path) -> dict[str, Any]:
    """Selects the state dict of the ResNet50 from the tensors of the whole model.

    Args:
        tensors: all tensors by name.
        source: path of their file, for messages.

    Raises:
        ArtefactError: there is no complete ResNet50.
    """
    from jean.features.emotion.resnet50_caffe import ResNet50Caffe

    prefixes = [name[: -len("conv1.weight")] for name in tensors if name.endswith("conv1.weight")]
    expected = ResNet50Caffe().state_dict()
    for prefix in sorted(prefixes, key=len):
        state = {name: tensors.get(prefix + name) for name in expected}
        # old files have no counters of batches
        state |= {n: expected[n] for n, v in state.items() if v is None and n.endswith("num_batches_tracked")}
        if all(v is not None and v.shape == expected[n].shape for n, v in state.items()):
            return state
    raise ArtefactError(f"{source} holds no ResNet50.", "Give EMOCA's ResNet50 emotion network.")
