"""The library function ``render``: lengths, options, resuming, shards, limits and errors."""

from __future__ import annotations

import json
import shutil

import cv2
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from jean.drivers.pose_support import NECK
from jean.errors import ArtefactError, InputError, UsageError
from jean.geometry import Camera, invert_pose, make_pose, project, rotation_matrix
from jean.kernels import library
from jean.media import open_writer, probe, read_audio, read_frames, read_image, read_opacity, write_png, write_wav
from jean.models.head import paper as head_paper
from jean.progress import Silent
from jean.provenance import check
from jean.rendering.config import RenderConfig
from jean.rendering.poses import orbit_camera
from jean.rendering.render import render
from jean.train.nerf.train import NerfConfig, train_nerf
from tests.helpers.tiny_clip import make_clip, rewrite
from tests.marks.test_credentials import make_certificate
from tests.marks.test_watermark import scene


def test_the_result_is_as_long_as_the_sound(trained, speech, tmp_path):
    out = tmp_path / "out.mp4"
    result = render(trained / "run", RenderConfig(audio=speech), out, Silent())
    assert (result["frames"], result["finished"], result["size"]) == (8, True, 48)
    assert sum(1 for _ in read_frames(out)) == 8
    assert abs(len(read_audio(out)) - 4800) <= 1
    report = check(out)
    assert report["ok"] and report["synthetic"]
    assert {"audio"} <= set(report["manifest"]["inputs"])
    assert not out.with_name("out.mp4.work").exists()


@pytest.mark.parametrize("name", ["out.webm", "out.gif", "out"])
def test_other_kinds_of_results(trained, speech, tmp_path, name):
    out = tmp_path / name
    assert render(trained / "run", RenderConfig(audio=speech), out, Silent())["output"] == str(out)
    assert sum(1 for _ in read_frames(out, 25.0)) == 8
    report = check(out)
    assert report["ok"] and report["synthetic"] and report["hash_matches"]
    assert report["tags_match"] is (True if name == "out.webm" else None)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, f"{name}.json", "speech.wav"])
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("x")
    with pytest.raises(UsageError, match="holds other files"):
        render(trained / "run", RenderConfig(audio=speech), tmp_path / "notes", Silent())
    assert not (tmp_path / "notes.work").exists(), "found out before any work"
    with pytest.raises(UsageError, match="unknown suffix"):
        render(trained / "run", RenderConfig(audio=speech), tmp_path / "out.png", Silent())


def test_a_finished_render_is_not_repeated_unless_options_change(trained, speech, tmp_path):
    out = tmp_path / "out.mp4"
    render(trained / "run", RenderConfig(audio=speech), out, Silent())
    before = out.stat().st_mtime_ns
    assert render(trained / "run", RenderConfig(audio=speech), out, Silent())["frames"] == 8
    assert out.stat().st_mtime_ns == before
    render(trained / "run", RenderConfig(audio=speech, pose="still"), out, Silent())
    assert out.stat().st_mtime_ns != before


def test_shards_give_the_same_frames(trained, speech, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    render(trained / "run", RenderConfig(audio=speech, frames=whole), tmp_path / "a.mp4", Silent())
    for shard in ("2/2", "1/2"):
        config = RenderConfig(audio=speech, frames=parts, shard=shard)
        result = render(trained / "run", config, tmp_path / "b.mp4", Silent())
        assert result["finished"] == (shard == "1/2")
    for one, two in zip(sorted(whole.iterdir()), sorted(parts.iterdir()), strict=True):
        assert one.read_bytes() == two.read_bytes()


def test_an_interrupted_render_resumes(trained, speech, tmp_path):
    out = tmp_path / "out.mp4"
    render(trained / "run", RenderConfig(audio=speech, shard="1/2"), out, Silent())
    stored = {p.name: p.stat().st_mtime_ns for p in out.with_name("out.mp4.work").glob("0*.png")}
    assert len(stored) == 4

    class NotFinished(Silent):
        def say(self, message):
            assert "nothing to do" not in message

    result = render(trained / "run", RenderConfig(audio=speech), out, NotFinished())
    assert result["finished"] and out.exists()


def test_options_set_size_frame_rate_camera_depth_and_background(trained, speech, tmp_path):
    image = tmp_path / "wall.png"
    cv2.imwrite(str(image), np.full((40, 70, 3), (0, 200, 0), np.uint8))
    out = tmp_path / "out.mp4"
    config = RenderConfig(
        audio=speech, size=64, fps=30, yaw=10, orbit=5, depth=True, background=str(image), frames=tmp_path / "png"
    )
    result = render(trained / "run", config, out, Silent())
    assert result["frames"] == 9 and probe(out).fps == pytest.approx(30)
    frame = cv2.imread(str(sorted((tmp_path / "png").iterdir())[0]))
    assert frame.shape == (64, 64, 3)
    assert np.abs(frame[2, 2].astype(int) - (0, 200, 0)).max() < 60
    depth = cv2.imread(str(sorted((tmp_path / "out_depth").iterdir())[0]), cv2.IMREAD_UNCHANGED)
    assert depth.dtype == np.uint16 and depth.shape == (64, 64)


def test_layers_hold_the_opacity_that_two_backgrounds_show(trained, speech, tmp_path):
    frames = {}
    for name, grey in (("black", 0), ("light", 255)):
        image = tmp_path / f"{name}.png"
        cv2.imwrite(str(image), np.full((48, 48, 3), grey, np.uint8))
        options = RenderConfig(audio=speech, background=str(image), frames=tmp_path / name, layers=True)
        render(trained / "run", options, tmp_path / f"{name}.mp4", Silent())
        frames[name] = cv2.imread(str(tmp_path / name / "000003.png")).astype(float)
    opacity = read_opacity(tmp_path / "black_layers" / "000003.png")
    assert opacity.shape == (48, 48, 2) and len(list((tmp_path / "black_layers").iterdir())) == 8
    shown = 255 - (frames["light"] - frames["black"]).mean(-1)
    assert np.abs(opacity.sum(-1, dtype=float) - shown).max() <= 3
    head, torso = np.moveaxis(opacity.astype(int), -1, 0)
    assert head[24, 24] > torso[24, 24] and torso[-1, 24] > head[-1, 24]  # the head in the middle, the torso below


def test_the_torso_stays_when_the_camera_turns_around_the_head(trained, speech, tmp_path):
    torsos, heads = [], []
    for name, yaw in (("a", 0.0), ("b", 25.0)):
        config = RenderConfig(audio=speech, pose="still", yaw=yaw, layers=True)
        render(trained / "run", config, tmp_path / f"{name}.mp4", Silent())
        head, torso = np.moveaxis(read_opacity(tmp_path / f"{name}_layers" / "000000.png").astype(int), -1, 0)
        torsos.append(torso)
        heads.append(head)
    assert np.abs(heads[0] - heads[1]).max() > 60
    uncovered = (heads[0] == 0) & (heads[1] == 0)
    assert uncovered[-5:].any() and torsos[0][uncovered].max() > 100
    assert np.abs(torsos[0] - torsos[1])[uncovered].max() <= 1  # rounding


def test_the_camera_turns_around_the_neck():
    pose = invert_pose(make_pose(np.eye(3)[None], np.array([[1.0, 2.0, 60.0]])))
    turned = orbit_camera(pose, RenderConfig(yaw=30, pitch=10), np.array([0.0]))
    camera = Camera(100.0, (50.0, 50.0), 100, 100)
    assert np.allclose(project(NECK[None], camera, pose[0]), project(NECK[None], camera, turned[0]))
    nose = np.array([[0.0, 0.0, -8.0]])
    assert np.abs(project(nose, camera, pose[0]) - project(nose, camera, turned[0])).max() > 5


def test_the_white_background_is_white(trained, speech, tmp_path):
    render(trained / "run", RenderConfig(audio=speech, frames=tmp_path / "png"), tmp_path / "a.mp4", Silent())
    frame = cv2.imread(str(tmp_path / "png" / "000000.png"))
    assert frame[:4, :4].mean() > 200


def test_the_source_background_is_that_of_the_clip(trained, speech, tmp_path):
    config = RenderConfig(audio=speech, background="source", frames=tmp_path / "png")
    render(trained / "run", config, tmp_path / "a.mp4", Silent())
    assert np.abs(cv2.imread(str(tmp_path / "png" / "000000.png"))[:4, :4].astype(int) - 128).max() < 30


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"audio": None}, UsageError, "--audio"),
        ({"shard": "3/2"}, UsageError, "--shard"),
        ({"precision": "bf16", "backend": "reference"}, UsageError, "bf16"),
        ({"sampling": "skip"}, UsageError, "--sampling"),
        ({"expression": "nowhere.mp4"}, InputError, "does not exist"),
        ({"pose": "nowhere"}, InputError, "does not exist"),
        ({"background": "nowhere.png"}, InputError, "does not exist"),
    ],
)
def test_bad_options_raise_an_error_and_write_nothing(trained, speech, tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        render(trained / "run", RenderConfig(**({"audio": speech} | options)), tmp_path / "a.mp4", Silent())
    assert not (tmp_path / "a.mp4").exists()


@pytest.mark.slow
def test_the_paper_head_renders_and_reports_every_precision_and_sampling(speech, tmp_path, monkeypatch):
    monkeypatch.setattr(head_paper, "CELL_CM", 3.0)
    clip = make_clip(tmp_path / "clip")
    config = NerfConfig(preset="paper", steps=2, rays=16)
    train_nerf([clip], tmp_path / "run", config, Silent())
    choices = [{"precision": "fp32"}, {"sampling": "skip"}]
    if library.bf16_targets():
        choices.append({"precision": "bf16", "sampling": "skip"})
    for number, choice in enumerate(choices):
        out = tmp_path / f"{number}.mp4"
        result = render(tmp_path / "run", RenderConfig(audio=speech, size=32, **choice), out, Silent())
        expected = {"precision": "fp32", "sampling": "exact"} | choice
        assert result["finished"] and {name: result[name] for name in expected} == expected
        assert check(out)["manifest"]["result"]["sampling"] == expected["sampling"]
    with pytest.raises(UsageError, match="compiled kernels"):
        options = RenderConfig(audio=speech, sampling="skip", backend="reference")
        render(tmp_path / "run", options, tmp_path / "no.mp4", Silent())


def test_an_output_without_a_video_suffix_is_refused_before_any_work(trained, speech, tmp_path):
    with pytest.raises(UsageError, match="video"):
        render(trained / "run", RenderConfig(audio=speech), tmp_path / "a.avi", Silent())
    assert not list(tmp_path.glob("a.avi*"))


def test_a_folder_without_a_run_is_refused(tmp_path, speech):
    with pytest.raises(ArtefactError, match="checkpoint"):
        render(tmp_path, RenderConfig(audio=speech), tmp_path / "a.mp4", Silent())


def test_poses_from_a_file_move_the_head(trained, speech, tmp_path):
    from jean.drivers.person import read_person

    person = read_person(trained / "run")
    poses = np.repeat(person.camera_to_world[:1], 4, 0)
    path = tmp_path / "poses.json"
    path.write_text(json.dumps({"fps": 25, "camera_to_world": poses.tolist()}))
    config = RenderConfig(audio=speech, pose=str(path), frames=tmp_path / "png", expression=trained / "clip")
    assert render(trained / "run", config, tmp_path / "a.mp4", Silent())["finished"]


class WarningList(Silent):
    """Collects the warnings."""

    def __init__(self):
        self.warnings = []

    def warn(self, message):
        self.warnings.append(message)


def test_distant_poses_and_expressions_are_limited_with_a_warning(trained, speech, tmp_path):
    from jean.drivers.person import read_person

    foreign = make_clip(tmp_path / "foreign", seed=1)
    arrays = load_file(foreign / "arrays.safetensors")
    arrays["expression"] = arrays["expression"] * [4, -5, 1] + 3
    turned = make_pose(rotation_matrix(np.outer(np.sin(np.arange(20.0)), [0, 1.2, 0])), np.zeros(3))
    arrays["camera_to_world"] = turned @ arrays["camera_to_world"]
    rewrite(foreign, arrays)
    progress = WarningList()
    config = RenderConfig(audio=speech, expression=foreign, pose=str(foreign))
    result = render(trained / "run", config, tmp_path / "a.mp4", progress)
    reductions = result["reductions"]
    assert reductions["expression"]["largest"] > 0.5 and reductions["pose"]["largest"] > 0.5
    assert {"expression", "head pose"} <= {
        name for name in ("expression", "head pose") for w in progress.warnings if name in w
    }
    assert check(tmp_path / "a.mp4")["manifest"]["result"]["reductions"] == reductions
    own = render(trained / "run", RenderConfig(audio=speech), tmp_path / "b.mp4", progress)["reductions"]
    assert max(own[name]["largest"] for name in ("expression", "upper_offsets", "pose")) < 1 / 3
    support = read_person(trained / "run").support
    assert support.lips is not None and support.expression.mean.shape == (2,)


def test_a_run_without_stored_support_is_limited_too(trained, speech, tmp_path):
    from safetensors import safe_open

    from jean.drivers.person import NAME, read_person

    run = shutil.copytree(trained / "run", tmp_path / "run")
    with safe_open(run / NAME, "np") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys() if not name.startswith("support/")}  # noqa: SIM118
        metadata = {"clip": file.metadata()["clip"]}  # such a run has no hash either
    save_file(arrays, run / NAME, metadata=metadata)
    stored, fitted = read_person(trained / "run").support, read_person(run).support
    assert fitted.lips is None
    assert fitted.expression.radius == pytest.approx(stored.expression.radius, rel=0.2)
    result = render(run, RenderConfig(audio=speech, strength=3.0), tmp_path / "a.mp4", Silent())
    assert result["reductions"]["expression"]["largest"] > 0.3


@pytest.mark.parametrize(("options", "warned"), [({"yaw": 60.0}, True), ({}, False)])
def test_a_camera_that_turns_too_far_gives_a_warning(trained, speech, tmp_path, options, warned):
    progress = WarningList()
    render(trained / "run", RenderConfig(audio=speech, pose="still", **options), tmp_path / "a.mp4", progress)
    assert any("--yaw" in line for line in progress.warnings) == warned


def frames_of(path):
    return np.stack([image for _, image in read_frames(path)]).astype(int)


def test_named_expressions_and_timelines_render_or_raise(trained, speech, tmp_path):
    run = trained / "run"
    results = {}
    for name in ("clip", "clip:0", "clip..clip:0"):
        out = tmp_path / f"{len(results)}.mp4"
        render(run, RenderConfig(audio=speech, expression=name, pose="still"), out, Silent())
        results[name] = frames_of(out)
    # the run has one clip, whose mean is also neutral: the strength changes nothing
    assert np.abs(results["clip"] - results["clip:0"]).mean() < 1
    with pytest.raises(UsageError, match="furious"):
        render(run, RenderConfig(audio=speech, expression="furious"), tmp_path / "x.mp4", Silent())
    with pytest.raises(UsageError, match="Did you mean 'clip'"):
        render(run, RenderConfig(audio=speech, expression="Clipp"), tmp_path / "x.mp4", Silent())
    assert render(run, RenderConfig(audio=speech, expression="CLIP"), tmp_path / "x.mp4", Silent())["frames"] == 8
    with pytest.raises(InputError, match=r"whit does not exist\. Did you mean 'white'"):
        render(run, RenderConfig(audio=speech, background="whit"), tmp_path / "x.mp4", Silent())
    for option in ("audio", "expression", "pose", "background"):
        given = {"audio": speech, option: "https://example.org/a.mp4"}
        with pytest.raises(InputError, match="web address"):
            render(run, RenderConfig(**given), tmp_path / "x.mp4", Silent())
    with pytest.raises(InputError, match="exist"):
        render(run, RenderConfig(audio=speech, expression="no/such.mp4"), tmp_path / "x.mp4", Silent())
    line = tmp_path / "line.csv"
    line.write_text("time_s,expression,strength\n0,clip,1\n0.2,clip,0.5\n")
    config = RenderConfig(audio=speech, expression_timeline=line, silence_gate=True, pose_smoothing=0.2)
    assert render(run, config, tmp_path / "line.mp4", Silent())["frames"] == 8
    with pytest.raises(UsageError, match="contradict"):
        both = RenderConfig(audio=speech, expression="clip", expression_timeline=line)
        render(run, both, tmp_path / "y.mp4", Silent())


def test_own_poses_do_not_depend_on_the_training_clip_folder(tmp_path):
    from jean.checkpoint import load_checkpoint
    from jean.drivers.person import read_person
    from jean.rendering.drive import gather_drivers
    from jean.rendering.load import load_model

    clip = make_clip(tmp_path / "clip")
    train_nerf([clip], tmp_path / "run", NerfConfig(steps=2, rays=144, frames_per_step=1), Silent())
    wav = tmp_path / "speech.wav"
    write_wav(wav, (0.3 * np.sin(np.arange(4800) / 10)).astype(np.float32), 16000)
    checkpoint, person = load_checkpoint(tmp_path / "run", stage="nerf"), read_person(tmp_path / "run")
    model = load_model(checkpoint, "cpu")

    def poses():
        config = RenderConfig(audio=wav, fps=50)
        drive = gather_drivers(config, checkpoint, model, person, 50.0, 48, Silent())
        return drive.tracks.camera_to_world.numpy()

    with_folder = poses()
    shutil.rmtree(clip)
    np.testing.assert_array_equal(poses(), with_folder)
    # the poses of 25 frames per second are resampled to 50
    positions = np.maximum((np.arange(len(with_folder)) + 0.5) * 25 / 50 - 0.5, 0)
    x = np.interp(positions, np.arange(20), person.camera_to_world[:, 0, 3])
    np.testing.assert_allclose(with_folder[:, 0, 3], x, atol=0.05)


def test_marks_are_in_every_frame_and_found_when_nothing_else_is_left(trained, speech, tmp_path):
    signer = make_certificate(tmp_path)
    marked = tmp_path / "marked.mp4"
    write_png(tmp_path / "wall.png", scene(1))  # plain walls hold no mark
    config = RenderConfig(
        background=str(tmp_path / "wall.png"),
        audio=speech,
        size=256,
        label="synthetic",
        watermark=True,
        frames=tmp_path / "frames",
        certificate=signer.certificate,
        private_key=signer.key,
    )
    result = render(trained / "run", config, marked, Silent())
    frames = [read_image(tmp_path / "frames" / f"{index:06d}.png") for index in range(result["frames"])]
    assert all((frame[-4:, :4] < 200).all() for frame in frames)  # the shaded strip
    report = check(marked)
    assert report["ok"] and report["credentials"]["valid"] and report["watermarked"] is None
    text = (tmp_path / "marked.mp4.json").read_text()
    assert "key.pem" not in text and "PRIVATE" not in text
    copy = tmp_path / "copy.mp4"  # a stranger's recording of it
    with open_writer(copy, (256, 256), 25) as writer:
        for frame in frames:
            writer.write(frame)
    report = check(copy)
    assert not report["ok"] and report["synthetic"] and report["watermarked"] and not report["tagged"]


@pytest.mark.parametrize(
    "options, name, reason",
    [
        ({"watermark": True}, "a.mp4", "256 pixels"),
        ({"label": " "}, "a.mp4", "one line"),
        ({"certificate": "a.pem"}, "a.mp4", "belong together"),
    ],
)
def test_marks_that_cannot_be_made_are_refused_before_any_work(trained, speech, tmp_path, options, name, reason):
    (tmp_path / "a.pem").write_text("")
    if "certificate" in options:
        options = {"certificate": tmp_path / options["certificate"]}
    with pytest.raises(UsageError, match=reason):
        render(trained / "run", RenderConfig(audio=speech, **options), tmp_path / name, Silent())
    assert not (tmp_path / name).exists()
