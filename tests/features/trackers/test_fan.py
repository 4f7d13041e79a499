import sys
from types import SimpleNamespace

import numpy as np
import pytest

from jean.errors import ArtefactError, SetupError
from jean.features.trackers.fan import DETECTOR_WEIGHTS, POINT_WEIGHTS, FanTracker
from jean.weights import store as weights


@pytest.fixture
def files(tmp_path, monkeypatch):
    for name in (DETECTOR_WEIGHTS, POINT_WEIGHTS):
        (tmp_path / name).write_bytes(b"nothing")
    monkeypatch.setattr(weights, "find", lambda name: tmp_path / name)
    return tmp_path


def test_without_weights_the_error_names_the_command():
    with pytest.raises(SetupError, match=f"jean models pull {DETECTOR_WEIGHTS}"):
        FanTracker()


@pytest.mark.slow
def test_damaged_weights_are_reported(files):
    pytest.importorskip("face_alignment")
    with pytest.raises(ArtefactError, match="pull"):
        next(FanTracker().track([(0.0, np.zeros((64, 64, 3), np.uint8))]))


@pytest.mark.slow
def test_the_network_is_loaded_only_from_the_verified_file(files):
    import torch

    pytest.importorskip("face_alignment")
    from face_alignment.detection.sfd.net_s3fd import s3fd
    from face_alignment.models import FAN

    network = FAN(4)
    torch.save(s3fd().state_dict(), files / DETECTOR_WEIGHTS)
    torch.save(network.state_dict(), files / POINT_WEIGHTS)
    before = torch.hub.get_dir()
    loaded = FanTracker()._open()
    assert torch.hub.get_dir() == before
    assert torch.equal(loaded.face_alignment_net.conv1.weight, network.conv1.weight)


def test_network_results_are_converted_to_faces(files, monkeypatch):
    points = np.arange(136, dtype=np.float32).reshape(68, 2)
    answers = [([points, points + 1], None, [np.array([0, 0, 9, 9, 0.9])] * 2), (None, None, None), ([], None, [])]

    class Network:
        def __init__(self, *args, **options):
            assert options["compile"] is False and options["device"] == "cpu"

        def get_landmarks_from_image(self, image, **options):
            return answers.pop(0)

    library = SimpleNamespace(FaceAlignment=Network, LandmarksType=SimpleNamespace(TWO_D=1))
    monkeypatch.setitem(sys.modules, "face_alignment", library)
    frames = [(n / 25, np.zeros((8, 8, 3), np.uint8)) for n in range(3)]
    found = list(FanTracker().track(frames))
    assert [len(faces) for faces in found] == [2, 0, 0]
    face = found[0][0]
    np.testing.assert_allclose(face.landmarks, points + 0.5)  # pixel centres are at half-integers here
    assert np.isnan(face.irises).all() and face.expression.shape == (0,) and face.camera_to_world is None
    assert face.score == pytest.approx(0.9)
