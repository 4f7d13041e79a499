"""SyncNet's scores against a second formulation, known shifts, and the names of the public weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from jean.errors import ArtefactError, InputError
from jean.media import read_audio, read_frames
from jean.metrics.lip_sync.sound import mfcc_row_count, mfcc_rows, to_int16
from jean.metrics.lip_sync.sync import MAX_SHIFT, LipSync, SyncScorer, lip_sync_error, load_syncnet
from jean.models.syncnet import SyncNet
from tests.helpers.made_weights import syncnet_state


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    """A state dict from a fixed seed."""
    return syncnet_state()


def speech(seconds: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * 16000)) / 16000
    swell = 0.5 + 0.5 * np.sin(2 * np.pi * 3.1 * t + rng.uniform(0, 6))
    tone = sum(np.sin(2 * np.pi * f * t + rng.uniform(0, 6)) / n for n, f in enumerate((140, 310, 700, 1900), 1))
    return to_int16(0.2 * swell * tone + 0.01 * rng.normal(size=len(t)))


def crops(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 14, 14, 3), np.uint8)
    return coarse.repeat(16, 1).repeat(16, 2)


def convolve(state: dict[str, torch.Tensor], prefix: str, x: torch.Tensor) -> torch.Tensor:
    """The same layers as plain functions, with strides and padding from the public code."""
    plans = {
        "netcnnaud": {
            0: (1, 1), 4: (1, 1), 8: (1, 1), 11: (1, 1), 14: (1, 1), 18: (1, 0),
            "pools": {4: (1, 1), 8: (3, (1, 2)), 18: (3, 2)},
        },
        "netcnnlip": {
            0: ((1, 2, 2), 0), 4: ((1, 2, 2), (0, 1, 1)), 8: (1, (0, 1, 1)), 11: (1, (0, 1, 1)),
            14: (1, (0, 1, 1)), 18: (1, 0),
            "pools": {
                4: ((1, 3, 3), (1, 2, 2), 0), 8: ((1, 3, 3), (1, 2, 2), (0, 1, 1)), 18: ((1, 3, 3), (1, 2, 2), 0),
            },
        },
    }  # fmt: skip
    plan = plans[prefix]
    conv, pool = (F.conv2d, F.max_pool2d) if prefix == "netcnnaud" else (F.conv3d, F.max_pool3d)
    for index in (0, 4, 8, 11, 14, 18):
        if index in plan["pools"]:
            x = pool(x, *plan["pools"][index])
        stride, padding = plan[index]
        x = conv(x, state[f"{prefix}.{index}.weight"], state[f"{prefix}.{index}.bias"], stride, padding)
        x = normalise(state, f"{prefix}.{index + 1}", x).relu()
    head = {"netcnnaud": "netfcaud", "netcnnlip": "netfclip"}[prefix]
    x = F.linear(x.flatten(1), state[f"{head}.0.weight"], state[f"{head}.0.bias"])
    x = normalise(state, f"{head}.1", x).relu()
    return F.linear(x, state[f"{head}.3.weight"], state[f"{head}.3.bias"])


def normalise(state: dict[str, torch.Tensor], name: str, x: torch.Tensor) -> torch.Tensor:
    shape = (1, -1, *[1] * (x.ndim - 2))
    mean, var = state[f"{name}.running_mean"].view(shape), state[f"{name}.running_var"].view(shape)
    return (x - mean) / torch.sqrt(var + 1e-5) * state[f"{name}.weight"].view(shape) + state[f"{name}.bias"].view(shape)


def second_formulation(state: dict[str, torch.Tensor], frames: np.ndarray, audio: np.ndarray):
    """The authors' evaluation, window by window: (confidence, distance, offset, smoothed confidence, means [31])."""
    from python_speech_features import mfcc
    from scipy.signal import medfilt

    coefficients = mfcc(audio, 16000).T
    count = min(len(frames), len(audio) // 640) - 5
    lips, sound = [], []
    with torch.no_grad():
        for i in range(count):
            clip = torch.from_numpy(frames[i : i + 5, :, :, ::-1].astype(np.float32)).permute(3, 0, 1, 2)
            lips.append(convolve(state, "netcnnlip", clip[None])[0].double().numpy())
            window = torch.from_numpy(coefficients[None, None, :, 4 * i : 4 * i + 20]).float()
            sound.append(convolve(state, "netcnnaud", window)[0].double().numpy())
    table = np.zeros((count, 31))
    for i in range(count):
        for column, j in enumerate(range(i - 15, i + 16)):
            other = sound[j] if 0 <= j < count else np.zeros(1024)
            table[i, column] = np.sqrt(((lips[i] - other + 1e-6) ** 2).sum())
    mean = table.mean(0)
    best = int(mean.argmin())
    smoothed = medfilt(np.sort(mean)[15] - table[:, best], 9)
    return np.sort(mean)[15] - mean[best], mean[best], 15 - best, smoothed, mean


def same(ours: LipSync, theirs: tuple, tolerance: float = 1e-3) -> None:
    confidence, distance, offset, smoothed, mean = theirs
    np.testing.assert_allclose(ours.distances, mean, atol=tolerance)
    assert ours.confidence == pytest.approx(confidence, abs=tolerance)
    assert ours.distance == pytest.approx(distance, abs=tolerance)
    assert ours.offset == offset
    np.testing.assert_allclose(ours.frame_confidence, smoothed, atol=tolerance)


def test_syncnet_has_the_names_and_shapes_of_the_public_weights() -> None:
    shapes = {name: tuple(value.shape) for name, value in SyncNet().state_dict().items()}
    weights = {name: shape for name, shape in shapes.items() if len(shape) > 1}
    assert weights == {
        "netcnnaud.0.weight": (64, 1, 3, 3),
        "netcnnaud.4.weight": (192, 64, 3, 3),
        "netcnnaud.8.weight": (384, 192, 3, 3),
        "netcnnaud.11.weight": (256, 384, 3, 3),
        "netcnnaud.14.weight": (256, 256, 3, 3),
        "netcnnaud.18.weight": (512, 256, 5, 4),
        "netcnnlip.0.weight": (96, 3, 5, 7, 7),
        "netcnnlip.4.weight": (256, 96, 1, 5, 5),
        "netcnnlip.8.weight": (256, 256, 1, 3, 3),
        "netcnnlip.11.weight": (256, 256, 1, 3, 3),
        "netcnnlip.14.weight": (256, 256, 1, 3, 3),
        "netcnnlip.18.weight": (512, 256, 1, 6, 6),
        "netfcaud.0.weight": (512, 512),
        "netfcaud.3.weight": (1024, 512),
        "netfclip.0.weight": (512, 512),
        "netfclip.3.weight": (1024, 512),
    }
    norms = {name.rsplit(".", 1)[0] for name in shapes if name.endswith("running_var")}
    assert norms == {
        *(f"{part}.{n}" for part in ("netcnnaud", "netcnnlip") for n in (1, 5, 9, 12, 15, 19)),
        "netfcaud.1",
        "netfclip.1",
    }


@pytest.mark.parametrize(("frames", "seconds"), [(12, 2.0), (26, 0.9)])
def test_scores_of_short_clips_equal_the_second_formulation(state, frames: int, seconds: float) -> None:
    video, audio = crops(frames), speech(seconds)
    ours = lip_sync_error(video, audio, state)
    same(ours, second_formulation(state, video, audio))
    assert len(ours.frame_confidence) == min(frames, len(audio) // 640) - 5
    assert any("100 frames or fewer" in note for note in ours.notes)
    assert any("padding" in note for note in ours.notes)
    assert any("common part" in note for note in ours.notes)


@pytest.mark.slow
def test_scores_of_a_longer_clip_equal_the_second_formulation(state) -> None:
    """Long enough that windows are compared before the last frame, with longer and shorter sound."""
    video = crops(44)
    for seconds in (2.2, 1.5):
        audio = speech(seconds)
        same(lip_sync_error(video, audio, state), second_formulation(state, video, audio))


def test_mfcc_rows_of_a_piece_equal_those_of_the_whole() -> None:
    from python_speech_features import mfcc

    audio = speech(1.37)
    whole = mfcc(audio, 16000)
    assert mfcc_row_count(len(audio)) == len(whole)
    for first, stop in ((0, len(whole)), (0, 1), (1, 2), (37, 90), (100, len(whole))):
        np.testing.assert_allclose(mfcc_rows(audio, first, stop), whole[first:stop], rtol=1e-9, atol=1e-9)


class Echo(torch.nn.Module):
    """Replaces SyncNet: both embeddings encode the time of recording."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))
        self.code = torch.randn(4096, 1024, generator=torch.Generator().manual_seed(0))
        self.heard = 1000

    def lips(self, frames: torch.Tensor) -> torch.Tensor:
        numbers = (frames[2, :, 0, 0] + 256 * frames[1, :, 0, 0]).long()  # BGR: red is the last channel
        return self.code[numbers[:-4] % 4096]

    def sound(self, windows: torch.Tensor) -> torch.Tensor:
        rows = torch.arange(self.heard, self.heard + len(windows))
        self.heard += len(windows)
        return self.code[rows % 4096]


def numbered(count: int, late: int) -> np.ndarray:
    numbers = np.arange(count) - late + 1000
    frames = np.zeros((count, 224, 224, 3), np.uint8)
    frames[..., 0], frames[..., 1] = (numbers % 256)[:, None, None], (numbers // 256)[:, None, None]
    return frames


@pytest.mark.parametrize("late", [-15, -4, 0, 3, 15])
def test_the_offset_is_the_delay_of_the_lips(late: int) -> None:
    """Red and blue are swapped before the network, and the best match has a distance near 0."""
    scorer = SyncScorer(Echo(), [np.zeros(640 * 80, np.int16)])
    for frame in numbered(80, late) if late >= 0 else numbered(80 - late, 0)[-late:]:
        scorer.add(frame)
    found = scorer.result()[0]
    assert found.offset == late
    assert found.distance < 0.3 * found.distances.max()
    assert found.confidence > 5


def test_confidence_over_time_has_one_value_per_window() -> None:
    scorer = SyncScorer(Echo(), [np.zeros(640 * 60, np.int16)])
    for frame in numbered(60, 2):
        scorer.add(frame)
    found = scorer.result()[0]
    assert found.frame_confidence.shape == (55,)
    assert np.median(found.frame_confidence) == pytest.approx(found.confidence, rel=0.2)


@pytest.mark.slow
def test_several_sounds_score_as_each_alone(state) -> None:
    video, sounds = crops(30, 1), [speech(1.2, 1), speech(1.0, 2)]
    net = load_syncnet(state)
    scorer = SyncScorer(net, sounds)
    for frame in video:
        scorer.add(frame)
    for ours, audio in zip(scorer.result(), sounds, strict=True):
        alone = lip_sync_error(video, audio, state)
        assert ours.distance == alone.distance and ours.offset == alone.offset


def test_unusable_inputs_and_weights_are_errors(state, tmp_path) -> None:
    video, audio = crops(8), speech(1.0)
    with pytest.raises(InputError, match="too short"):
        lip_sync_error(video[:5], audio, state)
    with pytest.raises(InputError, match="too short"):
        lip_sync_error(video, audio[:3000], state)
    with pytest.raises(InputError, match="uint8"):
        lip_sync_error(video[:, :112], audio, state)
    with pytest.raises(InputError, match="uint8"):
        lip_sync_error(video / 255.0, audio, state)
    with pytest.raises(InputError, match="int16"):
        lip_sync_error(video, audio / 32768, state)
    with pytest.raises(ArtefactError, match="missing"):
        lip_sync_error(video, audio, {name: value for name, value in state.items() if "netfclip" not in name})
    with pytest.raises(ArtefactError, match="shape"):
        lip_sync_error(video, audio, {**state, "netfclip.3.bias": torch.zeros(7)})
    with pytest.raises(ArtefactError):
        lip_sync_error(video, audio, tmp_path / "absent.model")


def test_weights_load_from_all_formats_without_running_code(state, tmp_path) -> None:
    """torch's format, safetensors, parameters instead of tensors, missing batch counts; pickled code does not run."""
    import pickle

    from safetensors.torch import save_file

    video, audio = crops(9), speech(1.0)
    want = lip_sync_error(video, audio, state)
    old = {name: torch.nn.Parameter(value) for name, value in state.items() if "num_batches" not in name}
    torch.save(old, tmp_path / "a.model", _use_new_zipfile_serialization=False)
    save_file(state, str(tmp_path / "a.safetensors"))
    for name in ("a.model", "a.safetensors"):
        assert lip_sync_error(video, audio, tmp_path / name).distance == want.distance
        assert lip_sync_error(video, audio, str(tmp_path / name)).distance == want.distance

    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "canary"), "w"))

    with open(tmp_path / "bad.model", "wb") as handle:
        pickle.dump({"netcnnaud.0.weight": Bomb()}, handle, protocol=2)
    with pytest.raises(ArtefactError):
        lip_sync_error(video, audio, tmp_path / "bad.model")
    assert not (tmp_path / "canary").exists()


@pytest.mark.real
@pytest.mark.slow
def test_scores_of_a_real_clip_equal_the_second_formulation(state, shared_data) -> None:
    import cv2

    path = shared_data / "data" / "hill.mp4"
    frames = np.stack([cv2.resize(image, (224, 224)) for _, image in read_frames(path, 25.0, stop_s=2.0)])
    audio = to_int16(read_audio(path))
    once = lip_sync_error(frames, audio, state)
    same(once, second_formulation(state, frames, audio))
    again = lip_sync_error(frames, audio, state)
    assert abs(again.distance - once.distance) < 1e-4
    assert abs(again.confidence - once.confidence) < 1e-4


@pytest.mark.slow
def test_delaying_the_sound_shifts_the_distances(state) -> None:
    """Sound delayed by k frames has the same distances at shifts larger by k, away from the padding."""
    video, audio = crops(60, 3), speech(3.0, 3)
    k = 3
    moved = np.concatenate([np.zeros(640 * k, np.int16), audio])
    net = load_syncnet(state)
    tables = []
    for sound in (audio, moved):
        scorer = SyncScorer(net, [sound])
        for frame in video:
            scorer.add(frame)
        scorer.result()
        tables.append(torch.cat(scorer._tracks[0]._rows).numpy())
    inner = slice(MAX_SHIFT + k, 60 - 5 - MAX_SHIFT - k)
    np.testing.assert_allclose(tables[1][inner, k:], tables[0][inner, :-k], rtol=1e-4)
