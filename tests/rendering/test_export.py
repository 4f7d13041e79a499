"""``jean export``: the PLY file against an independent reader, frames, and refusals."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
import torch

import jean
from jean.models.head.base import PosedGaussians
from jean.rendering.export import write_ply
from jean.rendering.load import load_model
from jean_cli.main import main
from tests.helpers.tiny_clip import make_clip


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A Gaussian and a fast head of the same clip."""
    root = tmp_path_factory.mktemp("runs")
    clip = make_clip(root / "clip", frames=10, size=24)
    gaussian = jean.train_nerf(clip, root / "gaussian", steps=4, rays=144, device="cpu")
    fast = jean.train_nerf(clip, root / "fast", preset="fast", steps=2, rays=32, frames_per_step=2, device="cpu")
    return gaussian, fast


def read_ply(path):
    """Columns by name: reads the format's text and bytes without the writer's code."""
    data = path.read_bytes()
    head, body = data.split(b"end_header\n", 1)
    lines = head.decode("ascii").splitlines()
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
    (count,) = [int(line.split()[2]) for line in lines if line.startswith("element vertex")]
    names = [line.split()[2] for line in lines if line.startswith("property float ")]
    assert len(body) == count * len(names) * 4
    rows = [struct.unpack_from(f"<{len(names)}f", body, row * len(names) * 4) for row in range(count)]
    return dict(zip(names, np.array(rows).reshape(count, len(names)).T, strict=True))


def export(capsys, *arguments):
    """Exit code, and the JSON document on stdout."""
    with pytest.raises(SystemExit) as caught:
        main(["export", *map(str, arguments), "--json"])
    out = capsys.readouterr().out
    return int(caught.value.code or 0), json.loads(out) if out else None


def test_columns_are_those_of_3dgs(tmp_path):
    half = 2**-0.5
    gaussians = PosedGaussians(
        torch.tensor([[1.0, 2, 3], [4, 5, 6]]),
        torch.tensor([[0.1, 0.2, 0.3], [1, 1, 1]]),
        torch.tensor([[2.0, 2, 0, 0], [1, 0, 0, 0]]),
        torch.tensor([0.5, 1.0]),
        torch.tensor([[0.5, 1.0, 0.0], [0.5, 0.5, 0.5]]),
    )
    write_ply(tmp_path / "two.ply", gaussians)
    read = read_ply(tmp_path / "two.ply")
    names = "x y z nx ny nz f_dc_0 f_dc_1 f_dc_2 opacity scale_0 scale_1 scale_2 rot_0 rot_1 rot_2 rot_3"
    assert " ".join(read) == names
    assert [read[name][0] for name in "xyz"] == [1, 2, 3]
    # a viewer shows 0.5 + 0.28209479 · f_dc, 1 / (1 + exp(-opacity)) and exp(scale)
    assert [0.5 + 0.28209479 * read[f"f_dc_{c}"][0] for c in range(3)] == pytest.approx([0.5, 1, 0], abs=1e-6)
    assert read["opacity"][0] == pytest.approx(0, abs=1e-6) and 10 < read["opacity"][1] < 20
    assert [np.exp(read[f"scale_{axis}"][0]) for axis in range(3)] == pytest.approx([0.1, 0.2, 0.3])
    assert [read[f"rot_{axis}"][0] for axis in range(4)] == pytest.approx([half, half, 0, 0])


def test_the_head_at_rest_and_a_frame(runs, tmp_path, capsys):
    from jean.checkpoint import load_checkpoint

    run = runs[0].folder
    code, facts = export(capsys, run, "-o", tmp_path / "rest.ply")
    assert code == 0 and facts["frame"] is None
    model = load_model(load_checkpoint(run, stage="nerf"), "cpu")
    count = int(model.head.gaussians.count)
    rest = read_ply(tmp_path / "rest.ply")
    assert facts["gaussians"] == len(rest["x"]) == count
    # at rest the static Gaussians lie where training has put them
    weight = sum(region.weight(model.head.gaussians.centre[:count]) for region in model.head.gaussians.regions)
    static = ((weight == 0) & (model.head.gaussians.interior[:count] == 0)).numpy()
    learned = model.head.gaussians.centre[:count].detach().numpy()
    assert static.any() and np.allclose(rest["x"][static], learned[static, 0], atol=1e-5)
    code, facts = export(capsys, run, "-o", tmp_path / "frame.ply", "--frame", 3)
    frame = read_ply(tmp_path / "frame.ply")
    assert code == 0 and facts["frame"] == 3 and len(frame["x"]) == count
    assert not np.allclose(frame["y"], rest["y"], atol=1e-4)


@pytest.mark.parametrize("case", ["fast", "frame", "suffix", "inside"])
def test_what_cannot_be_exported_is_refused(case, runs, tmp_path, capsys):
    run, output, more = runs[0].folder, tmp_path / "head.ply", []
    if case == "fast":
        run = runs[1].folder
    elif case == "frame":
        more = ["--frame", "10"]
    elif case == "suffix":
        output = tmp_path / "head.obj"
    else:
        output = run / "head.ply"
    code, document = export(capsys, run, "-o", output, *more)
    assert code == 2 and not output.exists()
    assert document is None or "error" in document
