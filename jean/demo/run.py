"""Runs the demo's stages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from jean.demo.corpus import video_path, write_videos
from jean.demo.plan import EXPRESSION, POSE, SPEECH, TRAIN, DemoConfig, of_role, plan
from jean.demo.stages import Stages
from jean.files import check_writable, folder_lock, write_json
from jean.progress import Progress, Silent
from jean.weights import store as weights

TRACKER, TRACKER_WEIGHTS = "mediapipe", "face_landmarker.task"


def run_demo(output: Path, config: DemoConfig | None = None, progress: Progress | None = None) -> dict[str, Any]:
    """Synthetic corpus → prepare → train → render → evaluate → report, all in ``output``.

    Stages that are done are kept, so an interrupted demo goes on where it stopped. Every clip's landmarks
    and poses come from the synthetic speaker's truth; MediaPipe, where its weights are, tracks one clip
    too and measures the result.

    Returns:
        Paths (``video``, ``report``), scores (``psnr_db`` …), ``mouth_correlation`` and how it was measured,
        ``tracker_check``, ``training``, ``stage_seconds``, ``seconds``.

    Raises:
        SetupError: the output cannot be written or is in use.
    """
    output, config, progress = Path(output), config or DemoConfig(), progress or Silent()
    check_writable(output)
    with folder_lock(output):
        return _Demo(output, config, progress).run()


class _Demo:
    """One run, in its locked folder."""

    def __init__(self, output: Path, config: DemoConfig, progress: Progress):
        self.output, self.config, self.progress = output, config, progress
        self.clips = plan(config)
        self.videos = {clip.name: video_path(output / "videos", clip) for clip in self.clips}
        # of the speech clip only the sound is used
        self.folders = {c.name: output / "clips" / c.name for c in self.clips if c.role != SPEECH}
        self.trained = [clip.name for clip in of_role(self.clips, TRAIN)]
        self.source = {role: of_role(self.clips, role)[0].name for role in (SPEECH, EXPRESSION, POSE)}
        self.truth = output / "truth"
        self.video = output / "crossed.mp4"
        # looked at once: a file that appears in the middle of a run must not change the later stages
        self.tracker = TRACKER if _can_track(progress) else None

    def run(self) -> dict[str, Any]:
        """All stages in order."""
        stages = Stages(self.output, self.progress)
        facts = self.config.model_dump(mode="json")
        person, size = self.config.person, self.config.size_px
        said = stages.run(
            "corpus",
            "Synthetic clips",
            {"person": person, "size": size, "clips": [vars(clip) for clip in self.clips]},
            list(self.videos.values()),
            lambda: write_videos(self.output / "videos", self.clips, person, size, self.progress),
        )
        prepared = [folder / "clip.json" for folder in self.folders.values()]
        stages.run("prepare", "Prepare", {}, prepared, self._prepare)
        trained = stages.run(
            "train",
            "Train",
            {**self.config.length, "seed": self.config.seed, "device": self.config.device},
            [self.output / "run" / "metrics.json"],
            self._train,
        )
        rendered = stages.run("render", "Render", {}, [self.video], self._render)
        truth = stages.run("truth", "Draw the truth", {}, [self.truth / "clip.json"], self._truth)
        scores = stages.run(
            "evaluate",
            "Evaluate",
            {"tracker": self.tracker},
            [self.output / "evaluation" / "metrics.json"],
            lambda: self._evaluate(truth["mouth_opening"]),
        )
        measured_by = next(name for name in ("landmarks", "pixels") if _measured(scores["mouth"][name], name))
        mouth = scores["mouth"][measured_by]
        result: dict[str, Any] = {
            "video": str(self.video),
            "report": str(self.output / "report.html"),
            **scores["values"],
            "mouth_correlation": mouth["correlation"],
            "mouth_measured_by": measured_by,
            "tracker_check": scores["tracker_check"],
            "training": trained,
            "render_frames_per_s": rendered["frames_per_s"],
            "stage_seconds": {name: round(value, 1) for name, value in stages.seconds.items()},
            "seconds": round(sum(stages.seconds.values()), 1),
        }
        from jean.demo.page import write_page

        write_page(self.output, self.config, said, result, scores, truth["mouth_opening"], stages.seconds)
        write_json(self.output / "demo.json", {"options": facts, **result})
        return result

    def _prepare(self) -> list[dict[str, Any]]:
        from jean.demo.corpus import prepare_videos

        clips = {self.videos[name]: folder for name, folder in self.folders.items()}
        return prepare_videos(clips, self.config.size_px, self.progress)

    def _train(self) -> dict[str, Any]:
        from jean.train.nerf.train import NerfConfig, train_nerf

        config = NerfConfig(**self.config.length, seed=self.config.seed, device=self.config.device)
        folders = [self.folders[name] for name in self.trained]
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
        from jean.demo.crossed import write_truth_clip

        return write_truth_clip(
            self.truth,
            {role: of_role(self.clips, role)[0] for role in (SPEECH, EXPRESSION, POSE)},
            self.config.person,
            self.config.size_px,
            Clip.open(self.folders[self.trained[0]]),
            self.videos[self.trained[0]],
            self.progress,
        )

    def _evaluate(self, opening: list[float]) -> dict[str, Any]:
        from jean.clips.clip import Clip
        from jean.demo.mouth import follow
        from jean.demo.tracker_check import check_tracker
        from jean.evaluation.evaluate import EvaluateConfig, evaluate
        from jean.evaluation.rules import REFERENCE

        config = EvaluateConfig(
            reference=self.truth,
            metrics=("image", "pixels", "landmarks", "mouth", "pose", "jitter"),  # those that need no download
            tracker=self.tracker or REFERENCE,
            ground_truth=False,
            device=self.config.device,
        )
        table = evaluate([self.video], config, self.output / "evaluation", self.progress)
        row = table["rows"][0]
        checked = None
        if self.tracker is not None:
            checked = check_tracker(self.videos[self.source[SPEECH]], self.tracker, self.progress)
        mouth = follow(self.video, Clip.open(self.truth), np.array(opening), self.tracker)
        return {"values": row["values"], "row": row, "mouth": mouth, "tracker_check": checked}


def _measured(found: dict[str, Any] | None, name: str) -> bool:
    """Landmarks count where a tracker was there and saw the face; pixels always."""
    return name == "pixels" or (found is not None and found["correlation"] is not None)


def _can_track(progress: Progress) -> bool:
    """Whether MediaPipe and its weights are there; tells how to get them if not."""
    from importlib.util import find_spec

    if find_spec(TRACKER) is None:
        progress.say("MediaPipe is not installed, so no tracker is compared with the truth: pip install mediapipe")
        return False
    if weights.locate(TRACKER_WEIGHTS) is None:
        progress.say(
            f"The weights {TRACKER_WEIGHTS} are not there, so no tracker is compared with the truth. "
            f"To have it compared, run: jean models pull {TRACKER_WEIGHTS}"
        )
        return False
    return True
