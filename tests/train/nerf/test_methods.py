"""The paper's method, baselines with one input and the variants of Table 2: which inputs reach the head."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from jean.checkpoint import load_checkpoint
from jean.drivers.method import METHODS, Method
from jean.drivers.offsets import face_offsets, lip_coordinates
from jean.drivers.person import read_person
from jean.drivers.person_frames import PersonFrames, open_clips
from jean.errors import ArtefactError, UsageError
from jean.models.head.deformation import LOWER
from jean.models.stored import load_audio_encoder, load_expression_transformer
from jean.progress import Silent
from jean.rendering.load import load_model
from jean.train.audio.config import AudioConfig
from jean.train.audio.stage import train_audio
from jean.train.expression.config import ExpressionConfig
from jean.train.expression.stage import train_expression
from jean.train.landmarks.config import LandmarkConfig
from jean.train.landmarks.stage import train_landmarks
from jean.train.nerf.model import audio_scale
from jean.train.nerf.presets import resolve
from jean.train.nerf.train import NerfConfig, NerfStage, _method, train_nerf
from tests.helpers.tiny_corpus import make_corpus

QUICK = {"steps": 2, "rays": 144, "frames_per_step": 1, "device": "cpu"}
TINY = {"width": 8, "hidden": 16, "heads": 4, "layers": 1, "feedforward": 16, "device": "cpu", "dtw": "exact"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Clips with frames, an audio run, and transformers of both variants."""
    root = tmp_path_factory.mktemp("methods")
    corpus = make_corpus(root / "clips", people=1, sentences=1, frames=12, size=20)
    train_landmarks([corpus], root / "landmarks", LandmarkConfig(steps=2, device="cpu"), Silent())
    train_audio([corpus], root / "landmarks", root / "audio", AudioConfig(steps=2, device="cpu"), Silent())
    for variant, features in (("jean", "toy"), ("d", "blendshapes")):
        config = ExpressionConfig(preset="small", emotion_features=features, steps=2, batch=8, **TINY)
        train_expression([corpus], root / variant, config, Silent())
    return root


@pytest.fixture(scope="module")
def trained(made, tmp_path_factory):
    """Returns the run of a method, trained once per module; tests must not change it."""
    runs = {}

    def run(name):
        if name not in runs:
            runs[name] = tmp_path_factory.mktemp("trained") / name
            config = NerfConfig(**QUICK, **options_of(name, made))
            assert train_nerf([made / "clips" / "p0"], runs[name], config, Silent())["steps"] == 2
        return runs[name]

    return run


def options_of(name: str, made) -> dict:
    method = METHODS[name]
    options: dict = {"method": name, "audio_run": made / "audio" if method.audio_run else None}
    if method.expression == "transformer":
        options["expression_run"] = made / ("d" if name == "d" else "jean")
    return options


def inputs_of(made, **options):
    """The resolved configuration and the frames with the method's drivers."""
    config = resolve(NerfConfig(**QUICK, **options))
    clips = open_clips([made / "clips" / "p0"])
    return config, PersonFrames(clips, _method(config, clips, Silent()))


@pytest.mark.parametrize("name", METHODS)
def test_every_method_trains_and_loads(name, trained):
    run = trained(name)
    checkpoint = load_checkpoint(run, stage="nerf")
    model = load_model(checkpoint, "cpu")
    meta = checkpoint.payload["meta"]
    assert meta["method"] == name and meta["expression_source"]["kind"] == METHODS[name].expression
    person = read_person(run)
    assert set(person.means) == {"happy", "sad", "happy_001", "sad_001"}
    assert all(len(vector) == model.expression_mean.numel() for vector in person.means.values())
    wanted = {"jean": 8, "d": 8, "jean-plain-audio": 8, "audio-only": 1, "expression-only": 3, "a": 12, "b": 3, "c": 12}
    assert model.expression_mean.numel() == wanted[name]


def test_e_e_is_the_middle_of_its_window_in_training_and_rendering(made, trained):
    options = options_of("jean", made)
    _, data = inputs_of(made, **options)
    clip = data.clips[0]
    expected = data.method.expression.model.embed_track(clip.emotion_features["toy"])[1]
    assert np.array_equal(data.expression[: clip.frame_count], expected)
    checkpoint = load_checkpoint(trained("jean"))
    track = Method.of_run(checkpoint).expression.track(clip.folder, Silent())
    assert track.fps == 25 and np.allclose(track.vectors, expected, atol=1e-6)


def test_a_slow_expression_is_the_same_in_training_and_rendering(made, tmp_path):
    options = {"audio_run": made / "audio", "expression_run": made / "jean"}
    _, fast = inputs_of(made, **options, expression_window_s=0.0)
    _, slow = inputs_of(made, **options, expression_window_s=0.2)  # five frames
    clip = slow.clips[0]
    assert np.allclose(slow.expression[4], fast.expression[2:7].mean(0), atol=1e-6)
    config = NerfConfig(**QUICK, **options, expression_window_s=0.2)
    train_nerf([made / "clips" / "p0"], tmp_path / "run", config, Silent())
    checkpoint = load_checkpoint(tmp_path / "run", stage="nerf")
    assert checkpoint.payload["meta"]["expression_source"]["window_s"] == 0.2
    track = Method.of_run(checkpoint).expression.track(clip.folder, Silent())
    assert np.allclose(track.vectors, slow.expression[: clip.frame_count], atol=1e-6)


def test_one_persons_video_with_an_emotion_network_needs_no_pairs(made, tmp_path):
    config = NerfConfig(**QUICK, expression="emotion", emotion_features="toy", expression_exchange=0.5)
    assert train_nerf([made / "clips" / "p0"], tmp_path / "run", config, Silent())["steps"] == 2
    source = load_checkpoint(tmp_path / "run", stage="nerf").payload["meta"]["expression_source"]
    assert source["kind"] == "emotion" and "window_s" not in source  # the drawn faces have no irises: no eyes as inputs


@pytest.mark.parametrize(
    ("options", "window_s"),
    [({}, 0.0), ({"expression_run": "jean"}, 1.0), ({"method": "a"}, 0.0), ({"expression": "emotion"}, 1.0)],
)
def test_vectors_of_an_emotion_network_are_slow_unless_a_row_of_the_paper_is_asked_for(made, options, window_s):
    options = {key: made / value if key == "expression_run" else value for key, value in options.items()}
    assert resolve(NerfConfig(**QUICK, **options)).expression_window_s == window_s
    assert resolve(NerfConfig(**QUICK, **options, eyes=False)).expression_window_s == 0.0
    assert resolve(NerfConfig(**QUICK, **options, expression_window_s=0.6)).expression_window_s == 0.6


def test_the_expression_vector_alone_determines_the_motion_of_the_face(made):
    _, data = inputs_of(made, **options_of("audio-only", made))
    assert (data.expression == 0).all() and np.ptp(data.offsets, 0).max() < 1e-6
    _, data = inputs_of(made, **options_of("jean", made))
    # the offsets are an exact linear function of the vectors
    inputs = np.concatenate([data.expression, np.ones((len(data.expression), 1))], 1)
    slopes = np.linalg.lstsq(inputs, data.offsets.reshape(len(inputs), -1), rcond=None)[0]
    assert np.abs(inputs @ slopes - data.offsets.reshape(len(inputs), -1)).max() < 1e-3


def test_without_speech_the_audio_windows_are_zeros(made):
    config, data = inputs_of(made, **options_of("expression-only", made))
    assert (
        (data.audio.at(np.arange(len(data.audio))) == 0).all()
        and config.lip_weight == 0
        and not data.method.audio_drives_mouth
    )
    assert data.method.audio_encoder is None


def test_training_starts_from_the_pretrained_encoder_and_fine_tunes_it(made):
    config, data = inputs_of(made, preset="paper", **options_of("jean", made))
    assert config.audio_rate == 5e-6 and config.learning_rate == 5e-4  # 8.4.3
    stage = NerfStage(data, config, torch.device("cpu"))
    learned = load_audio_encoder(made / "audio").model.state_dict()
    assert all(torch.equal(value, learned[name]) for name, value in stage.model.audio_encoder.state_dict().items())
    rates = {id(p): group["first_lr"] for group in stage.optimiser.param_groups for p in group["params"]}
    assert {rates[id(p)] for p in stage.model.audio_encoder.parameters()} == {5e-6}
    assert {rates[id(p)] for p in stage.model.audio_projection.parameters()} == {5e-4}
    # the transformer is stored with the head and is not trained
    frozen = stage.modules["expression_transformer"]
    assert not any(id(p) in rates for p in frozen.parameters())
    trained = load_expression_transformer(made / "jean").model
    assert all(torch.equal(v, trained.state_dict()[k]) for k, v in frozen.state_dict().items())


@pytest.mark.parametrize("name", ["audio-only", "jean", "d", "a"])
def test_the_audio_encoder_is_trained_on_the_measured_lips(name, made):
    config, data = inputs_of(made, **options_of(name, made))
    stage = NerfStage(data, config, torch.device("cpu"))
    measured = np.concatenate([face_offsets(clip) for clip in data.clips])
    assert np.allclose(stage.lips, lip_coordinates(measured, data.train, config.audio_width), atol=1e-5)
    assert stage.lips[:, 0].std() > 0.5  # neither predicted from the expression vector nor zero
    deformation = stage.model.head.face_deformation
    if data.method.audio_drives_mouth:  # the lower face moves as measured
        predicted = torch.cat([stage.lips, torch.ones(len(measured), 1)], 1) @ deformation.lips_to_points
        expected = torch.from_numpy(measured[:, list(LOWER)].reshape(len(measured), -1))
        error = (predicted - expected)[data.train].square().mean()
        assert error < 0.1 * (expected - expected.mean(0))[data.train].square().mean()


def test_the_pretrained_e_a_has_unit_standard_deviation_unless_the_preset_is_the_papers(made):
    config, data = inputs_of(made, **options_of("c", made))
    stage = NerfStage(data, config, torch.device("cpu"))
    with torch.no_grad():
        embeddings = stage.model.eval().audio_encoder(torch.from_numpy(stage.tracks.audio.at(data.train)))
        shown = stage.model.audio_embedding(torch.from_numpy(stage.tracks.audio.at(data.train)))
        assert torch.allclose(shown, stage.model.audio_projection(stage.model.audio_scale * embeddings))
    assert np.isclose(stage.model.audio_scale * embeddings.var(0).mean().sqrt(), 1, rtol=1e-3)
    paper = inputs_of(made, preset="paper", **options_of("c", made))
    assert NerfStage(paper[1], paper[0], torch.device("cpu")).model.audio_scale == 1


def test_the_scale_of_e_a_is_stored(made, trained):
    _, data = inputs_of(made, **options_of("c", made))
    assert load_model(load_checkpoint(trained("c")), "cpu").audio_scale == audio_scale(data) != 1


def test_e_in_of_the_paper_preset_has_widths_32_and_64(made):
    full = ExpressionConfig(
        preset="small", emotion_features="toy", steps=1, batch=8, device="cpu", layers=1, dtw="exact"
    )
    train_expression([made / "clips"], made / "wide", full, Silent())
    options = {"method": "jean", "audio_run": made / "audio", "expression_run": made / "wide", "preset": "paper"}
    config, data = inputs_of(made, **options)
    stage = NerfStage(data, config, torch.device("cpu"))
    model = stage.model
    assert model.condition(stage.frames(np.array([0, 5]))).shape == (2, 96)
    assert (config.audio_width, config.expression_width) == (32, 64)
    assert isinstance(model.expression_encoder, torch.nn.Identity)  # e_e goes in as it is (section 3.3)
    assert isinstance(NerfStage(*_stage("a", made)).model.expression_encoder, torch.nn.Sequential)  # the thin MLP


def _stage(name, made):
    config, data = inputs_of(made, **options_of(name, made))
    return data, config, torch.device("cpu")


def test_contradictory_options_are_refused(made):
    with pytest.raises(UsageError, match="no method"):
        resolve(NerfConfig(method="e"))
    with pytest.raises(UsageError, match="needs learned audio"):
        resolve(NerfConfig(method="c"))
    with pytest.raises(UsageError, match="has no learned audio"):
        resolve(NerfConfig(method="b", audio_run=made / "audio"))
    with pytest.raises(UsageError, match="train-expr"):
        resolve(NerfConfig(method="jean", audio_run=made / "audio"))
    with pytest.raises(UsageError, match="train-expr"):
        resolve(NerfConfig(method="b", expression_run=made / "jean"))
    with pytest.raises(UsageError, match="has expression all"):
        resolve(NerfConfig(method="b", expression="upper"))
    with pytest.raises(ArtefactError, match="variant d"):
        inputs_of(made, method="jean", audio_run=made / "audio", expression_run=made / "d")
    with pytest.raises(ArtefactError, match="variant jean"):
        inputs_of(made, method="d", audio_run=made / "audio", expression_run=made / "jean")
    with pytest.raises(ArtefactError, match="logmel features, not deepspeech"):
        inputs_of(made, audio_run=made / "audio", audio_features="deepspeech")
    with pytest.raises(ArtefactError, match="stage"):
        inputs_of(made, audio_run=made / "landmarks")
    with pytest.raises(ArtefactError, match="no emoca emotion features"):
        inputs_of(made, method="a", emotion_features="emoca")


def test_a_changed_input_run_prevents_resuming(made, trained):
    other = {**options_of("jean", made), "audio_run": made / "audio2"}
    train_audio([made / "clips"], made / "landmarks", made / "audio2", AudioConfig(steps=3, device="cpu"), Silent())
    with pytest.raises(ArtefactError, match="audio_run"):
        train_nerf([made / "clips" / "p0"], trained("jean"), NerfConfig(**QUICK, **other), Silent())
