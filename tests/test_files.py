"""Files are whole or absent, and one process at a time writes a folder (faults 2, 3, 4, 26)."""

import json
import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from jean import files
from jean.errors import ArtefactError, SetupError
from jean.files import (
    atomic_path,
    check_writable,
    folder_lock,
    plain,
    read_json,
    sha256,
    write_error,
    write_json,
    write_safetensors,
    write_text,
)


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


# Whole or absent


def test_a_file_appears_only_when_complete(tmp_path):
    path = tmp_path / "new" / "deep" / "file.bin"
    with atomic_path(path) as temporary:
        assert temporary.parent == path.parent and temporary.suffix == ".bin"
        temporary.write_bytes(b"half")
        assert not path.exists()
    assert path.read_bytes() == b"half"
    assert _names(path.parent) == ["file.bin"]


def test_an_error_keeps_the_old_content(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    for error in (ValueError("mine"), KeyboardInterrupt()):
        with pytest.raises(type(error)), atomic_path(path) as temporary:
            temporary.write_text("new")
            raise error
    assert path.read_text() == "old" and _names(tmp_path) == ["file"]


def test_a_full_disk_is_reported_and_keeps_the_old_content(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_text("old")
    with (
        pytest.raises(SetupError, match=r"file: No space left on device\. Free") as raised,
        atomic_path(path) as half,
    ):
        half.write_text("ne")
        raise OSError(28, "No space left on device")
    assert raised.value.exit_code == 5
    monkeypatch.setattr(os, "fsync", _full)
    with pytest.raises(SetupError, match="No space left"):
        write_text(path, "new")
    assert path.read_text() == "old" and _names(tmp_path) == ["file"]


def _full(handle):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("limit", [0, 1, 4095, 4096, 9999])
def test_a_failure_at_any_size_keeps_the_old_content(tmp_path, limit):
    """Fault 3 with real failing writes: nothing past ``limit`` bytes of a file is taken."""
    path = tmp_path / "file"
    path.write_text("old")
    script = (
        "import resource, signal, sys; from pathlib import Path; from jean.errors import SetupError\n"
        "from jean.files import write_text\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "try: write_text(Path(sys.argv[1]), 'x' * 10_000)\n"
        "except SetupError as error: sys.exit(error.exit_code)\n"
    )
    assert subprocess.run([sys.executable, "-c", script, str(path)]).returncode == 5
    assert path.read_text() == "old" and _names(tmp_path) == ["file"]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != limit


def test_a_full_disk_in_safetensors_is_reported(tmp_path):
    """Its error is no OSError, yet means the same."""
    safetensors = pytest.importorskip("safetensors")
    with pytest.raises(SetupError, match="No space left on device"), atomic_path(tmp_path / "file") as temporary:
        temporary.write_text("ne")
        raise safetensors.SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
    with pytest.raises(safetensors.SafetensorError), atomic_path(tmp_path / "file"):
        raise safetensors.SafetensorError("HeaderTooLarge")  # a fault of ours, not of the disk
    assert _names(tmp_path) == []


@pytest.mark.parametrize("operation", ["open", "os.rename"])
def test_a_killed_write_keeps_the_old_content(tmp_path, operation):
    """Fault 2: SIGKILL before the file is opened and before it is renamed."""
    path = tmp_path / "file"
    path.write_text("old")
    script = (
        "import os, signal, sys; from pathlib import Path; from jean.files import write_text\n"
        f"def hook(event, arguments):\n    if event == {operation!r} and '.partial' in str(arguments[0]):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "sys.addaudithook(hook)\n"
        "write_text(Path(sys.argv[1]), 'new')\n"
    )
    assert subprocess.run([sys.executable, "-c", script, str(path)]).returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    write_text(path, "newer")
    assert path.read_text() == "newer"


def test_an_impossible_path_is_one_clear_error(tmp_path):
    """The clean-up of what was never written must not hide the reason."""
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "below", tmp_path / "file" / "far" / "below", tmp_path / ("n" * 250)):
        with pytest.raises(SetupError, match="cannot write"):
            write_text(path, "x")
    assert _names(tmp_path) == ["file"]


def test_a_folder_that_cannot_be_synced_is_accepted(tmp_path, monkeypatch):
    """Some network file systems refuse to sync a folder; the file is there all the same."""
    sync = os.fsync

    def refuse_folders(handle):
        if os.path.isdir(f"/proc/self/fd/{handle}"):
            raise OSError(22, "Invalid argument")
        sync(handle)

    monkeypatch.setattr(files.os, "fsync", refuse_folders)
    write_text(tmp_path / "file", "x")
    assert (tmp_path / "file").read_text() == "x"


def test_special_characters_in_names_are_written(tmp_path):
    """Fault 22."""
    for name in ("a b", "名前.json", "-rf", "quote'\";$(x)", ".hidden", "two\nlines"):
        write_text(tmp_path / name, name)
        assert (tmp_path / name).read_text() == name
    assert len(_names(tmp_path)) == 6


# JSON and hashes


def test_json_survives_a_round_trip(tmp_path):
    value = {"text": "Ü\u2028", "list": [1, 2.5, None, True], "small": 5e-324}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", float("nan"))
    assert read_json(tmp_path / "a.json") == value


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe{", b"[" * 200_000, json.dumps({"a": 1})[:-1].encode()])
def test_damaged_json_is_reported(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ArtefactError, match=r"a\.json is missing or damaged"):
        read_json(tmp_path / "a.json")


def test_missing_json_is_reported(tmp_path):
    for path in (tmp_path / "a.json", tmp_path):
        with pytest.raises(ArtefactError, match="missing or damaged"):
            read_json(path)


def test_sha256_agrees_with_known_values(tmp_path):
    """FIPS 180-2, its appendix B: "abc" and a million times "a"."""
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    (tmp_path / "a").write_bytes(b"a" * 1_000_000)
    assert sha256(tmp_path / "a") == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"


# Folders


def test_check_writable_accepts_and_rejects_folders(tmp_path, monkeypatch):
    check_writable(tmp_path / "new")
    assert _names(tmp_path / "new") == []
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(SetupError, match="cannot write"):
            check_writable(path)

    def half(path, content):
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(SetupError, match="No space left"):
        check_writable(tmp_path / "new")
    assert _names(tmp_path / "new") == []


def test_a_system_error_without_text_is_reported(tmp_path):
    assert "odd" in str(write_error(tmp_path, OSError("odd")))


_HOLDER = """
import sys; from pathlib import Path; from jean.errors import JeanError; from jean.files import folder_lock
sys.stdin.readline()
try:
    with folder_lock(Path(sys.argv[1])):
        print("held", flush=True); sys.stdin.readline()
except JeanError as error:
    print(error, flush=True); sys.exit(error.exit_code)
"""


def _holders(folder, count):
    command = [sys.executable, "-c", _HOLDER, str(folder)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return [subprocess.Popen(command, **pipes) for _ in range(count)]


def _tell(process):
    process.stdin.write("\n")
    process.stdin.flush()


def _end(process):
    process.communicate(timeout=60)
    return process.returncode


@pytest.mark.parametrize("rounds", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_one_of_eight_processes_gets_the_lock(tmp_path, rounds):
    """Fault 26: all are let go at the same moment."""
    for i in range(rounds):
        processes = _holders(tmp_path / str(i), 8)
        for process in processes:
            _tell(process)
        answers = [process.stdout.readline() for process in processes]
        assert answers.count("held\n") == 1
        assert sum("in use by another" in answer for answer in answers) == 7
        assert sorted(_end(process) for process in processes) == [0] + [5] * 7


def test_a_lock_ends_with_its_process(tmp_path):
    holder = _holders(tmp_path, 1)[0]
    _tell(holder)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(SetupError, match="in use"), folder_lock(tmp_path):
        pytest.fail("two held it")
    holder.kill()
    _end(holder)
    with folder_lock(tmp_path):
        pass


def test_a_lock_is_released(tmp_path):
    for _ in range(2):
        with pytest.raises(ValueError, match="mine"), folder_lock(tmp_path):
            raise ValueError("mine")
    with folder_lock(tmp_path):
        with pytest.raises(SetupError, match="in use"), folder_lock(tmp_path):
            pytest.fail("held twice in one process")
        refused = []
        thread = threading.Thread(target=lambda: refused.append(_is_refused(tmp_path)))
        thread.start()
        thread.join()
        assert refused == [True]


def _is_refused(folder):
    try:
        with folder_lock(folder):
            return False
    except SetupError:
        return True


def test_a_lock_that_cannot_be_created_is_reported(tmp_path):
    (tmp_path / ".lock").mkdir()
    with pytest.raises(SetupError, match="cannot write"), folder_lock(tmp_path):
        pytest.fail("held")


# JSON values


def test_plain_values_are_json_values():
    value = {1: (np.int64(3), {2, 1}, np.arange(2), None, True), "x": [np.float32(0.5), Path("a/b"), float("nan")]}
    assert plain(value) == {"1": [3, [1, 2], [0, 1], None, True], "x": [0.5, "a/b", None]}
    assert plain(np.array([[np.nan, 1.0]])) == [[None, 1.0]]


def test_plain_values_convert_paths_and_non_finite_numbers_as_asked():
    value = [Path("private/a.wav"), float("inf"), np.float64("nan")]
    assert plain(value, path=lambda path: path.name, non_finite=str) == ["a.wav", "inf", "nan"]


def test_plain_rejects_other_types():
    with pytest.raises(TypeError, match="bytes"):
        plain({"a": [b"x"]})


def test_a_safetensors_file_has_the_bytes_of_the_library(tmp_path):
    numpy, torch = pytest.importorskip("numpy"), pytest.importorskip("torch")
    from safetensors.numpy import save as save_arrays
    from safetensors.torch import save as save_tensors

    random = numpy.random.default_rng(0)
    kinds = ["uint64", "int64", "float64", "float32", "uint32", "int32", "float16", "uint16", "int16", "int8", "uint8"]
    arrays = {f"{kind} {n}": (100 * random.random((n, 3))).astype(kind) for kind in kinds for n in (2, 0)}
    arrays |= {"flag": random.random(5) > 0.5, "číslo": numpy.array(4.0), "b": numpy.ones((2, 0))}
    tensors = {name: torch.from_numpy(value) for name, value in arrays.items()}
    tensors["brain"] = torch.linspace(-1, 1, 7).bfloat16()
    for metadata in (None, {"one": '„quoted" text\n'}):
        digest = write_safetensors(tmp_path / "a", arrays, metadata)
        assert (tmp_path / "a").read_bytes() == save_arrays(arrays, metadata)
        assert digest == sha256(tmp_path / "a")
        write_safetensors(tmp_path / "t", tensors, metadata)
        assert (tmp_path / "t").read_bytes() == save_tensors(tensors, metadata)


def test_a_safetensors_file_follows_the_umask(tmp_path):
    import numpy as np
    import torch
    from safetensors.numpy import load_file

    before = os.umask(0o022)
    try:
        rows = np.arange(6.0).reshape(2, 3)
        digest = write_safetensors(tmp_path / "a.safetensors", {"a": rows.T}, {"made": "here"})
        write_safetensors(tmp_path / "b.safetensors", {"b": torch.from_numpy(rows).T})
    finally:
        os.umask(before)
    assert [path.stat().st_mode & 0o777 for path in sorted(tmp_path.iterdir())] == [0o644, 0o644]
    assert digest == sha256(tmp_path / "a.safetensors")
    for name in "ab":
        np.testing.assert_array_equal(load_file(tmp_path / f"{name}.safetensors")[name], rows.T)
