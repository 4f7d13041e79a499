"""Emotion adapters: EMOCA's variant of ResNet50, careful reading of its file, ONNX by file and output."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import torch

from jean.errors import ArtefactError, SetupError, UsageError
from jean.features.emotion.emoca import EmocaEmotion, backbone, converted, read_lightning
from jean.features.emotion.face_square import face_square
from jean.features.emotion.onnx import OnnxEmotion
from jean.features.emotion.resnet50_caffe import ResNet50Caffe
from tests.helpers.made_models import make_emoca, make_onnx


def test_the_network_differs_from_torchvision_as_caffe_does():
    torchvision = pytest.importorskip("torchvision")
    torch.manual_seed(0)
    ours, theirs = ResNet50Caffe().eval(), torchvision.models.resnet50(weights=None).eval()
    theirs.fc = torch.nn.Identity()
    theirs.load_state_dict(ours.state_dict())  # the same names and shapes: it goes in without complaint
    picture = torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        assert not torch.allclose(ours(picture), theirs(picture), rtol=1e-2)
        # made Caffe's in the two places, it is the same network
        theirs.maxpool = torch.nn.MaxPool2d(3, 2, 0, ceil_mode=True)
        for number in (2, 3, 4):
            first = theirs.get_submodule(f"layer{number}")[0]
            first.conv1.stride, first.conv2.stride = (2, 2), (1, 1)
        assert torch.allclose(ours(picture), theirs(picture), rtol=1e-4, atol=1e-5)


def test_only_tensors_are_read_from_a_lightning_checkpoint(tmp_path):
    state = make_emoca(tmp_path / "emoca.zip")
    found = read_lightning(tmp_path / "emoca.zip")
    assert set(found) == set(state) and all(torch.equal(found[k], state[k]) for k in state)
    part = backbone(found, tmp_path)
    assert "conv1.weight" in part and "linear.weight" not in part
    converted(tmp_path / "emoca.zip")
    (kept,) = tmp_path.glob("*.safetensors")
    assert set(converted(kept)) == set(state)


class Evil:
    def __reduce__(self):
        return (exec, ("raise SystemExit('this must not run')",))


def test_code_in_a_pickle_is_not_run(tmp_path):
    torch.save({"state_dict": {"a": torch.ones(2)}, "callbacks": [Evil()]}, tmp_path / "evil.ckpt")
    assert set(read_lightning(tmp_path / "evil.ckpt")) == {"a"}
    (tmp_path / "plain.ckpt").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ArtefactError):
        read_lightning(tmp_path / "plain.ckpt")
    torch.save({"state_dict": {"a": torch.ones(2)}}, tmp_path / "other.ckpt")
    with pytest.raises(ArtefactError, match="no ResNet50"):
        EmocaEmotion(tmp_path / "other.ckpt")


def test_the_face_crop_contains_the_face_and_its_margin():
    image = np.zeros((200, 300, 3), np.uint8)
    image[80:120, 140:180] = 255
    box = np.full((68, 2), 100.0)
    box[:, 0] = 160
    box[0], box[1] = (140, 80), (180, 120)
    square = face_square(image, box, 100)
    white = square[..., 0] > 127
    assert square.shape == (100, 100, 3)
    assert white[50, 11:89].all() and not white[50, :9].any() and not white[50, 91:].any()  # 40 of 50 px
    small = face_square(image, box, 10)
    assert abs(small.mean() - square.mean()) < 6
    assert face_square(image, np.full((68, 2), np.nan), 50) is None
    outside = face_square(image, box - 150, 50)
    assert outside.shape == (50, 50, 3) and outside.max() == 0


def test_the_output_is_selected_by_name(tmp_path):
    make_onnx(tmp_path / "net.onnx")
    path = str(tmp_path / "net.onnx")
    assert OnnxEmotion(f"{path}@features").width == 48 and OnnxEmotion(path).width == 5
    assert OnnxEmotion(f"{path}@features").name == "onnx-net@features"  # no path of this machine
    with pytest.raises(UsageError, match="features"):
        OnnxEmotion(f"{path}@logits")
    with pytest.raises(SetupError):
        OnnxEmotion("nowhere")
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(ArtefactError):
        OnnxEmotion(str(tmp_path / "text.onnx"))


def test_input_options_are_read_from_a_json_file_beside_the_network(tmp_path):
    make_onnx(tmp_path / "net.onnx")
    image = np.zeros((64, 64, 3), np.uint8)
    image[:] = (255, 0, 51)
    face = np.stack([np.linspace(20, 40, 68)] * 2, -1)
    frames = [(image, face)]

    def channels(options: dict | None) -> np.ndarray:
        (tmp_path / "net.json").unlink(missing_ok=True)
        if options:
            (tmp_path / "net.json").write_text(json.dumps(options))
        (row,) = OnnxEmotion(f"{tmp_path / 'net.onnx'}@features").extract(frames)
        return row.reshape(3, 16).mean(1)

    assert np.allclose(channels(None), [1, 0, 0.2], atol=1e-3)
    assert np.allclose(channels({"colour": "bgr"}), [0.2, 0, 1], atol=1e-3)
    assert np.allclose(channels({"mean": [0.5, 0.5, 0.2], "std": [0.5, 0.5, 0.1]}), [1, -1, 0], atol=1e-2)
    with pytest.raises(UsageError, match="scale"):
        channels({"scale": 2})
