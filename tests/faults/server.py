"""Runs ``jean`` commands in processes of their own, forked from one that has imported everything.

Run as a program, this file reads one JSON job per line, forks a process for it and answers with its id. A test that
kills a hundred commands then imports torch once.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE_EVENTS = {"open", "os.rename", "os.remove", "os.truncate", "os.mkdir"}
ROOT = Path(__file__).resolve().parents[2]
IMPORTED = (
    "torch._dynamo",  # every optimiser imports it
    "jean_cli.main",
    "jean.preparation.prepare",
    "jean.rendering.render",
    "jean.train.audio.stage",
    "jean.train.expression.stage",
    "jean.train.landmarks.stage",
    "jean.train.lips.train",
    "jean.train.motion.stage",
    "jean.train.nerf.train",
)
WAIT_S = 600.0  # longest life of a command; a longer one hangs


@dataclass(frozen=True)
class Ended:
    """A finished command.

    Attributes:
        code: exit code, or minus the signal that killed it.
        out: its standard output.
        err: its standard error.
    """

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """The error lines of ``err``, without progress and warnings."""
        return [line for line in self.err.splitlines() if line.startswith("error")]


class Commands:
    """Starts commands and waits for them."""

    def __init__(self, folder: Path):
        self.folder, self.number = folder, 0
        environment = dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1", JEAN_NO_COLOR="1")
        self.server = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.files: dict[int, tuple[Path, Path]] = {}

    def start(self, *arguments: Any, **fault: Any) -> int:
        """Starts a command and returns its process id.

        Args:
            arguments: of the command line.
            fault: ``kill_event=N, under=FOLDER`` kills it at the Nth file operation under the folder;
                ``kill_byte=N`` when a file grows past N bytes; ``full_byte=N`` lets such writes fail;
                ``address_space=BYTES`` limits its memory.
        """
        self.number += 1
        out, err = self.folder / f"{self.number}.out", self.folder / f"{self.number}.err"
        job = {"arguments": [str(item) for item in arguments], "out": str(out), "err": str(err), **fault}
        pid = int(self._ask(job))
        self.files[pid] = out, err
        return pid

    def wait(self, pid: int) -> Ended:
        """Waits for the end of a command."""
        begun = time.monotonic()
        while (code := self._ask({"wait": pid})) is None:
            if time.monotonic() - begun > WAIT_S:
                os.kill(pid, signal.SIGKILL)
                raise TimeoutError("the command hangs")
            time.sleep(0.01)
        out, err = self.files.pop(pid)
        return Ended(int(code), out.read_text(errors="replace"), err.read_text(errors="replace"))

    def run(self, *arguments: Any, **fault: Any) -> Ended:
        """Runs a command to its end."""
        return self.wait(self.start(*arguments, **fault))

    def close(self) -> None:
        """Ends the server."""
        assert self.server.stdin is not None
        self.server.stdin.close()
        self.server.wait(30)

    def _ask(self, question: dict[str, Any]) -> Any:
        assert self.server.stdin is not None and self.server.stdout is not None
        self.server.stdin.write(json.dumps(question) + "\n")
        self.server.stdin.flush()
        return json.loads(self.server.stdout.readline())


def _suffer(job: dict[str, Any]) -> None:
    """Arms the faults of a job in this process."""
    limit = job.get("kill_byte", job.get("full_byte"))
    if limit is not None:
        # Writing past the limit kills the process, or fails with EFBIG if the signal is ignored.
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL if "kill_byte" in job else signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    if (space := job.get("address_space")) is not None:
        resource.setrlimit(resource.RLIMIT_AS, (space, space))
    if (number := job.get("kill_event")) is not None:
        seen, under = 0, job["under"]

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal seen
            if event in FILE_EVENTS and str(arguments[0]).startswith(under):
                if seen == number:
                    os.kill(os.getpid(), signal.SIGKILL)
                seen += 1

        sys.addaudithook(hook)


def _child(job: dict[str, Any]) -> None:
    """Runs one command; never returns."""
    os.setpgid(0, 0)
    for name, number, mode in (("out", 1, "w"), ("err", 2, "w")):
        file = open(job[name], mode)  # noqa: SIM115 - it stays open until the process ends
        os.dup2(file.fileno(), number)
    sys.stdin = open(os.devnull)  # noqa: SIM115
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _suffer(job)
    from jean_cli.main import main

    code = 99
    try:
        main(job["arguments"])
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _serve() -> None:
    import gc
    import importlib

    import torch

    torch.set_num_threads(1)
    for module in IMPORTED:
        importlib.import_module(module)
    gc.freeze()  # the garbage collection of a forked command skips the objects of this process
    for line in sys.stdin:
        question = json.loads(line)
        if "wait" in question:
            pid, status = os.waitpid(question["wait"], os.WNOHANG)
            answer = None
            if pid:
                answer = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        else:
            answer = os.fork()
            if answer == 0:
                _child(question)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _serve()
