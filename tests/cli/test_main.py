"""The command line as a shell sees it: exit codes, one line of error, one JSON document, no ANSI."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jean.errors import ArtefactError, DivergedError, InputError, Interrupted, SetupError, UsageError
from jean.weights import store as weights
from jean_cli.main import main

ROOT = Path(__file__).resolve().parents[2]
JEAN = [sys.executable, "-m", "jean_cli"]
COMMANDS = [
    "prepare",
    "train-landmarks",
    "train-audio",
    "train-expr",
    "train-lips",
    "train-motion",
    "train-nerf",
    "train",
    "act",
    "render",
    "evaluate",
    "demo",
    "doctor",
    "models",
]


def run(*arguments: str) -> int:
    """Runs the command line in this process."""
    with pytest.raises(SystemExit) as caught:
        main(list(arguments))
    return int(caught.value.code or 0)


@pytest.fixture(autouse=True)
def keep_signals() -> Any:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Makes ``jean models list`` fail."""

    def register() -> None:
        raise error

    monkeypatch.setattr(weights, "register", register)


def test_help_is_quick() -> None:
    def seconds() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    taken = []
    for _ in range(4):
        before = seconds()
        subprocess.run([*JEAN, "--help"], capture_output=True, check=True)
        taken.append(seconds() - before)
    assert min(taken) < 0.3


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    assert f"\n  {command} " in capfd.readouterr().out
    assert run(command, "--help") == 0
    out, err = capfd.readouterr()
    assert "Usage: jean" in out
    assert not err


def test_version(capfd: pytest.CaptureFixture[str]) -> None:
    from jean import __version__

    assert run("--version") == 0
    assert capfd.readouterr().out == f"{__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([], "Usage"),
        (["models"], "Usage"),
        (["nonsense"], "No such command"),
        (["prepare", "-o", "out"], "VIDEO"),
        (["prepare", "a.mp4"], "--output"),
        (["prepare", "a.mp4", "-o", "out", "--size", "big"], "--size"),
        (["prepare", "a.mp4", "-o", "out", "--sise", "3"], "--sise"),
        (["prepare", "a.mp4", "-o", "out", "--seed", "-1"], "--seed"),
        (["prepare", "a.mp4", "-o", "out", "--set", "sise=3"], "Did you mean 'size'?"),
        (["prepare", "a.mp4", "-o", "out", "--device", "tpu"], "--device"),
        (["models", "path", "nonsense"], "no weights are called"),
    ],
)
def test_usage_errors(arguments: list[str], part: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(*arguments) == 2
    out, err = capfd.readouterr()
    assert not out
    assert part in err
    assert "Traceback" not in err
    if part != "Usage":
        assert err.count("\n") == 1
        assert err.startswith("error: ")


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "code", "part"),
    [
        (UsageError("wrong", "Do it right."), 2, "wrong Do it right."),
        (InputError("no face"), 3, "no face"),
        (ArtefactError("two\nlines \x1b[31mred"), 4, r"two lines \x1b[31mred"),
        (SetupError("locked"), 5, "locked"),
        (DivergedError("NaN"), 6, "NaN"),
        (Interrupted(signal.SIGTERM), 143, "Run the same command again"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError(), 5, "memory"),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA"), 5, "memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), 5, "memory"),
        (RuntimeError("std::bad_alloc"), 5, "memory"),
        (ImportError("libtorch.so: failed to map segment from shared object"), 5, "memory"),
        (RuntimeError("can't start new thread"), 5, "memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), 5, "memory"),
        (caused(ArtefactError("made by another version"), MemoryError()), 5, "memory"),
        (caused(InputError("damaged"), OSError(errno.ENOMEM, "Cannot allocate memory")), 5, "memory"),
        (caused(ArtefactError("made by another version"), RuntimeError("size mismatch")), 4, "another version"),
        (OSError(errno.ENOSPC, "No space left on device", "a file"), 5, "No space left on device (a file)"),
        (OSError(errno.EROFS, "Read-only file system"), 5, "Read-only"),
        (PermissionError(errno.EACCES, "Permission denied"), 5, "denied"),
        (ModuleNotFoundError("No module named 'mediapipe'", name="mediapipe"), 5, "pip install mediapipe"),
        (ModuleNotFoundError("No module named 'cv2'", name="cv2"), 5, "pip install opencv-python"),
        (ImportError("libGL.so.1: cannot open shared object file"), 5, "apt-get install -y libgl1"),
        (OSError("Could not find/load shared object file 'libllvmlite.so'"), 5, "cannot be loaded"),
        (ModuleNotFoundError("No module named 'jean.x'", name="jean.x"), 1, "internal error"),
        (ZeroDivisionError("division\nby zero"), 1, "internal error: ZeroDivisionError: division by zero"),
        (RecursionError(), 1, "run with --verbose"),
        (OSError(errno.ENAMETOOLONG, "File name too long", 300 * "x"), 2, "File name too long: xxx"),
        (FileNotFoundError(errno.ENOENT, "No such file", "x"), 1, "internal error"),
    ],
)
def test_failures(
    error: BaseException, code: int, part: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    fail_with(monkeypatch, error)
    assert run("models", "list") == code
    out, err = capfd.readouterr()
    assert not out
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert part in err

    assert run("models", "list", "--json") == code
    out, err = capfd.readouterr()
    assert json.loads(out)["error"]["exit_code"] == code
    assert err.count("\n") == 1

    assert run("models", "list", "--verbose") == code
    assert "Traceback" in capfd.readouterr().err


def test_a_warning_of_python_is_one_line() -> None:
    code = (
        "import warnings\nfrom jean.weights import store\nfrom jean_cli.main import main\n"
        "def warn():\n    warnings.warn('the sound is clipped,\\nin 3 samples')\n    return {}\n"
        "store.register = warn\nmain(['models', 'list'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "warning: the sound is clipped, in 3 samples\n"


def test_usage_errors_as_json(capfd: pytest.CaptureFixture[str]) -> None:
    assert run("prepare", "--json") == 2
    out, err = capfd.readouterr()
    assert json.loads(out)["error"]["type"] == "UsageError"
    assert err.startswith("error: ")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_signals(signum: int) -> None:
    code = (
        "import sys, time\nfrom jean.weights import store\nfrom jean_cli.main import main\n"
        "def slow():\n    try:\n        print('ready', flush=True)\n        time.sleep(60)\n"
        "    finally: print('cleaned', flush=True)\n"
        "store.register = slow\nmain(['models', 'list'])"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    child.send_signal(signum)
    out, err = child.communicate(timeout=20)
    assert child.returncode == 128 + signum
    assert out == "cleaned\n"
    assert err.startswith("error: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [["--help"], ["models", "list"], ["models", "list", "--json"], ["models", "path", "x", "--json"]]
)
def test_closed_pipe_is_silent(arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*JEAN, *arguments], stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert done.returncode == 141
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
    if "x" not in arguments:
        assert done.stderr == ""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", [["models", "list"], ["models", "list", "--json"], ["--help"], ["--version"]])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_full_disk_on_stdout(arguments: list[str], unbuffered: str) -> None:
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*JEAN, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=environment
        )
    assert done.returncode == 5
    assert done.stderr.startswith("error: No space left")
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("stdout", ["/dev/full", "/dev/null"])
def test_full_disk_on_stderr_keeps_the_exit_code(stdout: str) -> None:
    with open("/dev/full", "w") as full, open(stdout, "w") as out:
        done = subprocess.run([*JEAN, "models", "path", "nonsense"], stdout=out, stderr=full, check=False)
    assert done.returncode == 2


def test_json_holds_what_is_known_in_spite_of_a_failure(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    fail_with(monkeypatch, ArtefactError("wrong.", facts={"synthetic": True}))
    assert run("models", "list", "--json") == 4
    assert json.loads(capfd.readouterr().out) == {
        "synthetic": True,
        "error": {"type": "ArtefactError", "message": "wrong.", "remedy": "", "exit_code": 4},
    }


def test_closed_stdout() -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" "$@" >&-', *JEAN, "models", "path"], stderr=subprocess.PIPE, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "arguments",
    [
        ["models", "list"],
        ["models", "path"],
        ["models", "verify"],
        pytest.param(["doctor"], marks=pytest.mark.slow),  # imports torch
    ],
)
def test_json_is_one_document_without_ansi(arguments: list[str]) -> None:
    coloured = {**os.environ, "FORCE_COLOR": "1", "GITHUB_ACTIONS": "true", "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([*JEAN, *arguments, "--json"], capture_output=True, text=True, env=coloured, check=False)
    assert done.returncode == 0, done.stderr
    assert isinstance(json.loads(done.stdout), dict)
    assert "\x1b" not in done.stdout + done.stderr


NAMES = ["-leading.mp4", "--output", "two words.mp4", "映画 ő.mp4", "a'b\"c;touch canary;$(touch canary).mp4", "-"]


@pytest.mark.parametrize("name", NAMES)
def test_file_names(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import jean.preparation.prepare as module
    from jean.preparation.config import PrepareConfig

    called = []

    def prepare(videos: list[Path], output: Path, config: Any, progress: Any, consent: Any) -> dict[str, Any]:
        called.append((videos, output, config))
        progress.say("hello")
        return {"path": output, "value": float("nan")}

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "prepare", prepare)
    assert run("prepare", "-o", name, "--size", "256", "--json", "--", name, "second.mp4") == 0
    ((videos, output, config),) = called
    assert videos == [Path(name), Path("second.mp4")]
    assert output == Path(name)
    assert config == PrepareConfig(size=256)
    out, err = capfd.readouterr()
    assert json.loads(out) == {"path": name, "value": None}
    assert err == "hello\n"
    assert not list(tmp_path.iterdir())


def test_models_verify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("JEAN_MODELS", str(tmp_path))
    name = "face_landmarker.task"
    assert run("models", "path") == 0
    assert capfd.readouterr().out == f"{tmp_path}\n"
    assert run("models", "verify") == 0
    assert run("models", "verify", name) == 5
    assert f"jean models pull {name}" in capfd.readouterr().err
    (tmp_path / name).write_bytes(b"something else")
    for arguments in (["verify"], ["verify", name], ["path", name], ["pull", name]):
        assert run("models", *arguments) == 4
        assert str(tmp_path / name) in capfd.readouterr().err
    assert run("models", "list", "--json") == 0
    states = {item["name"]: item["state"] for item in json.loads(capfd.readouterr().out)["models"]}
    assert states.pop(name) == "wrong"
    assert set(states.values()) == {"missing"}


@pytest.mark.parametrize(
    ("own", "count"),
    [({}, "3000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "passive"}, None)],
)
def test_torch_is_told_to_wait_briefly_before_it_is_imported(own: dict[str, str], count: str | None) -> None:
    """libgomp reads the environment once: later it would be for nothing."""
    code = """
import os, sys
from jean_cli import main
asked = []
main._run = lambda *_, **__: asked.append((os.environ.get("GOMP_SPINCOUNT"), "torch" in sys.modules)) or 0
try:
    main.main([])
except SystemExit:
    print(asked)
"""
    plain = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run([sys.executable, "-c", code], env=plain | own, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str([(count, False)])
