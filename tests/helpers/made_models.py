"""Creates small model files of the formats that adapters read: random weights in the real structure."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest


def varint(value: int) -> bytes:
    out = b""
    while True:
        value, low = value >> 7, value & 0x7F
        out += bytes([low | (0x80 if value else 0)])
        if not value:
            return out


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def constant(name: str, array: np.ndarray, one_by_one: bool = False) -> bytes:
    """The NodeDef of a constant in TensorFlow's format."""
    shape = b"".join(field(2, field(1, int(size))) for size in array.shape)
    flat = np.asarray(array, "<f4").reshape(-1)
    data = b"".join(varint(5 << 3 | 5) + struct.pack("<f", v) for v in flat) if one_by_one else field(4, flat.tobytes())
    value = field(8, field(1, 1) + field(2, shape) + data)
    attributes = field(5, field(1, b"dtype") + field(2, field(6, 1))) + field(5, field(1, b"value") + field(2, value))
    return field(1, field(1, name.encode()) + field(2, b"Const") + attributes)


def graph(constants: dict[str, np.ndarray], prefix: str = "") -> bytes:
    """A GraphDef of constants with other nodes between them."""
    nodes = [field(1, field(1, b"input_node") + field(2, b"Placeholder"))]
    for name, array in constants.items():
        nodes.append(constant(prefix + name, array))
        nodes.append(field(1, field(1, f"{prefix}{name}/read".encode()) + field(2, b"Identity")))
    return b"".join(nodes) + field(4, field(1, 24))  # versions


def deepspeech_constants(hidden: int = 6, inner: int = 5, seed: int = 0) -> dict[str, np.ndarray]:
    """The tensors of DeepSpeech, with the widths ``hidden`` and ``inner`` instead of 2048 and 4096."""
    random = np.random.default_rng(seed)

    def draw(*shape: int) -> np.ndarray:
        return (random.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32)

    sizes = {
        "1": (494, hidden),
        "2": (hidden, hidden),
        "3": (hidden, inner),
        "5": (2 * hidden, hidden),
        "6": (hidden, 29),
    }
    found = {}
    for layer, shape in sizes.items():
        found |= {f"h{layer}": draw(*shape), f"b{layer}": 0.1 * draw(1, shape[1])[0]}
    for direction in ("fw", "bw"):
        cell = f"bidirectional_rnn/{direction}/basic_lstm_cell"
        found |= {f"{cell}/kernel": draw(inner + hidden, 4 * hidden), f"{cell}/bias": draw(1, 4 * hidden)[0]}
    return found


def make_adapters(folder: Path) -> Path:
    """Writes one small model of each kind into a folder, under the names that adapters expect."""
    pytest.importorskip("onnx")
    transformers = pytest.importorskip("transformers")
    import torch

    (folder / "deepspeech-0_1_0-b90017e8.pb").write_bytes(graph(deepspeech_constants(), "deepspeech/"))
    torch.manual_seed(0)
    small = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "conv_dim": [8] * 7,
        "num_conv_pos_embeddings": 16,
        "num_conv_pos_embedding_groups": 2,
        "vocab_size": 11,
        "feat_extract_norm": "layer",
        "do_stable_layer_norm": True,
    }
    transformers.HubertModel(transformers.HubertConfig(**small)).save_pretrained(folder / "hubert-large-ls960-ft")
    transformers.Wav2Vec2ForCTC(transformers.Wav2Vec2Config(**small)).save_pretrained(folder / "tiny-wav2vec2")
    (folder / "tiny-wav2vec2/preprocessor_config.json").write_text(json.dumps({"do_normalize": False}))
    make_onnx(folder / "tiny.onnx")
    make_emoca(folder / "emoca_ResNet50.zip")
    return folder


def make_onnx(path: Path, size: int = 16) -> None:
    """Writes an ONNX network with the outputs ``features`` (4 × 4 means of the image) and ``scores``."""
    import onnx
    from onnx import TensorProto, helper

    random = np.random.default_rng(0)
    weight = random.standard_normal((48, 5)).astype(np.float32)
    nodes = [
        helper.make_node("AveragePool", ["x"], ["pooled"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Flatten", ["pooled"], ["features"]),
        helper.make_node("MatMul", ["features", "w"], ["scores"]),
    ]
    whole = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, size, size])],
        [
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 5]),
            helper.make_tensor_value_info("features", TensorProto.FLOAT, [1, 48]),
        ],
        [helper.make_tensor("w", TensorProto.FLOAT, weight.shape, weight.tobytes(), raw=True)],
    )
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))


def make_emoca(path: Path) -> dict:
    """Writes a zip with a Lightning checkpoint: a prefixed random ResNet, heads, and objects of another package."""
    import io
    import zipfile

    import torch

    from jean.features.emotion.resnet50_caffe import ResNet50Caffe

    torch.manual_seed(0)
    net = ResNet50Caffe()
    state = {f"backbone.{name}": value for name, value in net.state_dict().items()}
    state["linear.weight"] = torch.zeros(10, 2048)
    buffer = io.BytesIO()
    torch.save({"state_dict": state, "hyper_parameters": {"path": Path("/somewhere")}, "epoch": 3}, buffer)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ResNet50/checkpoints/best.ckpt", buffer.getvalue())
        archive.writestr("ResNet50/cfg.yaml", "a: 1")
    return state
