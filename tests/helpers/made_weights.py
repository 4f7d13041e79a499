"""Small substitutes for the weights of the metrics, created from a fixed seed, and a register that lists them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch

from jean.models.syncnet import SyncNet
from jean.weights import store as weights


def syncnet_state(seed: int = 5) -> dict[str, torch.Tensor]:
    """A state dict of SyncNet whose batch norms are not the identity."""
    torch.manual_seed(seed)
    net = SyncNet()
    for module in net.modules():
        if isinstance(module, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d, torch.nn.BatchNorm3d)):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.1)
    return {name: value.clone() for name, value in net.state_dict().items()}


def alexnet_state(seed: int = 3) -> dict[str, torch.Tensor]:
    """A state dict with the convolutions of torchvision's AlexNet."""
    from torchvision.models import alexnet

    torch.manual_seed(seed)
    return {name: value for name, value in alexnet(weights=None).state_dict().items() if name.startswith("features")}


def write_arcface(path: Path, seed: int = 0) -> None:
    """Writes an ONNX network from [N, 3, 112, 112] to [N, 512]: 14 × 14 means and a matrix product."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    matrix = np.random.default_rng(seed).normal(size=(3 * 64, 512)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("AveragePool", ["input"], ["pooled"], kernel_shape=[14, 14], strides=[14, 14]),
            helper.make_node("Flatten", ["pooled"], ["flat"]),
            helper.make_node("MatMul", ["flat", "matrix"], ["output"]),
        ],
        "arcface",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, 112, 112])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["N", 512])],
        [numpy_helper.from_array(matrix, "matrix")],
    )
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)]), str(path))


def install(folder: Path, monkeypatch) -> Path:
    """Writes all weights into ``folder`` and sets ``$JEAN_MODELS`` to it."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "register.json").is_file():
        torch.save(syncnet_state(), folder / "syncnet_v2.model")
        torch.save(alexnet_state(), folder / "alexnet-owt-7be5be79.pth")
        write_arcface(folder / "w600k_r50.onnx")
        register = json.loads(weights.REGISTER.read_text("utf-8"))
        for name, facts in register.items():
            if (folder / name).is_file():
                facts["sha256"] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        (folder / "register.json").write_text(json.dumps(register))
    monkeypatch.setattr(weights, "REGISTER", folder / "register.json")
    monkeypatch.setenv("JEAN_MODELS", str(folder))
    return folder
