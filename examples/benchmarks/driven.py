"""Drives trained heads by other people's clips, and measures what breaks and what arrives.

    python examples/benchmarks/driven.py --head RUN CLIP [--head RUN CLIP ...] --sources CLIP [CLIP ...]
        [--frames 100] [--step 1] [--parts expression,pose,both,voice] [-o DIR] [--json]

CLIP after RUN is the clip that the head was trained on; all clips are prepared. Every other clip drives the head as
expression, as pose, as both with the voice of a third, and as voice. With -o, one sheet of pictures per head is
written: look at it, since no figure replaces that. A part is one function in ``PARTS``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from driven_figures import (
    Rendered,
    expression_figures,
    face_figures,
    picture_figures,
    pose_figures,
    voice_figures,
    worst,
)

from jean.clips.clip import Clip
from jean.features import registry as adapters
from jean.lips.parameters import measured_lips
from jean.metrics.face_integrity import RealFaces, real_faces
from jean.metrics.picture_integrity import sampled_mattes, torso_region
from jean.models.frame import render_frame, render_opacity
from jean.progress import Silent
from jean.rendering.head import LoadedHead, load_head
from jean.rendering.limits import Reduction

TRACKER = "mediapipe"
TILE_PX, TILES = 128, 4  # side of a picture in the sheet, and pictures per part


@dataclass
class Case:
    """A trained head, its person, and which frames are measured.

    Attributes:
        name: of the run.
        head: the loaded head.
        clip: the training clip.
        real: real faces of the person.
        region: where the torso may be, bool [S, S].
        frames, step: every ``step``-th of the first ``frames`` frames is rendered.
        options: further options of ``jean render``, as ``RenderConfig`` has them.
        controls: renders without expression source, by (voice, pose).
    """

    name: str
    head: LoadedHead
    clip: Clip
    real: RealFaces
    region: np.ndarray
    frames: int
    step: int
    options: Mapping[str, Any] = field(default_factory=dict)
    controls: dict[tuple[Path, Path | None], Rendered] = field(default_factory=dict)

    @classmethod
    def open(
        cls, run: Path, clip_folder: Path, frames: int, step: int, options: Mapping[str, Any] | None = None
    ) -> Case:
        """Loads a run and the clip it was trained on."""
        clip, head = Clip.open(clip_folder), load_head(run, progress=Silent())
        region = torso_region(sampled_mattes(clip), (head.size_px, head.size_px))
        return cls(run.name, head, clip, real_faces(clip_folder, TRACKER, "cpu"), region, frames, step, options or {})

    def render(
        self, voice: Clip, expression: Clip | None = None, pose: Clip | None = None
    ) -> tuple[Rendered, dict[str, Reduction]]:
        """Renders and tracks the measured frames of one drive; also returns what the support limit removed."""
        sources = {"expression": expression, "pose": pose}
        given = {name: str(clip.folder) for name, clip in sources.items() if clip is not None}
        drive = self.head.drive(_sound(voice), **given, **self.options)
        backgrounds = self.head.backgrounds(drive, "source")
        indices = self.indices(len(drive), *(clip for clip in sources.values() if clip is not None))
        images = [render_frame(self.head.model, drive.frame(t), backgrounds.at(t)).rgb for t in indices]
        opacity = [render_opacity(self.head.model, drive.frame(t), drive.size_px) for t in indices]
        return Rendered(np.stack(images), np.stack(opacity), track(images, self.head.fps)), drive.reductions

    def indices(self, length: int, *sources: Clip) -> list[int]:
        """The measured frames of a drive of ``length`` frames, before any source starts to repeat."""
        ends = [int(clip.frame_count / clip.fps * self.head.fps) for clip in sources]
        return list(range(0, min([self.frames, length, *ends]), self.step))

    def control(self, voice: Clip, pose: Clip | None = None) -> Rendered:
        """The same render without an expression source."""
        key = (voice.folder, None if pose is None else pose.folder)
        if key not in self.controls:
            self.controls[key] = self.render(voice, pose=pose)[0]
        return self.controls[key]

    def source_rows(self, clip: Clip, count: int) -> np.ndarray:
        """Frames of a source [count] at the times of the measured frames."""
        times = (np.arange(count) * self.step + 0.5) / self.head.fps
        return np.minimum((times * clip.fps).astype(int), clip.frame_count - 1)


def _sound(clip: Clip) -> Path:
    path = clip.audio_path
    if path is None:
        raise SystemExit(f"{clip.folder} has no sound, which a voice needs.")
    return path


def track(images: Iterable[np.ndarray], fps: float) -> list[Any]:
    """The largest face of each image; None without one."""
    from jean.features.base import largest

    tracker = adapters.create("tracker", TRACKER, video=None, device="cpu")
    return [largest(faces) for faces in tracker.track((t / fps, image) for t, image in enumerate(images))]


@dataclass(frozen=True)
class Part:
    """What one part measured for one source: figures by group, and rendered frames for the sheet."""

    figures: dict[str, Any]
    shown: Rendered


def expression_part(case: Case, source: Clip, third: Clip) -> Part:
    """The source's expression, with the person's own voice and poses."""
    voice = case.clip if case.clip.audio_path is not None else third
    made, reductions = case.render(voice, expression=source)
    control = _first(case.control(voice), len(made.images))
    figures = {"face": face_figures(made, control, case.real), "picture": picture_figures(made, case.region)}
    return Part(figures | {"follow": _follow(case, made, source), "reduced": _reduced(reductions)}, made)


def pose_part(case: Case, source: Clip, third: Clip) -> Part:
    """The source's poses, with the person's own voice and expression."""
    voice = case.clip if case.clip.audio_path is not None else third
    made, reductions = case.render(voice, pose=source)
    rows = case.source_rows(source, len(made.images))
    poses = source.arrays["tracker_camera_to_world"][rows], case.clip.arrays["tracker_camera_to_world"]
    figures = {"picture": picture_figures(made, case.region), "follow": pose_figures(made.poses(), *poses)}
    return Part(figures | {"reduced": _reduced(reductions)}, made)


def both_part(case: Case, source: Clip, third: Clip) -> Part:
    """Expression and poses of the source, with the voice of a third."""
    made, reductions = case.render(third, expression=source, pose=source)
    control = _first(case.control(third, pose=source), len(made.images))
    figures = {"face": face_figures(made, control, case.real), "picture": picture_figures(made, case.region)}
    return Part(figures | {"follow": _follow(case, made, source), "reduced": _reduced(reductions)}, made)


def voice_part(case: Case, source: Clip, third: Clip) -> Part | None:
    """The source's voice, with the person's own expression and poses; judged by the source's own lips."""
    if source.audio_path is None:
        return None
    made, reductions = case.render(source)
    times_s = np.arange(len(made.images)) * case.step / case.head.fps
    own_std = np.nanstd(measured_lips(case.clip.arrays["landmarks"]), 0)
    lips, real = measured_lips(made.landmarks()), measured_lips(source.arrays["landmarks"])
    figures = voice_figures(times_s, lips, source.arrays["times_s"], real, own_std)
    return Part({"voice": figures, "reduced": _reduced(reductions)}, made)


# To measure another driver, add its function here; it returns None for a source that cannot drive it.
PARTS: dict[str, Callable[[Case, Clip, Clip], Part | None]] = {
    "expression": expression_part,
    "pose": pose_part,
    "both": both_part,
    "voice": voice_part,
}


def _first(rendered: Rendered, count: int) -> Rendered:
    return Rendered(rendered.images[:count], rendered.opacity[:count], rendered.faces[:count])


def _follow(case: Case, made: Rendered, source: Clip) -> dict[str, dict[str, float]]:
    names = source.meta.expression.names
    wanted = source.arrays["expression"][case.source_rows(source, len(made.images))]
    return expression_figures(made.expressions(len(names)), wanted, names, case.head.fps / case.step)


def _reduced(reductions: dict[str, Reduction]) -> dict[str, float]:
    return {name: reduction.mean for name, reduction in reductions.items()}


def drive_head(
    case: Case, sources: Sequence[Clip], parts: Sequence[str]
) -> tuple[dict[str, Any], list[list[np.ndarray]]]:
    """All figures of one head: part → source → figures, with the worst source; and the rows of the sheet."""
    others = [clip for clip in sources if clip.folder.resolve() != case.clip.folder.resolve()]
    result: dict[str, Any] = {name: {} for name in parts}
    rows = []
    for number, source in enumerate(others):
        voices = [clip for clip in others[number + 1 :] + others[:number] if clip.audio_path is not None]
        third = voices[0] if voices else case.clip
        row: list[np.ndarray] = []
        for name in parts:
            part = PARTS[name](case, source, third)
            if part is not None:
                result[name][source.folder.name] = part.figures
            count = case.frames if part is None else len(part.shown.images)
            if not row:
                row += _tiles(source.frames[case.source_rows(source, count)])
            row += [np.zeros_like(row[0])] * TILES if part is None else _tiles(part.shown.images)
        rows.append(row)
    for name in parts:
        groups = {group for figures in result[name].values() for group in figures if group in ("face", "picture")}
        flat = {source: {k: v for g in groups for k, v in f[g].items()} for source, f in result[name].items()}
        bad = worst({s: {k: v for k, v in f.items() if k != "neck_opacity_lowest"} for s, f in flat.items()})
        result[name] = {"sources": result[name], "worst": bad} | _mean_voice(result[name])
    return result, rows


def _mean_voice(sources: dict[str, Any]) -> dict[str, dict[str, float]]:
    """The mean of the voice figures over the sources that have any."""
    rows = [figures["voice"] for figures in sources.values() if figures.get("voice")]
    if not rows:
        return {}
    return {"mean": {name: round(float(np.mean([row[name] for row in rows])), 3) for name in rows[0]}}


def _tiles(images: np.ndarray) -> list[np.ndarray]:
    """``TILES`` evenly spaced images, ``TILE_PX`` wide."""
    import cv2

    chosen = np.linspace(0, len(images) - 1, TILES).round().astype(int)
    return [cv2.resize(np.asarray(images[t]), (TILE_PX, TILE_PX), interpolation=cv2.INTER_AREA) for t in chosen]


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the figures of every head, or one JSON document."""
    from jean.media import write_png

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--head", nargs=2, action="append", type=Path, required=True, metavar=("RUN", "CLIP"))
    parser.add_argument("--sources", nargs="+", type=Path, required=True, metavar="CLIP", help="prepared clips")
    parser.add_argument("--frames", type=int, default=100, help="frames of each drive (default 100)")
    parser.add_argument("--step", type=int, default=1, help="measure every N-th frame (default 1)")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"default {','.join(PARTS)}")
    parser.add_argument("--lips", help="what decides the lips: prior, own, or a run of train-lips")
    parser.add_argument("--held-s", type=float, help="of jean render: 0 leaves the whole mouth to the speech")
    parser.add_argument("-o", "--output", type=Path, help="folder for one sheet of pictures per head")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    names = [run.name for run, _ in options.head]
    chosen = {"lips": options.lips, "held_s": options.held_s}
    render_options = {name: value for name, value in chosen.items() if value is not None}
    if len(set(names)) < len(names):
        parser.error(f"heads are named by their folders, which must differ: {', '.join(names)}")
    sources = [Clip.open(folder) for folder in options.sources]
    document: dict[str, Any] = {}
    for run, folder in options.head:
        case = Case.open(run, folder, options.frames, options.step, render_options)
        document[case.name], rows = drive_head(case, sources, options.parts.split(","))
        if options.output is not None:
            write_png(options.output / f"{case.name}.png", np.concatenate([np.concatenate(row, 1) for row in rows]))
        if not options.json:
            _print(case.name, document[case.name])
    if options.json:
        print(json.dumps(document))


def _print(name: str, result: dict[str, Any]) -> None:
    for part, values in result.items():
        print(f"{name}, {part}; worst: {values['worst']}" + (f"; mean: {values['mean']}" if "mean" in values else ""))
        for source, figures in values["sources"].items():
            print(f"  {source}: {figures}")


if __name__ == "__main__":
    main()
