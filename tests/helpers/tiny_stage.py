"""A tiny stage that uses everything a checkpoint must store, and a server that trains it in processes.

Run as a program, this file reads one JSON job per line, forks a process for each and answers with its id. A test that
kills fifty training runs then imports torch once.
"""

from __future__ import annotations

import gc
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

FILE_EVENTS = {"open", "os.rename", "os.remove", "os.truncate", "os.mkdir"}
STEPS = 40


def make_stage(seed: int = 1, fault: dict | None = None, name: str = "tiny", width: int = 8, device: str = "cpu"):
    import numpy as np
    import torch

    fault = fault or {}

    class TinyStage:
        def __init__(self):
            torch.manual_seed(seed)  # for the weights only: the loop must seed the global generators of a step
            self.name = name
            body = torch.nn.Sequential(
                torch.nn.Linear(4, width), torch.nn.BatchNorm1d(width), torch.nn.Dropout(0.2), torch.nn.Linear(width, 1)
            )
            head = torch.nn.Linear(1, 1)
            self.modules = {"body": body.to(device), "head": head.to(device)}
            self.optimisers = {
                "adam": torch.optim.Adam(body.parameters(), lr=0.01, betas=(0.8, 0.9)),
                "adamw": torch.optim.AdamW(head.parameters(), lr=0.02, weight_decay=0.1, fused=True),
            }
            self.generator = torch.Generator(device).manual_seed(seed)
            self.grid = torch.zeros(3, device=device)

        def step(self, step):
            self._at("step", step)
            time.sleep(fault.get("pause_s", 0.0))
            x = torch.randn(16, 4, generator=self.generator, device=device)
            x = x * random.random() + float(np.random.normal())  # normal() caches a second number
            if fault.get("nan") == "data" and step == fault["step"]:
                x[3] = float("nan")
            for optimiser in self.optimisers.values():
                optimiser.zero_grad()
                optimiser.param_groups[0]["lr"] *= 0.99
            loss = (self.modules["head"](self.modules["body"](x)) - x.sum(1, keepdim=True)).square().mean()
            if fault.get("nan") == "loss" and step == fault["step"]:
                loss = loss * float("nan")
            loss.backward()
            if fault.get("nan") == "gradient" and step == fault["step"]:
                self.modules["head"].weight.grad.fill_(float("nan"))
            for optimiser in self.optimisers.values():
                optimiser.step()
            if fault.get("nan") == "parameter" and step == fault["step"]:
                with torch.no_grad():
                    self.modules["head"].weight.fill_(float("inf"))
            self.grid = self.grid * 0.9 + torch.rand(3, generator=self.generator, device=device)
            return {"loss": float(loss.detach()), "rays_per_s": time.time()}

        def evaluate(self, step):
            self._at("evaluate", step)
            noise = float(torch.rand((), generator=self.generator, device=device)) + random.random()
            return {"score": float(self.modules["head"].weight.detach().abs().sum()) + noise, "rays_per_s": time.time()}

        def preview(self, step, folder):
            self._at("preview", step)
            torch.rand(5)
            (folder / f"{step}.txt").write_text(str(step))

        def extra_state(self):
            self._at("save")
            return {"grid": self.grid}

        def load_extra_state(self, tensors):
            self._at("load")
            self.grid = tensors["grid"].to(device)

        def _at(self, phase, step=None):
            if fault.get("at") != phase or step != fault.get("step", step):
                return
            while fault.get("hold") and not os.path.exists(fault["hold"]):
                time.sleep(0.005)
            if fault.get("allocate"):
                torch.empty(1 << 46)
            if signum := fault.pop("signal", None):
                os.kill(os.getpid(), signum)

    return TinyStage()


class Recorder:
    """A ``Progress`` that records messages and warnings."""

    def __init__(self):
        self.messages, self.warnings = [], []

    def task(self, name, total):
        from contextlib import nullcontext

        return nullcontext(lambda count, note="": None)

    def say(self, message):
        self.messages.append(message)

    def warn(self, message):
        self.warnings.append(message)


def train(
    folder,
    *,
    seed=1,
    steps=STEPS,
    config=None,
    progress=None,
    fault=None,
    begin=None,
    intact=lambda: True,
    every=(7, 10, 1, 15),
    **stage,
):
    from jean.train.engine.loop import run
    from jean.train.engine.stage import Schedule

    schedule = Schedule(steps, *every)
    stage = make_stage(seed, fault, **stage)
    settings = {"seed": seed, "rate": [0.01, 0.02]} if config is None else config
    return run(
        stage,
        Path(folder),
        schedule,
        progress or Recorder(),
        config=settings,
        meta={"width": 8},
        begin=begin,
        intact=intact,
    )


def outcome(folder):
    """The parts of a run folder that must be equal between a disturbed and an undisturbed run."""
    from jean.checkpoint import load_checkpoint

    metrics = json.loads((folder / "metrics.json").read_text())
    return {
        "checkpoint": load_checkpoint(folder).content_hash,
        "log": (folder / "log.jsonl").read_text(),
        "metrics": {key: value for key, value in metrics.items() if not key.endswith(("seconds", "_per_s", "sha256"))},
    }


class Processes:
    """Trains the tiny stage in separate processes."""

    def __init__(self):
        self.server = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(self, folder, **job):
        """Starts a run and returns its process id."""
        return self._ask({"folder": str(folder), **job})

    def wait(self, pid=-1):
        """Exit code of a process (by default the next that ends), or minus the signal that killed it."""
        return self._ask({"wait": pid})

    def run(self, folder, **job):
        return self.wait(self.start(folder, **job))

    def close(self):
        self.server.stdin.close()
        self.server.wait(30)

    def _ask(self, question):
        self.server.stdin.write(json.dumps(question) + "\n")
        self.server.stdin.flush()
        return json.loads(self.server.stdout.readline())


def _child(job):
    from jean.errors import JeanError

    kill_at_event, kill_at_byte, full_at_byte = (job.pop(k, None) for k in ("kill_event", "kill_byte", "full_byte"))
    error_file = job.pop("error_file", None)
    folder = job["folder"]
    if kill_at_byte is not None or full_at_byte is not None:
        limit = kill_at_byte if kill_at_byte is not None else full_at_byte
        # Writing past the limit kills the process, or fails with EFBIG if the signal is ignored.
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL if kill_at_byte is not None else signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    if kill_at_event is not None:
        events = 0

        def hook(event, arguments):
            nonlocal events
            if event in FILE_EVENTS and str(arguments[0]).startswith(folder + "/checkpoints"):
                if events == kill_at_event:
                    os.kill(os.getpid(), signal.SIGKILL)
                events += 1

        sys.addaudithook(hook)
    try:
        train(**job)
    except JeanError as error:
        if error_file:
            Path(error_file).write_text(str(error))
        return error.exit_code
    return 0


def _serve():
    import tempfile

    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        train(folder)  # makes torch import its lazy modules before the forks
    gc.freeze()  # the garbage collection of a forked training skips the objects of this process
    for line in sys.stdin:
        question = json.loads(line)
        if "wait" in question:
            status = os.waitpid(question["wait"], 0)[1]
            answer = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        else:
            answer = os.fork()
            if answer == 0:
                code = 99
                try:
                    code = _child(question)
                except BaseException:
                    import traceback

                    traceback.print_exc()
                finally:
                    os._exit(code)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _serve()
