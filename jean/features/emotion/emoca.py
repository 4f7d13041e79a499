"""EMOCA's emotion network (AffectNet), the paper's emotion features: 2048 numbers before its heads.

Its file comes from its authors after registration, for research that is not commercial. It is a checkpoint of
PyTorch Lightning, that is, a pickle with objects of other packages: here its tensors alone are read, everything
else becomes an empty shell, and they are kept as safetensors beside it. Built from the published structure; parity with
the published file is not tried, as it could not be had.
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

WEIGHTS = "emoca_ResNet50.zip"
SIZE_PX = 224
BATCH = 16
# what tensors in a pickle are made of; nothing else is ever called
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
        path: the file or its converted tensors; None: the registered weights.
        device: where the network runs.
    """

    name = "emoca"
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
        """Yields float32 [2048] of each frame, NaN without a face; frames are (RGB uint8, landmarks [68, 2] px)."""
        batch: list[np.ndarray | None] = []
        for image, landmarks in frames:
            batch.append(face_square(image, landmarks, SIZE_PX))
            if len(batch) == BATCH:
                yield from self._run(batch)
                batch = []
        yield from self._run(batch)

    def _run(self, batch: list[np.ndarray | None]) -> Iterator[np.ndarray]:
        import torch

        seen = [square for square in batch if square is not None]
        found = iter(())
        if seen:
            pictures = torch.from_numpy(np.stack(seen)).to(self._device).permute(0, 3, 1, 2).float() / 255
            with torch.no_grad():
                found = iter(self._net(pictures).cpu().numpy())
        for square in batch:
            yield np.full(self.width, np.nan, np.float32) if square is None else next(found)


def converted(source: Path) -> dict[str, Any]:
    """The tensors of EMOCA's file, from the safetensors beside it if they are there already."""
    from safetensors.torch import load_file, save_file

    from jean.files import atomic_path

    if source.suffix == ".safetensors":
        return load_file(str(source))
    target = source.with_name(f"{source.name}.{weights.digest(source)[:12]}.safetensors")
    if target.is_file():
        return load_file(str(target))
    tensors = {name: value.clone().contiguous() for name, value in read_lightning(source).items()}
    with atomic_path(target) as temporary:
        save_file(tensors, str(temporary))
    return tensors


def read_lightning(source: Path) -> dict[str, Any]:
    """The tensors of a checkpoint (or of the only one in a zip), without running anything that it may hold.

    Raises:
        ArtefactError: no checkpoint, or no tensors in it.
    """
    import torch

    try:
        with zipfile.ZipFile(source) as archive:
            inner = [name for name in archive.namelist() if name.endswith((".ckpt", ".pth", ".pt"))]
            # torch's own files are zips too, with a data.pkl in them
            content = archive.read(inner[0]) if inner else source.read_bytes()
        module = ModuleType("careful")
        module.__dict__.update(Unpickler=_Careful, load=_refuse, loads=_refuse)
        value = torch.load(io.BytesIO(content), map_location="cpu", pickle_module=module, weights_only=False)
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise ArtefactError(f"{source} is no checkpoint ({type(error).__name__}).", "Get it again.") from error
    state = value.get("state_dict", value) if isinstance(value, dict) else {}
    tensors = {str(name): item for name, item in state.items() if isinstance(item, torch.Tensor)}
    if not tensors:
        raise ArtefactError(f"{source} holds no tensors.", "Get it again.")
    return tensors


def _refuse(*_: Any, **__: Any) -> None:
    """Of old files of torch's, which were several pickles one after the other."""
    raise pickle.UnpicklingError("an old file of torch's")


class _Shell:
    """Stands for every object of other packages; keeps nothing and does nothing."""

    def __init__(self, *args: Any, **options: Any):
        pass

    def __setstate__(self, state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, item: Any) -> None:
        """Takes nothing."""

    def extend(self, items: Any) -> None:
        """Takes nothing."""


class _Careful(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return super().find_class(module, name) if (module, name) in _ALLOWED else _Shell


def backbone(tensors: dict[str, Any], source: Path) -> dict[str, Any]:
    """The tensors of the ResNet among those of the whole model.

    Raises:
        ArtefactError: there is none, or it is not whole.
    """
    from jean.features.emotion.resnet50_caffe import ResNet50Caffe

    ends = [name[: -len("conv1.weight")] for name in tensors if name.endswith("conv1.weight")]
    wanted = ResNet50Caffe().state_dict()
    for prefix in sorted(ends, key=len):
        found = {name: tensors.get(prefix + name) for name in wanted}
        # old files count no batches
        found |= {n: wanted[n] for n, v in found.items() if v is None and n.endswith("num_batches_tracked")}
        if all(v is not None and v.shape == wanted[n].shape for n, v in found.items()):
            return found
    raise ArtefactError(f"{source} holds no ResNet50.", "Give EMOCA's ResNet50 emotion network.")
