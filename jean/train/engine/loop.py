"""The training loop of every stage: resuming, saving, evaluating, signals, divergence and full disks.

A trainer supplies a ``Stage`` and calls ``run``.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch

from jean.checkpoint import Checkpoint, has_checkpoint, load_checkpoint, save_checkpoint, sweep
from jean.errors import ArtefactError, DivergedError, Interrupted, SetupError, is_out_of_memory
from jean.files import folder_lock
from jean.progress import Advance, Progress, Silent
from jean.train.engine import ranks, run_folder
from jean.train.engine.signals import Stop, StopSignals
from jean.train.engine.stage import Schedule, Stage
from jean.train.engine.state import capture, restore, same_random_after, seeded_globals
from jean.tuning import settled_memory

_AGREE_EVERY = 8  # steps after which several ranks agree whether a signal has arrived


def run(
    stage: Stage,
    folder: Path,
    schedule: Schedule,
    progress: Progress,
    *,
    config: dict[str, Any],
    meta: dict[str, Any],
    begin: Callable[[], None] | None = None,
    intact: Callable[[], bool] = lambda: True,
) -> dict[str, Any]:
    """Trains ``stage`` in ``folder``: starts, resumes from the last checkpoint, or returns the result if finished.

    Under ``torchrun``, all ranks call this with equal arguments (``jean.train.engine.ranks``); the first one writes.

    A run that had fewer steps goes on to the new number. Its learning rates then follow the schedule of the new number,
    so that it is not the same as a run of that length from the start; ``extended_from`` in its result says so.

    Args:
        stage: a new stage, built from ``config``.
        folder: the run folder; it is locked during the training.
        schedule: when to save, evaluate, log and preview. ``steps`` must not become fewer when a run is resumed.
        progress: receives messages, warnings and every step.
        config: everything that decides the result, as JSON values. A run is only resumed under an equal config, apart
            from its length.
        meta: JSON values for readers of the checkpoints (widths, hashes); not compared.
        begin: writes further files of the trainer into the folder. It is called before the first step of this call,
            when the folder is locked and known to be empty or to belong to this run.
        intact: whether the files of ``begin`` are whole. If not, a finished run is not taken for finished: ``begin``
            writes them again, and the last step is evaluated again.

    Returns:
        The scalars of the last evaluation, ``steps``, ``seconds`` spent in steps, over all resumes, and, for a run that
        was extended, its former numbers of steps as ``extended_from``.

    Raises:
        SetupError: the folder is locked or not writable, the disk is full, or memory is exhausted.
        ArtefactError: the folder holds a run of another stage, format or config, or only damaged checkpoints.
        DivergedError: a scalar, gradient or parameter is not finite. No checkpoint contains it.
        Interrupted: SIGTERM or SIGINT arrived. The state is saved.
    """
    if schedule.steps < 1:
        raise ValueError("a schedule needs at least one step")
    folder, progress = Path(folder), progress if ranks.is_first() else Silent()
    ranks.from_first(None)  # the first rank writes as soon as all have checked what they need
    config = json.loads(json.dumps(config, allow_nan=False))  # as read from a checkpoint: tuples become lists
    with StopSignals() as signals:
        try:
            with (
                folder_lock(folder) if ranks.is_first() else nullcontext(),
                _explain_memory_errors(),
                seeded_globals(stage.generator.initial_seed()),
                settled_memory(),
            ):
                return _Run(stage, folder, schedule, progress, signals, config, meta).finish(begin, intact)
        except (Stop, ranks.LostRankError) as error:
            if isinstance(error, ranks.LostRankError) and signals.signum is None:
                raise
            raise Interrupted(signals.signum or 0) from None  # another rank may have stopped first


class _Run:
    """State of one call of ``run``, in its locked folder."""

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
        self.done = 0  # finished steps
        self.seconds = 0.0
        self.extended_from: list[int] = []  # former lengths of the run, steps
        self.saved: dict[str, Any] | None = None  # payload of the last checkpoint, without its tensors
        self.log: run_folder.Log | None = None  # the first rank's
        self.agreed_signal: int | None = None  # of several ranks

    def finish(self, begin: Callable[[], None] | None, intact: Callable[[], bool]) -> dict[str, Any]:
        """Resumes if there is a checkpoint, trains the remaining steps, and returns the metrics."""
        with self.signals.interruptible():
            checkpoint = self._load() if has_checkpoint(self.folder) else None
            self._require_one_folder(checkpoint)
            if checkpoint is not None:
                metrics = None
                if checkpoint.payload["steps"] == self.schedule.steps:
                    metrics = run_folder.finished_metrics(self.folder, checkpoint.content_hash)
                metrics = ranks.from_first(metrics if metrics is not None and intact() else None)
                if metrics is not None:
                    self.progress.say(f"{self.folder} is finished: nothing to do. More --steps continue it.")
                    return metrics
                restore(self.stage, checkpoint)
                self.saved = checkpoint.payload
                self.done, self.seconds = checkpoint.step, float(self.saved["seconds"])
                del checkpoint
                self.progress.say(f"resuming at step {self.done} of {self.schedule.steps}.")
                if (before := self.saved.get("ranks", 1)) != ranks.count():
                    self.progress.say(
                        f"it was trained by {before} ranks until here and is now by {ranks.count()}: "
                        "the result will not be the same bit by bit."
                    )
            ranks.copy_from_first(t for module in self.stage.modules.values() for t in module.state_dict().values())
            if ranks.is_first():
                sweep(self.folder)
                run_folder.write_description(self.folder, self.config, self._device())
                if begin is not None:
                    begin()
        if ranks.is_first():
            length_bytes = self.saved["log_bytes"] if self.saved else 0
            self.log = run_folder.Log(self.folder / run_folder.LOG, length_bytes, self.progress.warn)
        try:
            with self.progress.task(f"train {self.stage.name}", self.schedule.steps) as advance:
                advance(self.done)
                if self.saved:
                    self._evaluate_and_preview_if_due()  # a checkpoint is written before the evaluation of its step
                while self.done < self.schedule.steps:
                    self._step(advance)
                    self._save_if_due()
                    self._evaluate_and_preview_if_due()
            return ranks.from_first(self._conclude() if ranks.is_first() else {})
        finally:
            if self.log is not None:
                self.log.close()

    def _require_one_folder(self, checkpoint: Checkpoint | None) -> None:
        """Checks that all ranks see the same run folder."""
        seen = None if checkpoint is None else checkpoint.content_hash
        if seen != ranks.from_first(seen):
            raise SetupError(
                f"rank {ranks.index()} does not see the checkpoints of {self.folder} that the first rank sees.",
                "Put the folder on storage that all machines share.",
            )

    def _load(self) -> Checkpoint:
        checkpoint = load_checkpoint(self.folder, stage=self.stage.name, warn=self.progress.warn)
        run_folder.require_same_settings(self.folder, checkpoint.payload["config"], self.config)
        steps = checkpoint.payload["steps"]
        if steps > self.schedule.steps:
            raise ArtefactError(
                f"{self.folder} was started with {steps} steps, more than {self.schedule.steps}.",
                "Give at least as many, or choose another --output.",
            )
        self.extended_from = list(checkpoint.payload.get("extended_from", []))
        if steps < self.schedule.steps:
            self.extended_from.append(steps)
            self.progress.say(f"extending the run from {steps} to {self.schedule.steps} steps.")
        return checkpoint

    def _device(self) -> str:
        parameters = (parameter for module in self.stage.modules.values() for parameter in module.parameters())
        return str(next(parameters, torch.empty(0)).device)

    def _step(self, advance: Advance) -> None:
        ranks.seed_globals(self.stage.generator.initial_seed(), self.done)
        start = time.monotonic()
        outputs = self.stage.step(self.done)
        self.done += 1
        logged = _due(self.done, self.schedule.log_every) or self.done == self.schedule.steps
        on_gpu = any(isinstance(value, torch.Tensor) and value.is_cuda for value in outputs.values())
        # Reading GPU scalars synchronises, so skip it on steps that neither log nor save. A NaN persists in the
        # parameters and is found on the next step that does, before a checkpoint is written.
        if on_gpu and not logged and not self._save_due():
            self.seconds += time.monotonic() - start
            advance(1)
            return
        scalars = {name: float(value) for name, value in outputs.items()}
        self._require_finite("training", self.done, scalars)
        self._require_finite_gradients()
        self.seconds += time.monotonic() - start
        advance(1, ", ".join(f"{name} {value:.4g}" for name, value in scalars.items()))
        if logged:
            self._log("train", scalars)

    def _save_due(self) -> bool:
        """Whether a checkpoint is due: also before evaluations and previews, so that these can be interrupted."""
        every = (self.schedule.save_every, self.schedule.evaluate_every, self.schedule.preview_every)
        return self.done == self.schedule.steps or any(_due(self.done, n) for n in every)

    def _save_if_due(self) -> None:
        if ranks.count() > 1 and (_due(self.done, _AGREE_EVERY) or self._save_due()):
            self.agreed_signal = ranks.largest(self.signals.signum or 0) or None
            self.signals.signum = self.signals.signum or self.agreed_signal
        stopped = self.signals.signum if ranks.count() == 1 else self.agreed_signal
        if stopped is not None or self._save_due():
            if ranks.is_first():
                self._save()
            if ranks.count() > 1 and stopped is None:
                return  # a signal that has arrived since is agreed on later
            # only after a save, so that no step is lost; this also sees a signal that arrived during the save
            if self.signals.signum is not None:
                raise Stop

    def _save(self) -> None:
        assert self.log is not None
        tensors, state = capture(self.stage)
        self.log.sync()
        payload = {
            "stage": self.stage.name,
            "step": self.done,
            "steps": self.schedule.steps,
            "extended_from": self.extended_from,
            "seconds": self.seconds,
            "log_bytes": self.log.length_bytes,
            "ranks": ranks.count(),
            "config": self.config,
            "meta": self.meta,
            "state": state,
        }
        self.saved = save_checkpoint(self.folder, tensors, payload)

    def _evaluate_and_preview_if_due(self) -> None:
        """Evaluates and previews a step that is already saved. The last step is evaluated by ``_conclude``."""
        evaluate = _due(self.done, self.schedule.evaluate_every) and self.done < self.schedule.steps
        preview = _due(self.done, self.schedule.preview_every)
        if not (evaluate or preview) or not ranks.is_first():
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
            metrics: dict[str, Any] = {**self._evaluate(), "steps": self.done, "seconds": self.seconds}
            if self.extended_from:
                metrics["extended_from"] = self.extended_from
            run_folder.write_metrics(self.folder, metrics, self.saved["tensors_sha256"])
        return metrics

    def _log(self, kind: str, scalars: dict[str, float]) -> None:
        if self.log is not None:
            self.log.write(kind, self.done, scalars)

    def _require_finite(self, what: str, step: int, scalars: dict[str, float]) -> None:
        for name, value in scalars.items():
            if not math.isfinite(value):
                raise self._diverged(f"{what} gave {name} = {value} at step {step}")

    def _require_finite_gradients(self) -> None:
        """Raises ``DivergedError`` if a gradient is not finite.

        It sums every gradient: a sum keeps NaN and infinity, and is much faster than a norm. The float32 sum of finite
        gradients overflows only beyond 1e38, where training has diverged anyway.
        """
        for name, optimiser in self.stage.optimisers.items():
            if getattr(optimiser, "finite", None):  # the optimiser has checked the gradients in its own pass
                continue
            parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
            sums = [p.grad.detach().sum(dtype=torch.float32) for p in parameters if p.grad is not None]
            if sums and not bool(torch.isfinite(torch.stack(sums)).all()):
                raise self._diverged(f"a gradient of optimiser {name!r} is not finite at step {self.done}")

    def _diverged(self, message: str) -> DivergedError:
        state = f"Step {self.saved['step']} is saved." if self.saved else "Nothing was saved."
        return DivergedError(f"{self.stage.name}: {message}.", f"{state} Lower the learning rate or check the data.")


def _due(step: int, every: int) -> bool:
    return every > 0 and step > 0 and step % every == 0


@contextmanager
def _explain_memory_errors() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise SetupError(
            "this training needs more memory than there is.",
            "Use fewer rays or samples per step, smaller planes, or a smaller --size. The last checkpoint is kept.",
        ) from error
