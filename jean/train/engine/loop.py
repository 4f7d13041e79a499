"""The one training loop: a trainer supplies a ``Stage``, what can go wrong around it is handled here."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from jean.checkpoint import Checkpoint, has_checkpoint, load_checkpoint, save_checkpoint, sweep
from jean.errors import ArtefactError, DivergedError, Interrupted, SetupError, is_out_of_memory
from jean.files import folder_lock
from jean.progress import Advance, Progress
from jean.train.engine import run_folder
from jean.tuning import settled_memory
from jean.train.engine.signals import Stop, StopSignals
from jean.train.engine.stage import Schedule, Stage
from jean.train.engine.state import capture, restore, same_random_after, seeded_globals


def run(
    stage: Stage,
    folder: Path,
    schedule: Schedule,
    progress: Progress,
    *,
    config: dict[str, Any],
    meta: dict[str, Any],
    begin: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """Trains ``stage`` in ``folder``: begins, goes on from the last checkpoint, or finds the work done.

    Args:
        stage: freshly built from ``config``.
        folder: the run folder; locked meanwhile.
        schedule: its ``steps`` must be those that the run was begun with.
        progress: told of every step.
        config: everything that decides the result, as JSON values; a run goes on only under an equal one.
        meta: JSON values stored in each checkpoint for those who read it (widths, hashes); not compared.
        begin: writes a trainer's further files into the folder; called before the first step, when the folder
            is locked and known to be free or of this very run.

    Returns:
        The last evaluation's scalars, ``steps``, and ``seconds`` spent in steps over all resumes.

    Raises:
        SetupError: locked, not writable, disk full, out of memory.
        ArtefactError: the folder holds a run of another stage, format or config, or only damaged checkpoints.
        DivergedError: a scalar, gradient or parameter is not finite; no checkpoint has it.
        Interrupted: SIGTERM or SIGINT came; the state is saved.
    """
    if schedule.steps < 1:
        raise ValueError("a schedule needs at least one step")
    folder = Path(folder)
    config = json.loads(json.dumps(config, allow_nan=False))  # as it will read back: tuples become lists
    with StopSignals() as signals:
        try:
            with (
                folder_lock(folder),
                _memory_errors_named(),
                seeded_globals(stage.generator.initial_seed()),
                settled_memory(),
            ):
                return _Run(stage, folder, schedule, progress, signals, config, meta).finish(begin)
        except Stop:
            raise Interrupted(signals.signum or 0) from None


class _Run:
    """One call of ``run``, in its locked folder."""

    def __init__(
        self,
        stage: Stage,
        folder: Path,
        schedule: Schedule,
        progress: Progress,
        signals: StopSignals,
        config: dict[str, Any],
        meta: dict[str, Any],
    ):
        self.stage, self.folder, self.schedule, self.progress = stage, folder, schedule, progress
        self.signals, self.config, self.meta = signals, config, meta
        self.done = 0  # steps
        self.seconds = 0.0
        self.saved: dict[str, Any] | None = None  # payload of the last checkpoint; its tensors are not kept
        self.log: run_folder.Log | None = None

    def finish(self, begin: Callable[[], None] | None) -> dict[str, Any]:
        """Does what is left to do."""
        with self.signals.interruptible():
            if has_checkpoint(self.folder):
                checkpoint = self._load()
                finished = run_folder.finished_metrics(self.folder, checkpoint.content_hash)
                if finished is not None:
                    self.progress.say(f"{self.folder} is finished: nothing to do.")
                    return finished
                restore(self.stage, checkpoint)
                self.saved = checkpoint.payload
                self.done, self.seconds = checkpoint.step, float(self.saved["seconds"])
                del checkpoint
                self.progress.say(f"going on from step {self.done} of {self.schedule.steps}.")
            sweep(self.folder)
            run_folder.write_description(self.folder, self.config, self._device())
            if begin is not None:
                begin()
        length_bytes = self.saved["log_bytes"] if self.saved else 0
        self.log = run_folder.Log(self.folder / "log.jsonl", length_bytes, self.progress.warn)
        try:
            with self.progress.task(f"train {self.stage.name}", self.schedule.steps) as advance:
                advance(self.done)
                if self.saved:
                    self._look()  # a checkpoint is older than the evaluation of its step
                while self.done < self.schedule.steps:
                    self._step(advance)
                    self._save_if_due()
                    self._look()
            return self._conclude()
        finally:
            self.log.close()

    def _load(self) -> Checkpoint:
        checkpoint = load_checkpoint(self.folder, stage=self.stage.name, warn=self.progress.warn)
        run_folder.require_same_settings(self.folder, checkpoint.payload["config"], self.config)
        steps = checkpoint.payload["steps"]
        if steps != self.schedule.steps:
            raise ArtefactError(
                f"{self.folder} was begun with {steps} steps, not {self.schedule.steps}.",
                "Give the same number, or choose another --output.",
            )
        return checkpoint

    def _device(self) -> str:
        parameters = (parameter for module in self.stage.modules.values() for parameter in module.parameters())
        return str(next(parameters, torch.empty(0)).device)

    def _step(self, advance: Advance) -> None:
        begun = time.monotonic()
        found = self.stage.step(self.done)
        self.done += 1
        logged = _due(self.done, self.schedule.log_every) or self.done == self.schedule.steps
        # reading a card's numbers waits for it. What is not finite stays so, and no checkpoint is made of it.
        if not (logged or self._save_due()) and any(isinstance(v, torch.Tensor) and v.is_cuda for v in found.values()):
            self.seconds += time.monotonic() - begun
            advance(1)
            return
        scalars = {name: float(value) for name, value in found.items()}
        self._require_finite("training", self.done, scalars)
        self._require_finite_gradients()
        self.seconds += time.monotonic() - begun
        advance(1, ", ".join(f"{name} {value:.4g}" for name, value in scalars.items()))
        if logged:
            self._log("train", scalars)

    def _save_due(self) -> bool:
        """Before every evaluation and preview too: those may then be cut short without loss."""
        every = (self.schedule.save_every, self.schedule.evaluate_every, self.schedule.preview_every)
        return self.done == self.schedule.steps or any(_due(self.done, n) for n in every)

    def _save_if_due(self) -> None:
        stopped = self.signals.signum is not None
        if stopped or self._save_due():
            self._save()
            if self.signals.signum is not None:  # asked only here: a signal after the question above is not saved yet
                raise Stop

    def _save(self) -> None:
        assert self.log is not None
        tensors, state = capture(self.stage)
        self.log.sync()
        payload = {
            "stage": self.stage.name,
            "step": self.done,
            "steps": self.schedule.steps,
            "seconds": self.seconds,
            "log_bytes": self.log.length_bytes,
            "config": self.config,
            "meta": self.meta,
            "state": state,
        }
        self.saved = save_checkpoint(self.folder, tensors, payload)

    def _look(self) -> None:
        """Evaluates and previews where due, and then the step is saved; the end has its own evaluation."""
        evaluate = _due(self.done, self.schedule.evaluate_every) and self.done < self.schedule.steps
        preview = _due(self.done, self.schedule.preview_every)
        if not evaluate and not preview:
            return
        with self.signals.interruptible():
            if evaluate:
                self._evaluate()
            if preview:
                folder = self.folder / "previews"
                folder.mkdir(exist_ok=True)
                with same_random_after(self.stage.generator):
                    self.stage.preview(self.done, folder)

    def _evaluate(self) -> dict[str, float]:
        with same_random_after(self.stage.generator):
            scalars = self.stage.evaluate(self.done)
        self._require_finite("evaluation", self.done, scalars)
        self._log("evaluation", scalars)
        return scalars

    def _conclude(self) -> dict[str, Any]:
        assert self.saved is not None and self.saved["step"] == self.schedule.steps
        with self.signals.interruptible():
            metrics = {**self._evaluate(), "steps": self.done, "seconds": self.seconds}
            run_folder.write_metrics(self.folder, metrics, self.saved["tensors_sha256"])
        return metrics

    def _log(self, kind: str, scalars: dict[str, float]) -> None:
        assert self.log is not None
        self.log.write(kind, self.done, scalars)

    def _require_finite(self, what: str, step: int, scalars: dict[str, float]) -> None:
        for name, value in scalars.items():
            if not math.isfinite(value):
                raise self._diverged(f"{what} gave {name} = {value} at step {step}")

    def _require_finite_gradients(self) -> None:
        """Adds up what the step left in ``.grad``: a sum keeps each NaN and infinity, and is far quicker than a norm.

        Summed in float32: finite gradients overflow it only beyond 1e38, where training has diverged all the same.
        """
        for name, optimiser in self.stage.optimisers.items():
            if getattr(optimiser, "finite", None):  # it has looked while it was there
                continue
            parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
            sums = [p.grad.detach().sum(dtype=torch.float32) for p in parameters if p.grad is not None]
            if sums and not bool(torch.isfinite(torch.stack(sums)).all()):
                raise self._diverged(f"a gradient of optimiser {name!r} is not finite at step {self.done}")

    def _diverged(self, message: str) -> DivergedError:
        kept = f"Step {self.saved['step']} is kept." if self.saved else "Nothing was saved."
        return DivergedError(f"{self.stage.name}: {message}.", f"{kept} Lower the learning rate or check the data.")


def _due(step: int, every: int) -> bool:
    return every > 0 and step > 0 and step % every == 0


@contextmanager
def _memory_errors_named() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise SetupError(
            "the memory is not enough for this training.",
            "Take fewer rays or samples a step, smaller planes, or a smaller --size; the last checkpoint is kept.",
        ) from error
