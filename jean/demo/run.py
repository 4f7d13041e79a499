"""Runs the demo: synthetic videos, prepare, train, render, ground truth, evaluate, report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import jean
from jean.demo.config import DemoConfig
from jean.demo.demo_clips import (
    EXPRESSION,
    POSE,
    SPEECH,
    TRAIN,
    clips_of_role,
    plan_clips,
    video_path,
    write_videos,
)
from jean.files import check_writable, folder_lock, write_json
from jean.preparation.store import StepStore
from jean.progress import Progress, Silent
from jean.weights import store as weights
from jean.weights.provide import provide

TRACKER, TRACKER_WEIGHTS = "mediapipe", "face_landmarker.task"


def run_demo(output: Path, config: DemoConfig | None = None, progress: Progress | None = None) -> dict[str, Any]:
    """Runs every stage of the project on a synthetic speaker and writes a report to ``output``.

    Finished stages are kept, so that an interrupted demo continues. Landmarks and poses come from the synthetic
    speaker's ground truth. If MediaPipe and its weights are installed, it also tracks one clip and measures the
    rendered video.

    Args:
        output: folder of all results.
        config: options; None: the defaults.
        progress: shows stages and messages; None: nothing.

    Returns:
        Paths (``video``, ``report``), scores (``psnr_db`` …), ``mouth_correlation`` and its estimator,
        ``tracker_check``, ``training``, ``render_frames_per_s``, ``stage_seconds``, ``seconds``.

    Raises:
        SetupError: the output cannot be written or is in use.
    """
    output, config, progress = Path(output), config or DemoConfig(), progress or Silent()
    check_writable(output)
    with folder_lock(output):
        return _Demo(output, config, progress).run()


class DemoStages:
    """The demo's stages, each a step of a ``StepStore``.

    A stage runs again if its inputs, an earlier stage or the version of the project changed, or if one of its
    files is missing or was changed. The files lie in the output folder, outside the store.

    Args:
        output: folder of the demo.
        progress: shows which stage runs.

    Attributes:
        seconds: duration of each stage when it last ran, by title.
    """

    def __init__(self, output: Path, progress: Progress):
        self._store, self._progress = StepStore(output), progress
        self.seconds: dict[str, float] = {}

    def run(
        self, name: str, title: str, inputs: dict[str, Any], files: list[Path], work: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        """Runs ``work`` unless the stage is finished; returns its result.

        Args:
            name: of the step in the store.
            title: for messages and the report.
            inputs: JSON values that determine the result, apart from the earlier stages.
            files: files and folders that the stage writes.
            work: does the stage and returns JSON values.
        """

        def announced_work(_: Path) -> dict[str, Any]:
            self._progress.say(f"{title} …")
            return work()

        previous = self._store.steps[-1].key if self._store.steps else jean.__version__
        step = self._store.run(name, {"inputs": inputs, "previous": previous}, announced_work, products=files)
        if step.reused:
            self._progress.say(f"{title}: already done.")
        self.seconds[title] = step.seconds
        return step.info


class _Demo:
    """One run of the demo in its locked output folder."""

    def __init__(self, output: Path, config: DemoConfig, progress: Progress):
        self.output, self.config, self.progress = output, config, progress
        self.clips = plan_clips(config)
        self.videos = {clip.name: video_path(output / "videos", clip) for clip in self.clips}
        # Only the sound of the speech clip is used, so it is not prepared.
        self.folders = {c.name: output / "clips" / c.name for c in self.clips if c.role != SPEECH}
        self.train_names = [clip.name for clip in clips_of_role(self.clips, TRAIN)]
        self.source = {role: clips_of_role(self.clips, role)[0].name for role in (SPEECH, EXPRESSION, POSE)}
        self.truth = output / "truth"
        self.video = output / "crossed.mp4"
        # Decided once: weights that appear during a run must not change its later stages.
        self.tracker = TRACKER if _can_track(progress) else None

    def run(self) -> dict[str, Any]:
        """Runs all stages in order; returns the result of ``run_demo``."""
        stages = DemoStages(self.output, self.progress)
        person, size = self.config.person, self.config.size_px
        corpus = stages.run(
            "corpus",
            "Synthetic clips",
            {"person": person, "size": size, "clips": [vars(clip) for clip in self.clips]},
            [self.output / "videos"],
            lambda: {"clips": write_videos(self.output / "videos", self.clips, person, size, self.progress)},
        )
        stages.run("prepare", "Prepare", {}, list(self.folders.values()), self._prepare)
        training = stages.run(
            "train",
            "Train",
            {"steps": self.config.steps, "seed": self.config.seed, "device": self.config.device},
            [self.output / "run"],
            self._train,
        )
        rendering = stages.run("render", "Render", {}, [self.video], self._render)
        truth = stages.run("truth", "Draw the truth", {}, [self.truth], self._truth)
        scores = stages.run(
            "evaluate",
            "Evaluate",
            {"tracker": self.tracker},
            [self.output / "evaluation"],
            lambda: self._evaluate(truth["mouth_opening"]),
        )
        landmarks = scores["mouth"]["landmarks"]
        # Pixels are the fallback if there is no tracker or it found no face; the result says which was used.
        estimator = "pixels" if landmarks is None or landmarks["correlation"] is None else "landmarks"
        result: dict[str, Any] = {
            "video": str(self.video),
            "report": str(self.output / "report.html"),
            **scores["values"],
            "mouth_correlation": scores["mouth"][estimator]["correlation"],
            "mouth_measured_by": estimator,
            "tracker_check": scores["tracker_check"],
            "training": training,
            "render_frames_per_s": rendering["frames_per_s"],
            "stage_seconds": {name: round(value, 1) for name, value in stages.seconds.items()},
            "seconds": round(sum(stages.seconds.values()), 1),
        }
        from jean.demo.demo_report import write_report

        write_report(self.output, self.config, corpus["clips"], result, scores, truth["mouth_opening"], stages.seconds)
        write_json(self.output / "demo.json", {"options": self.config.model_dump(mode="json"), **result})
        return result

    def _prepare(self) -> dict[str, Any]:
        from jean.demo.demo_clips import prepare_videos

        clips = {self.videos[name]: folder for name, folder in self.folders.items()}
        return {"clips": prepare_videos(clips, self.config.size_px, self.progress)}

    def _train(self) -> dict[str, Any]:
        from jean.train.nerf.train import NerfConfig, train_nerf

        config = NerfConfig(steps=self.config.steps, seed=self.config.seed, device=self.config.device)
        folders = [self.folders[name] for name in self.train_names]
        return train_nerf(folders, self.output / "run", config, self.progress)

    def _render(self) -> dict[str, Any]:
        from jean.rendering.config import RenderConfig
        from jean.rendering.render import render

        config = RenderConfig(
            audio=self.videos[self.source[SPEECH]].with_suffix(".wav"),
            expression=self.folders[self.source[EXPRESSION]],
            pose=str(self.folders[self.source[POSE]]),
            background="white",
            device=self.config.device,
        )
        return render(self.output / "run", config, self.video, self.progress)

    def _truth(self) -> dict[str, Any]:
        from jean.clips.clip import Clip
        from jean.demo.cross_driven import write_truth_clip

        return write_truth_clip(
            self.truth,
            {role: clips_of_role(self.clips, role)[0] for role in (SPEECH, EXPRESSION, POSE)},
            self.config.person,
            self.config.size_px,
            Clip.open(self.folders[self.train_names[0]]),
            [self.videos[name] for name in self.train_names],
            self.progress,
        )

    def _evaluate(self, opening: list[float]) -> dict[str, Any]:
        """Scores the rendered video; ``opening`` [T] is the true mouth opening."""
        from jean.clips.clip import Clip
        from jean.demo.measurements import mouth_follows_speech, tracker_error
        from jean.evaluation.config import EvaluateConfig
        from jean.evaluation.evaluate import evaluate
        from jean.metrics.base import REFERENCE_TRACKER

        config = EvaluateConfig(
            reference=self.truth,
            metrics=("image", "pixels", "landmarks", "mouth", "pose", "jitter"),  # the metrics without downloads
            tracker=self.tracker or REFERENCE_TRACKER,
            ground_truth=False,
            device=self.config.device,
        )
        table = evaluate([self.video], config, self.output / "evaluation", self.progress)
        row = table["rows"][0]
        tracker_check = None
        if self.tracker is not None:
            tracker_check = tracker_error(self.videos[self.source[SPEECH]], self.tracker, self.progress)
        mouth = mouth_follows_speech(self.video, Clip.open(self.truth), np.array(opening), self.tracker)
        return {"values": row["values"], "row": row, "mouth": mouth, "tracker_check": tracker_check}


def _can_track(progress: Progress) -> bool:
    """Whether MediaPipe and its weights are installed; if not, says how to install them."""
    from importlib.util import find_spec

    if find_spec(TRACKER) is None:
        progress.say("MediaPipe is not installed, so no tracker is compared with the truth: pip install mediapipe")
        return False
    provide([], [TRACKER_WEIGHTS], progress)  # with JEAN_AUTO_PULL=1 only
    if weights.locate(TRACKER_WEIGHTS) is None:
        progress.say(
            f"The weights {TRACKER_WEIGHTS} are missing, so no tracker is compared with the truth. "
            f"To have it compared, run: jean models pull {TRACKER_WEIGHTS}"
        )
        return False
    return True
