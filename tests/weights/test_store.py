"""Weights: looked up, hashed, and downloaded over connections that break."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from jean.errors import ArtefactError, InputError, SetupError, UsageError
from jean.files import folder_lock
from jean.weights import download
from jean.weights import store as weights
from jean.weights.importer import import_from
from tests.weights.conftest import CONTENT


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT; the server's ``cuts`` break one answer each, after so many bytes."""

    def do_GET(self) -> None:
        server = self.server
        server.requests.append(self.headers.get("Range"))
        if self.path.startswith("/absent"):
            self.send_error(404)
            return
        content = CONTENT[::-1] if self.path.startswith("/wrong") else CONTENT
        content = server.archive if self.path.endswith(".zip") else content
        start = 0
        if self.headers.get("Range") and not self.path.startswith("/norange"):
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            if self.headers.get("If-Range") not in (None, server.tag):
                start = 0
            if start >= len(content):
                self.send_error(416)
                return
        self.send_response(206 if start else 200)
        if server.tag:
            self.send_header("ETag", server.tag)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        body = content[start:]
        self.wfile.write(body[: server.cuts.pop(0)] if server.cuts else body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.cuts = []
    server.requests = []
    server.tag = None
    server.archive = b""
    server.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def test_every_entry_of_the_register_is_complete() -> None:
    known = weights.register()
    assert {"face_landmarker.task", "selfie_multiclass_256x256.tflite"} <= set(known)
    for entry in known.values():
        for digest, size in ((entry.sha256, 64), (entry.sha1, 40)):
            assert digest is None or (int(digest, 16) and len(digest) in (8, size))
        parts = Path(entry.name).parts
        assert len(parts) <= 2 and ".." not in parts and not Path(entry.name).is_absolute()
        assert entry.command in ("prepare", "evaluate", "train-expr", "render")
        assert entry.urls
        for wheel in entry.wheels:
            assert wheel.file.endswith(".whl") and len(wheel.sha256) == 64 and int(wheel.sha256, 16)
            assert entry.has_sha256 and Path(wheel.member).name == Path(entry.name).name
        assert all(url.startswith("https://") for url in entry.urls)
        assert entry.licence


def test_folders_follow_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert weights.folders() == [tmp_path / "jean" / "models"]
    monkeypatch.setenv("JEAN_MODELS", "~/weights")
    assert weights.folders() == [Path.home() / "weights", tmp_path / "jean" / "models"]


def test_find_returns_only_verified_files(models: Path, add, tmp_path: Path) -> None:
    add("a.bin", "http://127.0.0.1:1/a.bin")
    with pytest.raises(SetupError, match=r"jean models pull a\.bin"):
        weights.find("a.bin")
    cache = tmp_path / "cache" / "jean" / "models"
    cache.mkdir(parents=True)
    (cache / "a.bin").write_bytes(CONTENT)
    assert weights.find("a.bin") == cache / "a.bin"
    models.mkdir()
    (models / "a.bin").write_bytes(CONTENT)
    assert weights.find("a.bin") == models / "a.bin"
    assert weights.state("a.bin")["state"] == "right"
    (models / "a.bin").write_bytes(CONTENT[:-1] + b"\0")
    with pytest.raises(ArtefactError, match="not the registered file"):
        weights.find("a.bin")
    assert weights.state("a.bin")["state"] == "wrong"
    with pytest.raises(ArtefactError):
        weights.pull("a.bin")


@pytest.mark.parametrize("name", ["b.bin", "../a.bin", "", "a.bin/../a.bin"])
def test_unknown_names_list_the_registered_ones(models: Path, add, name: str) -> None:
    add("a.bin")
    with pytest.raises(UsageError, match="no weights are called"):
        weights.find(name)
    with pytest.raises(UsageError):
        weights.pull(name)


def test_pull_downloads_once(models: Path, add, server) -> None:
    add("a.bin", f"{server.address}/a.bin")
    assert weights.pull("a.bin") == models / "a.bin"
    assert (models / "a.bin").read_bytes() == CONTENT
    assert not list(models.glob("*.partial")) + list(models.glob(".*.partial"))
    weights.pull("a.bin")
    assert server.requests == [None]


@pytest.mark.parametrize("path", ["a.bin", "norange"])
def test_broken_downloads_are_resumed(models: Path, add, server, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "TRIES", 1)
    size = len(CONTENT)
    for point in [0, 1, 2, *range(5000, size, size // 17), size - 1]:
        name = add(f"{point}.bin", f"{server.address}/{path}")
        server.cuts[:] = [point]
        server.requests.clear()
        with pytest.raises(SetupError, match="connection broke"):
            weights.pull(name)
        assert not (models / name).exists()
        assert weights.pull(name).read_bytes() == CONTENT
        kept = point // download.BLOCK_BYTES * download.BLOCK_BYTES
        assert server.requests == [None, f"bytes={kept}-" if kept else None]


def test_one_call_resumes_broken_connections(models: Path, add, server) -> None:
    add("a.bin", f"{server.address}/a.bin")
    block = download.BLOCK_BYTES
    server.cuts[:] = [2 * block, 3 * block + 1]
    assert weights.pull("a.bin").read_bytes() == CONTENT
    assert server.requests == [None, f"bytes={2 * block}-", f"bytes={5 * block}-"]


def test_damaged_partial_files_are_dropped(models: Path, add, server, monkeypatch: pytest.MonkeyPatch) -> None:
    name = add("a.bin", f"{server.address}/a.bin")
    server.cuts[:] = [100_000]
    with monkeypatch.context() as patch:
        patch.setattr(download, "TRIES", 1)
        with pytest.raises(SetupError):
            weights.pull(name)
    partial_file = next(models.glob(".*.partial"))
    partial_file.write_bytes(b"\xff" + partial_file.read_bytes()[1:])
    assert weights.pull(name).read_bytes() == CONTENT


def test_a_complete_partial_file_is_used_after_a_kill(models: Path, add, server) -> None:
    name = add("a.bin", f"{server.address}/a.bin")
    models.mkdir()
    digest = hashlib.sha256(CONTENT).hexdigest()
    (models / f".a.bin.{digest[:12]}.partial").write_bytes(CONTENT)
    assert weights.pull(name).read_bytes() == CONTENT


def test_wrong_content_is_never_installed(models: Path, add, server) -> None:
    add("a.bin", f"{server.address}/wrong")
    with pytest.raises(SetupError, match="sha256"):
        weights.pull("a.bin")
    assert [path.name for path in models.iterdir() if path.name != ".lock"] == []
    assert server.requests == [None]


def test_the_next_url_is_tried(models: Path, add, server) -> None:
    add("a.bin", f"{server.address}/absent", f"{server.address}/wrong", f"{server.address}/a.bin")
    assert weights.pull("a.bin").read_bytes() == CONTENT


def test_a_missing_connection_is_reported(models: Path, add) -> None:
    add("a.bin", "http://127.0.0.1:1/a.bin")
    with pytest.raises(SetupError, match="no connection") as caught:
        weights.pull("a.bin")
    assert str(models / "a.bin") in caught.value.remedy
    assert caught.value.exit_code == 5


def test_a_licence_must_be_accepted(models: Path, add, server) -> None:
    add("a.bin", f"{server.address}/a.bin", restricted=True)
    with pytest.raises(UsageError, match="--accept-licence"):
        weights.pull("a.bin")
    assert server.requests == []
    assert weights.pull("a.bin", accept_licence=True).is_file()


def test_a_second_process_is_rejected(models: Path, add, server) -> None:
    add("a.bin", f"{server.address}/a.bin")
    with folder_lock(models), pytest.raises(SetupError, match="in use"):
        weights.pull("a.bin")


def test_a_file_in_place_of_the_folder_is_reported(models: Path, add, server) -> None:
    add("a.bin", f"{server.address}/a.bin")
    models.write_text("")
    with pytest.raises(SetupError, match="JEAN_MODELS"):
        weights.pull("a.bin")


def test_an_unregistered_sha256_is_recorded_and_checked_later(models: Path, add, server) -> None:
    name = add("a.bin", f"{server.address}/a.bin", sha256=None)
    assert weights.state(name)["hash"] == "recorded at the first download"
    path = weights.pull(name)
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert json.loads((models / "recorded.json").read_text()) == {name: digest}
    assert weights.find(name) == path
    path.write_bytes(CONTENT + b"\0")
    with pytest.raises(ArtefactError, match="first download"):
        weights.find(name)
    path.unlink()
    (models / "recorded.json").write_text(json.dumps({name: "0" * 64}))
    with pytest.raises(SetupError, match="first download"):
        weights.pull(name)


def test_a_file_copied_by_hand_is_recorded(models: Path, add) -> None:
    name = add("a.bin", sha256=None)
    models.mkdir()
    (models / name).write_bytes(CONTENT)
    assert weights.find(name) == models / name
    assert name in json.loads((models / "recorded.json").read_text())


@pytest.mark.parametrize("right", [True, False])
def test_partial_sha256_and_sha1_are_checked(models: Path, add, server, right: bool) -> None:
    content = CONTENT if right else CONTENT[:-1]
    sha1, sha256 = hashlib.sha1(content).hexdigest(), hashlib.sha256(content).hexdigest()
    for name, facts in (("a.bin", {"sha256": None, "sha1": sha1}), ("b.bin", {"sha256": sha256[:8]})):
        add(name, f"{server.address}/a.bin", **facts)
        if right:
            assert weights.pull(name).read_bytes() == CONTENT
        else:
            with pytest.raises(SetupError, match="wrong sha"):
                weights.pull(name)


def test_versions_of_a_file_are_not_mixed(models: Path, add, server, monkeypatch) -> None:
    monkeypatch.setattr(download, "TRIES", 1)
    name = add("a.bin", f"{server.address}/a.bin", sha256=None)
    server.tag = '"one"'
    server.cuts[:] = [100_000]
    with pytest.raises(SetupError):
        weights.pull(name)
    partial_file = next(path for path in models.iterdir() if path.suffix == ".partial")
    partial_file.write_bytes(b"\xff" * partial_file.stat().st_size)
    server.tag = '"two"'
    assert weights.pull(name).read_bytes() == CONTENT
    assert {path.name for path in models.iterdir()} == {"a.bin", ".lock", "recorded.json"}


def archive(**files: bytes) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as opened:
        for name, content in files.items():
            opened.writestr(name, content)
    return data.getvalue()


def test_a_file_is_extracted_from_an_archive(models: Path, add, server) -> None:
    name = add("a.bin", f"{server.address}/x.zip#a.bin")
    server.archive = archive(**{"../../a.bin": CONTENT, "other": b"x"})
    server.cuts[:] = [100_000]
    assert weights.pull(name).read_bytes() == CONTENT
    assert {path.name for path in models.iterdir()} == {"a.bin", ".lock"}
    assert not (models.parent.parent / "a.bin").exists()


@pytest.mark.parametrize("content", [archive(other=b"x"), archive(**{"a.bin": b"x"}), b"no archive"])
def test_a_wrong_archive_installs_nothing(models: Path, add, server, content: bytes) -> None:
    name = add("a.bin", f"{server.address}/x.zip#a.bin")
    server.archive = content
    with pytest.raises(SetupError):
        weights.pull(name)
    assert {path.name for path in models.iterdir()} == {".lock"}


def bomb() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("a.bin", bytes(40 << 20))
    return data.getvalue()


def test_a_zip_bomb_is_refused_before_it_is_unpacked(models: Path, add, server, monkeypatch) -> None:
    name = add("a.bin", f"{server.address}/x.zip#a.bin")
    server.archive = bomb()
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: pytest.fail("must not be unpacked"))
    with pytest.raises(SetupError, match="unpacks from"):
        weights.pull(name)
    assert {path.name for path in models.iterdir()} == {".lock"}


def test_every_archive_of_weights_is_checked_for_bombs(tmp_path: Path) -> None:
    from jean.features.emotion.emoca import read_lightning
    from jean.features.trackers import mediapipe_bundle
    from jean.weights.tensors import read_tensors

    (tmp_path / "a.pth").write_bytes(bomb())
    with zipfile.ZipFile(tmp_path / "b.task", "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr(mediapipe_bundle.METADATA, bytes(1 << 20))
    for read in (read_tensors, read_lightning):
        with pytest.raises(ArtefactError, match="Bomb"):
            read(tmp_path / "a.pth")
    with pytest.raises(ArtefactError, match="Bomb"):
        mediapipe_bundle.canonical_face(tmp_path / "b.task")


def test_a_file_may_have_a_folder_of_its_own(models: Path, add, server) -> None:
    name = add("big/config.json", f"{server.address}/a.bin", sha256=None)
    assert weights.pull(name) == models / "big" / "config.json"
    assert name in json.loads((models / "recorded.json").read_text())
    assert weights.find(name).is_file()


def test_import_copies_verified_files(models: Path, add, tmp_path: Path) -> None:
    for name in ("a.bin", "b.bin", "c.bin", "big/config.json"):
        add(name, "http://127.0.0.1:1/files.zip#b.bin" if name == "b.bin" else "http://127.0.0.1:1/x")
    stick = tmp_path / "stick"
    (stick / "deep" / "big").mkdir(parents=True)
    (stick / "deep" / "a.bin").write_bytes(CONTENT)
    (stick / "files.zip").write_bytes(archive(**{"models/b.bin": CONTENT}))
    (stick / "c.bin").write_bytes(b"spoilt")
    (stick / "config.json").write_bytes(b"of another model")
    (stick / "deep" / "big" / "config.json").write_bytes(CONTENT)
    found = import_from(stick)
    assert set(found["imported"]) == {"a.bin", "b.bin", "big/config.json"}
    assert [Path(path).name for path in found["wrong"]] == ["c.bin"]
    for name in found["imported"]:
        assert weights.find(name).read_bytes() == CONTENT
    assert not (models / "c.bin").exists()
    assert set(import_from(stick)["there"]) == set(found["imported"])
    with pytest.raises(InputError, match="not a folder"):
        import_from(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no weights that jean knows"):
        import_from(tmp_path / "empty")


def test_conversion_happens_once_and_runs_no_code(models: Path, add, tmp_path: Path, monkeypatch) -> None:
    import torch
    from safetensors.torch import load_file

    models.mkdir()
    shared = torch.arange(6.0)
    torch.save({"state_dict": {"x": shared, "y": shared[:3]}}, models / "a.bin")
    add("a.bin", sha256=hashlib.sha256((models / "a.bin").read_bytes()).hexdigest())
    path = weights.as_safetensors("a.bin")
    assert path.suffix == ".safetensors"
    assert load_file(path)["y"].tolist() == [0, 1, 2]
    monkeypatch.setattr("jean.weights.tensors.convert", lambda *_: pytest.fail("converted twice"))
    assert weights.as_safetensors("a.bin") == path


def test_a_pickle_with_code_is_rejected(models: Path, add, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "canary"), "w"))

    models.mkdir()
    (models / "a.bin").write_bytes(pickle.dumps({"x": Bomb()}, 2))
    add("a.bin", sha256=hashlib.sha256((models / "a.bin").read_bytes()).hexdigest())
    with pytest.raises(ArtefactError, match="cannot be read as weights"):
        weights.as_safetensors("a.bin")
    assert not (tmp_path / "canary").exists()


@pytest.mark.real
def test_the_real_file_has_the_registered_hash(shared_models: Path) -> None:
    assert weights.find("face_landmarker.task").stat().st_size == weights.entry("face_landmarker.task").bytes
