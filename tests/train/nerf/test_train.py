"""Training the talking head on a clip of a few frames."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from jean.checkpoint import load_checkpoint
from jean.drivers.person_frames import open_person
from jean.errors import ArtefactError, InputError, UsageError
from jean.kernels import library
from jean.kernels.backend import REFERENCE
from jean.kernels.reference import Composite
from jean.models.encoding import encode
from jean.models.head.mlp import MlpField
from jean.models.talking_head import Pixels
from jean.progress import Silent
from jean.train.nerf import train as nerf
from jean.train.nerf.batch import RayBatch
from jean.train.nerf.losses import pixel_losses, without_torso
from jean.train.nerf.optimiser import set_rates
from jean.train.nerf.presets import resolve
from jean.train.nerf.train import NerfConfig, NerfStage, train_nerf
from jean.train.nerf.visual_hull import dilate_cells, visual_hull
from tests.helpers.tiny_clip import make_clip, rewrite

QUICK = {"rays": 144, "frames_per_step": 1}
KEYS = {"heldout_face_psnr_db", "heldout_head_psnr_db", "train_face_psnr_db", "steps", "seconds", "rays_per_s"}


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("clips") / "a")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """For complete runs, which evaluate and preview frames: the paper's 192 samples per ray are slow."""
    return make_clip(tmp_path_factory.mktemp("clips") / "small", frames=10, size=20)


def stage(clip, **options):
    config = resolve(NerfConfig(**({"steps": 100} | QUICK | options)))
    data = open_person([clip], config.expression)
    return NerfStage(data, config, torch.device("cpu"))


@pytest.mark.parametrize("preset", ["gaussian", "fast", "paper"])
def test_a_run_reports_its_metrics(small, tmp_path, preset):
    rays = QUICK | ({"rays": 16} if preset == "paper" else {})
    result = train_nerf([small], tmp_path / "run", NerfConfig(preset=preset, steps=2, **rays), Silent())
    assert set(result) >= KEYS and result["steps"] == 2
    assert result["backend"] == "native" and all(np.isfinite(v) for v in result.values() if not isinstance(v, str))
    checkpoint = load_checkpoint(tmp_path / "run", stage="nerf")
    assert checkpoint.payload["meta"]["audio"]["logmel"]["width"] == 80
    again = train_nerf([small], tmp_path / "run", NerfConfig(preset=preset, steps=2, **rays), Silent())
    assert again["heldout_face_psnr_db"] == result["heldout_face_psnr_db"]
    for options in ({"steps": 1}, {"steps": 3, "decay": 0.2}):
        with pytest.raises(ArtefactError):
            train_nerf([small], tmp_path / "run", NerfConfig(preset=preset, **options, **rays), Silent())
    longer = train_nerf([small], tmp_path / "run", NerfConfig(preset=preset, steps=3, **rays), Silent())
    assert (longer["steps"], longer["extended_from"]) == (3, [2])


def test_the_same_seed_gives_the_same_weights(small, tmp_path):
    for name in ("one", "two"):
        train_nerf([small], tmp_path / name, NerfConfig(steps=3, **QUICK), Silent())
    hashes = [load_checkpoint(tmp_path / name).content_hash for name in ("one", "two")]
    assert hashes[0] == hashes[1]
    train_nerf([small], tmp_path / "other", NerfConfig(steps=3, seed=1, **QUICK), Silent())
    assert load_checkpoint(tmp_path / "other").content_hash != hashes[0]


@pytest.mark.parametrize("preset", ["fast", "paper"])
def test_the_torso_of_the_paper_preset_does_not_learn_the_face(clip, preset):
    trained = stage(clip, preset=preset, torso=True, background="random")
    torch.manual_seed(0)
    opacity = torch.full((2,), 0.5, requires_grad=True)  # first pixel: head only; second: torso only
    head = Composite(torch.rand(2, 3), torch.full((2,), 0.5), torch.ones(2), torch.ones(2, 1))
    pixels = Pixels([head] * (2 if preset == "paper" else 1), torch.rand(2, 3), opacity)
    matte = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    none = torch.zeros(2, dtype=torch.long)
    rgb, plate = torch.rand(2, 2, 3)
    batch = RayBatch(none[:1], none, torch.zeros(2, 2), rgb, matte, plate, torch.rand(2, 5))
    losses = pixel_losses(pixels, batch, trained.config, trained.generator)
    named = [losses[name] for name in ("photo", "coarse") if name in losses]
    (slopes,) = torch.autograd.grad(sum(named), opacity)
    assert slopes[1] != 0
    # in the fast preset the head's opacity loss separates the two
    assert (slopes[0] == 0) == (preset == "paper")


def test_uncertain_pixels_are_compared_over_the_plate_and_certain_ones_over_random_colours(clip):
    trained = stage(clip)
    matte = torch.tensor([[0.6, 0.0], [1.0, 0.0], [0.0, 0.0]])  # uncertain, person, background
    rgb, plate = torch.rand(2, 3, 3)
    # a renderer that is right: the uncertain pixel holds 0.3 of the person, not the 0.6 of the matte
    true_opacity = torch.tensor([0.3, 1.0, 0.0])
    colour = torch.where(true_opacity[:, None] > 0, rgb - (1 - true_opacity[:, None]) * plate, torch.zeros(()))
    head = Composite(colour, true_opacity, torch.ones(3), torch.ones(3, 1))
    none = torch.zeros(3, dtype=torch.long)
    batch = RayBatch(none[:1], none, torch.zeros(3, 2), rgb, matte, plate, torch.rand(3, 5))
    losses = pixel_losses(Pixels([head], torch.zeros(3, 3), torch.zeros(3)), batch, trained.config, trained.generator)
    assert losses["photo"] < 1e-10


@pytest.mark.parametrize("backend", ["reference", "native"])
@pytest.mark.parametrize("preset", ["fast", "paper"])
def test_bf16_applies_to_networks_only(clip, preset, backend, monkeypatch):
    rays = {"rays": 64, "frames_per_step": 1} if preset == "paper" else {}  # with 16, the ReLU of density dies
    results, seen = [], []
    for precision in ("fp32", "bf16"):
        trained = stage(clip, preset=preset, backend=backend, precision=precision, **rays)
        trace = trained.model.head.trace
        monkeypatch.setattr(
            trained.model.head, "trace", lambda *given, trace=trace: seen.append(given) or trace(*given)
        )
        results.append([float(trained.step(step)["loss"]) for step in range(2)])
    assert backend == "native" or results[0] != results[1]  # the CPU's kernels train in single precision
    assert np.allclose(*results, rtol=0.05)
    exact, half = (given[:2] for given in (seen[0], seen[2]))  # origins and directions of the first step
    assert all(torch.equal(a, b) for a, b in zip(exact, half, strict=True))


@pytest.mark.parametrize("options", [{"rays": 2304}, {"preset": "fast", "rays": 128, "frames_per_step": 4}])
def test_training_lowers_the_loss(clip, options):
    trained = stage(clip, **options)
    losses = [trained.step(step)["loss"] for step in range(60)]
    assert np.mean(losses[-20:]) < 0.5 * np.mean(losses[:10])


def test_the_paper_preset_has_the_values_of_the_paper():
    config = resolve(NerfConfig(preset="paper"))
    assert (config.steps, config.rays, config.frames_per_step) == (400_000, 2048, 1)
    assert config.learning_rate == 5e-4 and config.learning_rate * config.decay == pytest.approx(5e-5)
    assert (config.audio_width, config.expression_width, config.latent_width) == (32, 64, 0)
    # what the paper leaves to AD-NeRF
    assert (config.background, config.torso, config.regions) == ("plate", False, (0, 0, 0, 0.95, 0.05))
    assert (config.adam_beta2, config.adam_eps, config.warm_up_steps) == (0.999, 1e-8, 0)
    assert (config.audio_noise, config.expression_noise, config.dropout, config.ema_decay) == (0, 0, 0, 0)


def test_the_rates_of_the_paper_preset_decay_from_the_first_step_and_that_of_the_encoder_stays(clip):
    config = resolve(NerfConfig(preset="paper", audio_run="runs/audio", steps=100))
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    groups = [{"params": [parameters[0]], "lr": 0.0, "first_lr": config.learning_rate}]
    groups.append(
        {"params": [parameters[1]], "lr": 0.0, "first_lr": config.audio_rate, "decay": config.fine_tune_decay}
    )
    adam = torch.optim.Adam(groups)
    rates = []
    for step in (0, 50, 100):
        set_rates(adam, step, config)
        rates.append([group["lr"] for group in adam.param_groups])
    np.testing.assert_allclose(rates, [[5e-4, 5e-6], [5e-4 * 0.1**0.5, 5e-6], [5e-5, 5e-6]])
    fast = resolve(NerfConfig(audio_run="runs/audio", steps=100))
    set_rates(adam, 9, fast)
    assert adam.param_groups[0]["lr"] == pytest.approx(5e-4 * 0.5 * 0.1**0.09)  # half of 20 steps of warm-up


def test_positions_are_encoded_in_metres_and_an_older_head_keeps_its_scale(clip):
    field = stage(clip, preset="paper", rays=8, frames_per_step=1).model.head.fine
    one = encode(torch.tensor([[1.0, 0.0, 0.0]]) / 100, 10)  # a centimetre
    seen = []
    field.layers[0].register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    field.backend = REFERENCE
    field(torch.tensor([[1.0, 0.0, 0.0]]), torch.zeros(1, 96), torch.tensor([[0.0, 0.0, 1.0]]), torch.zeros(1).long())
    torch.testing.assert_close(seen[0][:, :63], one)
    shortest_cm = 100 * 2 * np.pi / 2**9
    assert shortest_cm == pytest.approx(1.227, abs=1e-3)
    older = MlpField(96, ((-14.0, -18.0, -10.0), (14.0, 15.0, 12.0)))
    field.load_state_dict(older.state_dict())
    assert field.reach.tolist() == [14.0, 16.5, 11.0] and field.middle.tolist() == [0.0, -1.5, 1.0]


def test_a_head_without_torso_is_trained_on_the_head_over_the_plate(clip):
    rgb, plate = torch.tensor([[0.8, 0.2, 0.4]] * 3), torch.tensor([[0.1, 0.5, 0.9]] * 3)
    matte = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.25, 0.75]])  # head, torso, both
    expected = torch.stack([rgb[0], plate[0], 0.25 * rgb[0] + 0.75 * plate[0]])
    torch.testing.assert_close(without_torso(rgb, matte, plate), expected)
    edge = torch.tensor([[0.5, 0.0]])  # hair before the background is left as it is
    torch.testing.assert_close(without_torso(rgb[:1], edge, plate[:1]), rgb[:1])
    trained = stage(clip, preset="paper", rays=32, frames_per_step=1)
    assert trained.model.torso is None and "torso" not in trained.losses(True)[0]
    pixels = trained.model.trace(trained.frames(torch.tensor([0])), torch.rand(4, 2) * 48, torch.zeros(4).long(), 48)
    assert not pixels.torso_opacity.any() and not pixels.torso_rgb.any()
    with_torso = stage(clip, preset="paper", rays=32, frames_per_step=1, torso=True)
    assert "torso" in with_torso.losses(True)[0]


def test_the_paper_preset_draws_95_percent_of_its_rays_from_the_box_of_the_head(clip):
    trained = stage(clip, preset="paper", rays=4000, frames_per_step=1)
    batch = trained.batches.draw(torch.Generator().manual_seed(0))
    box = trained.data.boxes[int(batch.frames[0]), 3]
    inside = (
        (batch.pixels >= torch.from_numpy(box[:2]).float()) & (batch.pixels <= torch.from_numpy(box[2:]) + 0.5)
    ).all(1)
    area = float(np.prod(box[2:] - box[:2])) / 48**2
    assert inside.float().mean() == pytest.approx(0.95 + 0.05 * area, abs=0.015)


def test_no_region_at_all_is_refused():
    with pytest.raises(ValueError, match="at least one fraction"):
        NerfConfig(regions=(0, 0, 0, 0, 0))


def test_speech_alone_drives_the_lips_unless_all_coefficients_are_chosen(clip):
    assert stage(clip).model.expression_encoder.in_features == 2
    assert stage(clip, expression="all").model.expression_encoder.in_features == 3


def test_steps_and_minutes_are_exclusive():
    with pytest.raises(UsageError, match="contradict"):
        resolve(NerfConfig(steps=5, minutes=1.0))


def test_minutes_are_converted_to_steps_once(small, tmp_path, monkeypatch):
    config = NerfConfig(minutes=0.002, rays=16, frames_per_step=1)
    result = train_nerf([small], tmp_path / "run", config, Silent())
    assert result["steps"] >= 1
    monkeypatch.setattr(nerf, "steps_in", lambda *given: pytest.fail("measured again"))
    again = train_nerf([small], tmp_path / "run", config, Silent())
    assert again["steps"] == result["steps"]


def test_a_head_of_pictures_without_kernels_is_trained_after_a_warning(small, tmp_path, monkeypatch):
    monkeypatch.setattr(library, "find", lambda: None)
    library.load.cache_clear()
    heard = Heard()
    try:
        config = NerfConfig(preset="gaussian", steps=1, rays=16, frames_per_step=1, device="cpu")
        for changes in ({}, {"preset": "fast"}, {"backend": "reference"}):
            result = train_nerf([small], tmp_path / str(changes), config.model_copy(update=changes), heard)
            assert result["backend"] == "reference"
    finally:
        library.load.cache_clear()
    (line,) = heard.warnings
    assert "--preset gaussian about 70 times as slowly" in line
    assert "jean kernels build" in line and "--preset fast" in line and "\n" not in line


class Heard(Silent):
    def __init__(self):
        self.warnings = []

    def warn(self, message):
        self.warnings.append(message)


def test_latent_codes_do_not_affect_rendering(clip):
    trained = stage(clip)
    indices = torch.from_numpy(trained.data.held_out)
    plain = trained.model.eval().condition(trained.frames(indices))
    torch.nn.init.ones_(trained.latents.weight)
    kept = trained.latents.apply_to(trained.frames(indices), indices, torch.zeros(len(indices)))
    assert torch.equal(trained.model.condition(kept), plain)
    assert torch.allclose(kept.camera_to_world, trained.frames(indices).camera_to_world)
    moved = trained.latents.apply_to(trained.frames(indices), indices, torch.ones(len(indices)))
    assert not torch.allclose(moved.camera_to_world, kept.camera_to_world)


def test_the_audio_encoder_stops_learning_after_its_steps(clip):
    trained = stage(clip, audio_steps=3)
    for step in range(3):
        trained.step(step)
    before = [p.clone() for p in trained.model.audio_encoder.parameters()]
    codes = trained.latents.weight.clone()
    trained.step(3)
    assert all(torch.equal(p, q) for p, q in zip(trained.model.audio_encoder.parameters(), before, strict=True))
    assert not torch.equal(trained.latents.weight, codes)


def test_held_out_frames_are_never_drawn(clip):
    trained = stage(clip)
    drawn = [trained.batches.draw(trained.generator).frames for _ in range(300)]
    seen = set(torch.cat(drawn).tolist())
    assert seen == set(trained.data.train.tolist())


def test_the_visual_hull_contains_the_cells_in_the_mattes(clip):
    data = open_person([clip])
    centres = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, -5.0], [13.0, 0.0, 0.0], [0.0, -13.0, 0.0]])
    assert visual_hull(centres, data).tolist() == [True, True, False, False]


def test_dilation_adds_one_cell_on_each_side():
    cells = torch.zeros(5, 5, 5, dtype=torch.bool)
    cells[2, 2, 2] = True
    assert dilate_cells(cells).sum() == 27 and dilate_cells(cells)[1:4, 1:4, 1:4].all()


def test_the_log_contains_the_loss(small, tmp_path):
    train_nerf([small], tmp_path / "run", NerfConfig(steps=50, rays=32, frames_per_step=2), Silent())
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert lines and all(line["loss"] > 0 for line in lines if "loss" in line)


def test_the_same_video_twice_and_different_people_are_refused(tmp_path):
    config = NerfConfig(steps=1, rays=16, frames_per_step=1, device="cpu")
    clip = make_clip(tmp_path / "a", frames=8, size=24)
    copy = Path(shutil.copytree(clip, tmp_path / "b"))
    for pair in ([clip, clip], [clip, copy]):
        with pytest.raises(InputError, match="shows the same video as"):
            train_nerf(pair, tmp_path / "run", config, Silent())
    shape = load_file(clip / "arrays.safetensors")["shape"]
    rewrite(copy, {"shape": shape * np.array([1, 1, 1.05], np.float32), "expression": np.ones((8, 3), np.float32)})
    assert train_nerf([clip, copy], tmp_path / "alike", config, Silent())["steps"] == 1
    rewrite(copy, {"shape": shape * np.array([1.5, 1, 1], np.float32)})
    with pytest.raises(InputError, match=r"different people: .*--allow-different-people"):
        train_nerf([clip, copy], tmp_path / "run", config, Silent())
    either = config.model_copy(update={"allow_different_people": True})
    assert train_nerf([clip, copy], tmp_path / "run", either, Silent())["steps"] == 1
