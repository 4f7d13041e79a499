"""``jean inspect``: curves, embeddings and rendered strips of a training run."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jean.checkpoint import Checkpoint, load_checkpoint
from jean.clips.compatibility import ClipSpec
from jean.clips.corpus import find_clips
from jean.drivers.named_expression import expression_vectors, parse_expression
from jean.drivers.person import read_person
from jean.errors import InputError, UsageError
from jean.inspection import figures
from jean.inspection.config import InspectConfig
from jean.models.stored import load_expression_transformer
from jean.outputs import claim
from jean.progress import Progress
from jean.report.page import Report
from jean.train.engine.run_folder import finished_metrics, read_log

# Evaluated numbers that share one plot: part of their name → (title, label of the y axis).
GROUPS = {
    "retrieval": ("held-out retrieval", "fraction found among 32"),
    "offset_within": ("held-out offset found", "fraction within one frame"),
    "offset_error": ("held-out offset error", "frames"),
    "psnr_db": ("PSNR", "dB"),  # held-out and training frames
    "error": ("held-out error", "units of the decoded values"),
    "loss": ("held-out loss", "loss"),
}


# t-SNE balances about this many neighbours of each point; limited to a third of the points.
PERPLEXITY = 30.0


@dataclass(frozen=True)
class Strip:
    """Renderings from one expression to another with everything else constant.

    Attributes:
        name: the two expressions, as the user wrote them.
        images: RGB uint8 [size, size, 3].
        labels: how far each image is on the way, e.g. ``40%``.
    """

    name: str
    images: list[np.ndarray]
    labels: list[str]


def inspect_run(
    run: Path, data: Sequence[Path], output: Path, config: InspectConfig, progress: Progress
) -> dict[str, Any]:
    """Writes PNG plots and one HTML page about a run.

    Args:
        run: run folder of any stage.
        data: clips for the embeddings of an expression transformer; other stages need none.
        output: folder for ``index.html`` and the PNG files.
        config: what to plot.
        progress: reports what is being computed.

    Returns:
        ``stage``, ``steps``, ``page``, ``pictures`` (paths of the PNG files), and ``metrics`` of a finished run.

    Raises:
        ArtefactError: ``run`` is not a run folder.
        InputError: clips lack the features that the run uses.
        UsageError: unknown expressions.
    """
    checkpoint = load_checkpoint(run, warn=progress.warn)
    clips = [clip.folder for clip in find_clips(data)] if data else []
    claim([run, *clips], holders=data, folders=[output])
    stage = str(checkpoint.payload["stage"])
    metrics = finished_metrics(run, checkpoint.content_hash) or {}
    facts = {"stage": stage, "step": f"{checkpoint.step} of {checkpoint.payload['steps']}", **metrics}
    report = Report(run.resolve().name, f"Training run of the stage {stage}.", "jean · inspect")
    report.facts({name: _format(value) for name, value in facts.items()})
    pictures = _add_curves(report, run, output)
    if stage == "expression" and data:
        pictures.append(_add_embeddings(report, run, data, output, config, progress))
    if stage == "nerf":
        pictures += _add_strips(report, _strips(run, checkpoint, config, progress), output)
    report.write(output / "index.html")
    return {
        "stage": stage,
        "steps": checkpoint.step,
        "page": str(output / "index.html"),
        "pictures": [str(path) for path in pictures],
        "metrics": metrics,
    }


def _add_curves(report: Report, run: Path, output: Path) -> list[Path]:
    """Plots the training loss and the evaluated numbers over steps, grouped by ``GROUPS``."""
    lines = read_log(run)
    evaluated = sorted({n for line in lines if line["kind"] == "evaluation" for n in line} - {"kind", "step"})
    groups = {("loss", "loss"): [("train", "loss")]}
    for name in evaluated:
        if name.endswith("_queries") or name.endswith("_rank"):
            continue
        title, label = next((group for part, group in GROUPS.items() if part in name), (name, name))
        groups.setdefault((title, label), []).append(("evaluation", name))
    paths = []
    for (title, label), members in groups.items():
        series = {name: points for kind, name in members if (points := _series(lines, kind, name))[0].size}
        if series:
            path = output / f"curve_{title.replace(' ', '_')}.png"
            figures.curves(path, series, label)
            report.curve(title[:1].upper() + title[1:], series, x_label="step", y_label=label)
            paths.append(path)
    return paths


def _series(lines: Sequence[Mapping[str, Any]], kind: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """(steps [N], values [N]) of one number in the log."""
    points = [(line["step"], line[name]) for line in lines if line["kind"] == kind and name in line]
    steps, values = np.array(points, float).reshape(-1, 2).T
    return steps, values


def _add_embeddings(
    report: Report, run: Path, data: Sequence[Path], output: Path, config: InspectConfig, progress: Progress
) -> Path:
    """Plots the t-SNE of expression embeddings e_e of frames, coloured by emotion (Figure 8)."""
    stored = load_expression_transformer(run, progress.warn)
    rows, labels = [], []
    for clip in find_clips(data):
        if clip.person != stored.meta["person"] and len({c.person for c in find_clips(data)}) > 1:
            continue
        opened = clip.open()
        opened.require(ClipSpec.of_run(stored.meta, "emotion"), run)
        track = opened.emotion_track(stored.meta["emotion"]["name"])
        rows.append(stored.model.embed_track(track)[1])
        labels += [clip.emotion or "unknown"] * len(track)
    if not rows:
        raise InputError(f"the clips do not show {stored.meta['person']}.", "Give clips of that person.")
    values = np.concatenate(rows)
    indices = np.linspace(0, len(values) - 1, min(config.points, len(values))).round().astype(int)
    progress.say(f"t-SNE of {len(indices)} frames")
    path = output / "tsne.png"
    points = tsne(values[indices], PERPLEXITY, config.seed)
    variant = " (variant d)" if stored.meta["variant"] == "d" else ""
    figures.scatter(path, points, [labels[i] for i in indices], f"e_e of {stored.meta['person']}{variant}, t-SNE")
    report.section(f"Expression embeddings{variant}").image(path, "t-SNE of frames, coloured by emotion")
    return path


def tsne(values: np.ndarray, perplexity: float, seed: int) -> np.ndarray:
    """Projects values [N, D] to [N, 2] by t-SNE: neighbours stay neighbours, distances between groups mean nothing.

    Args:
        values: [N, D].
        perplexity: number of neighbours that t-SNE balances; limited to a third of N.
        seed: seed of t-SNE.
    """
    from sklearn.manifold import TSNE

    perplexity = min(perplexity, (len(values) - 1) / 3)
    return np.asarray(TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(values))


def _add_strips(report: Report, strips: Sequence[Strip], output: Path) -> list[Path]:
    """Adds the strips to the page and writes each as a PNG file."""
    paths = []
    if strips:
        report.section("Expressions", "Only the expression changes; head pose and mouth shape are constant.")
    for strip in strips:
        paths.append(output / f"strip_{strip.name.replace('..', '_to_').replace(':', '-')}.png")
        figures.strip(paths[-1], strip.images, strip.labels)
        report.frames([(strip.name, strip.images)], strip.labels)
    return paths


def _strips(run: Path, checkpoint: Checkpoint, config: InspectConfig, progress: Progress) -> list[Strip]:
    """Renders the head from one expression to another, at the pose nearest to the mean head position."""
    import torch

    from jean.clips.mead import EMOTIONS
    from jean.drivers.tracks import DriverTracks
    from jean.models.frame import render_frame
    from jean.rendering.load import load_model

    person = read_person(run)
    emotions = [name for name in EMOTIONS if name in person.means]
    names = config.strip or tuple(f"{a}..{b}" for a, b in itertools.pairwise(emotions))
    if not names:
        progress.say("the run has no named emotions: no strips.")
        return []
    model = load_model(checkpoint, config.device)
    camera, still = person.camera.resized(config.size), person.still_index()
    arguments = checkpoint.payload["meta"]["model"]
    white = np.full((config.size, config.size, 3), 255, np.uint8)
    strips = []
    for name in names:
        if ".." not in name:
            raise UsageError(f"{name} does not name two expressions.", "Write, for example: sad..happy")
        times = np.linspace(0, 1, config.steps)
        rows = expression_vectors(parse_expression(name, 1.0), person.means, person.expression.mean(0), times).astype(
            np.float32
        )
        count = len(rows)
        tracks = DriverTracks(
            camera_to_world=torch.from_numpy(person.camera_to_world[[still] * count].astype(np.float32)),
            focal_px=torch.full((count,), camera.focal_px),
            center_px=torch.tensor(camera.center_px).expand(count, 2),
            expression=torch.from_numpy(rows),
            offsets=torch.from_numpy(person.predict_offsets(rows).astype(np.float32)),
            audio=torch.zeros(count, arguments["audio_window"], arguments["audio_features"]),
        ).to(model.device)
        images = [render_frame(model, tracks.frames(index), white).rgb for index in range(count)]
        strips.append(Strip(name, images, [f"{time:.0%}" for time in times]))
    return strips


def _format(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
