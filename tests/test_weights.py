"""Weights: looked up, hashed, and downloaded over connections that break."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from jean import weights
from jean.errors import ArtefactError, SetupError, UsageError
from jean.files import folder_lock

CONTENT = bytes(range(256)) * 1000


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT; the server's ``cuts`` break one answer each, after so many bytes."""

    def do_GET(self) -> None:
        server = self.server
        server.requests.append(self.headers.get("Range"))
        if self.path.startswith("/absent"):
            self.send_error(404)
            return
        content = CONTENT[::-1] if self.path.startswith("/wrong") else CONTENT
        start = 0
        if self.headers.get("Range") and not self.path.startswith("/norange"):
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                self.send_error(416)
                return
        self.send_response(206 if start else 200)
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
    server.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "my models"
    monkeypatch.setenv("JEAN_MODELS", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return folder


@pytest.fixture
def add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "weights.json"
    path.write_text("{}")
    monkeypatch.setattr(weights, "REGISTER", path)

    def _add(name: str, *urls: str, restricted: bool = False) -> str:
        known = json.loads(path.read_text())
        known[name] = {
            "used_by": "a test",
            "licence": "CC BY-NC 4.0" if restricted else "MIT",
            "restricted": restricted,
            "bytes": len(CONTENT),
            "sha256": hashlib.sha256(CONTENT).hexdigest(),
            "urls": urls,
        }
        path.write_text(json.dumps(known))
        return name

    return _add


def test_the_register_is_sound() -> None:
    known = weights.register()
    assert {"face_landmarker.task", "selfie_multiclass_256x256.tflite"} <= set(known)
    for entry in known.values():
        assert len(entry.sha256) == 64
        assert int(entry.sha256, 16)
        assert Path(entry.name).name == entry.name
        assert entry.urls
        assert all(url.startswith("https://") for url in entry.urls)
        assert entry.licence


def test_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert weights.folders() == [tmp_path / "jean" / "models"]
    monkeypatch.setenv("JEAN_MODELS", "~/weights")
    assert weights.folders() == [Path.home() / "weights", tmp_path / "jean" / "models"]


def test_find(models: Path, add, tmp_path: Path) -> None:
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
    with pytest.raises(ArtefactError, match="not the file it should be"):
        weights.find("a.bin")
    assert weights.state("a.bin")["state"] == "wrong"
    with pytest.raises(ArtefactError):
        weights.pull("a.bin")


@pytest.mark.parametrize("name", ["b.bin", "../a.bin", "", "a.bin/../a.bin"])
def test_unknown_names(models: Path, add, name: str) -> None:
    add("a.bin")
    with pytest.raises(UsageError, match="no weights are called"):
        weights.find(name)
    with pytest.raises(UsageError):
        weights.pull(name)


def test_pull(models: Path, add, server) -> None:
    add("a.bin", f"{server.address}/a.bin")
    assert weights.pull("a.bin") == models / "a.bin"
    assert (models / "a.bin").read_bytes() == CONTENT
    assert not list(models.glob("*.partial")) + list(models.glob(".*.partial"))
    weights.pull("a.bin")
    assert server.requests == [None]


@pytest.mark.parametrize("path", ["a.bin", "norange"])
def test_cut_at_twenty_points(models: Path, add, server, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_TRIES", 1)
    size = len(CONTENT)
    for point in [0, 1, 2, *range(5000, size, size // 17), size - 1]:
        name = add(f"{point}.bin", f"{server.address}/{path}")
        server.cuts[:] = [point]
        server.requests.clear()
        with pytest.raises(SetupError, match="connection broke"):
            weights.pull(name)
        assert not (models / name).exists()
        assert weights.pull(name).read_bytes() == CONTENT
        kept = point // weights._BLOCK_BYTES * weights._BLOCK_BYTES
        assert server.requests == [None, f"bytes={kept}-" if kept else None]


def test_one_call_goes_on_by_itself(models: Path, add, server) -> None:
    add("a.bin", f"{server.address}/a.bin")
    block = weights._BLOCK_BYTES
    server.cuts[:] = [2 * block, 3 * block + 1]
    assert weights.pull("a.bin").read_bytes() == CONTENT
    assert server.requests == [None, f"bytes={2 * block}-", f"bytes={5 * block}-"]


def test_a_spoilt_partial_file_is_not_installed(models: Path, add, server, monkeypatch: pytest.MonkeyPatch) -> None:
    name = add("a.bin", f"{server.address}/a.bin")
    server.cuts[:] = [100_000]
    with monkeypatch.context() as patch:
        patch.setattr(weights, "_TRIES", 1)
        with pytest.raises(SetupError):
            weights.pull(name)
    partial_file = next(models.glob(".*.partial"))
    partial_file.write_bytes(b"\xff" + partial_file.read_bytes()[1:])
    assert weights.pull(name).read_bytes() == CONTENT


def test_killed_before_the_rename(models: Path, add, server) -> None:
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


def test_the_next_address_is_tried(models: Path, add, server) -> None:
    add("a.bin", f"{server.address}/absent", f"{server.address}/wrong", f"{server.address}/a.bin")
    assert weights.pull("a.bin").read_bytes() == CONTENT


def test_offline(models: Path, add) -> None:
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


def test_two_at_once(models: Path, add, server) -> None:
    add("a.bin", f"{server.address}/a.bin")
    with folder_lock(models), pytest.raises(SetupError, match="in use"):
        weights.pull("a.bin")


def test_models_is_a_file(models: Path, add, server) -> None:
    add("a.bin", f"{server.address}/a.bin")
    models.write_text("")
    with pytest.raises(SetupError, match="JEAN_MODELS"):
        weights.pull("a.bin")


@pytest.mark.real
def test_the_real_file_has_the_registered_hash(shared_models: Path) -> None:
    assert weights.find("face_landmarker.task").stat().st_size == weights.entry("face_landmarker.task").bytes
