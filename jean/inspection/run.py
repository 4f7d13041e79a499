"""``jean inspect``: what there is to see of a run, by its stage."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jean.checkpoint import Checkpoint, load_checkpoint
from jean.clips.corpus import find_clips
from jean.drivers.emotion import emotion_track
from jean.drivers.named_expression import parse, vectors
from jean.drivers.person import read_person
from jean.errors import ArtefactError, InputError, UsageError
from jean.files import check_writable, read_json
from jean.inspection import figures
from jean.inspection.config import InspectConfig
from jean.inspection.page import write_page
from jean.models.stored import load_expression_transformer
from jean.progress import Progress

# What belongs into one picture: a part of the figures' names → its title, and what its axis counts.
GROUPS = {
    "retrieval": ("held-out retrieval", "share found, of 32"),
    "offset_within": ("held-out offset found", "share within a frame"),
    "offset_error": ("held-out offset error", "frames"),
    "psnr_db": ("PSNR", "dB"),  # of held-out and of training frames
    "error": ("held-out error", "in the units of what is decoded"),
    "loss": ("held-out loss", "loss"),
}


PERPLEXITY = 30.0  # of t-SNE: scikit-learn's default, within the 5 to 50 that its authors advise


def inspect_run(
    run: Path, data: Sequence[Path], output: Path, config: InspectConfig, progress: Progress
) -> dict[str, Any]:
    """Writes PNG pictures and one page about a run.

    Args:
        run: a run folder of any stage.
        data: clips, for the embeddings of an expression transformer; not needed for others.
        output: folder for ``index.html`` and the pictures.
        config: what to show.
        progress: told what is drawn.

    Returns:
        ``stage``, ``steps``, ``page``, ``pictures``, and the run's metrics where it is finished.

    Raises:
        ArtefactError: no run. InputError: clips without the run's features. UsageError: unknown expressions.
    """
    checkpoint = load_checkpoint(run, warn=progress.warn)
    stage = str(checkpoint.payload["stage"])
    check_writable(output)
    pictures = _curves(run, output)
    if stage == "expression" and data:
        pictures.append(_embeddings(run, data, output, config, progress))
    if stage == "nerf":
        pictures += _strips(run, checkpoint, output, config, progress)
    metrics = read_json(run / "metrics.json") if (run / "metrics.json").is_file() else {}
    metrics.pop("checkpoint_sha256", None)
    facts = {"stage": stage, "step": f"{checkpoint.step} of {checkpoint.payload['steps']}", **metrics}
    write_page(output / "index.html", f"{stage}: {run.resolve().name}", facts, pictures)
    return {
        "stage": stage,
        "steps": checkpoint.step,
        "page": str(output / "index.html"),
        "pictures": [str(path) for _, path in pictures],
        "metrics": metrics,
    }


def _curves(run: Path, output: Path) -> list[tuple[str, Path]]:
    """Loss curves, and one picture for each group of evaluated figures."""
    try:
        lines = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise ArtefactError(f"{run / 'log.jsonl'} is missing or damaged.", "Train again.") from error

    def series(kind: str, name: str) -> tuple[list[float], list[float]]:
        found = [(line["step"], line[name]) for line in lines if line["kind"] == kind and name in line]
        return [step for step, _ in found], [value for _, value in found]

    made = []
    evaluated = sorted({n for line in lines if line["kind"] == "evaluation" for n in line} - {"kind", "step"})
    groups = {("loss", "loss"): [("train", "loss")]}
    for name in evaluated:
        if name.endswith("_queries") or name.endswith("_rank"):
            continue
        title, label = next((shown for part, shown in GROUPS.items() if part in name), (name, name))
        groups.setdefault((title, label), []).append(("evaluation", name))
    for (title, label), members in groups.items():
        shown = {name: series(kind, name) for kind, name in members if series(kind, name)[0]}
        if shown:
            path = output / f"curve_{title.replace(' ', '_')}.png"
            figures.curves(path, shown, label)
            made.append((title, path))
    return made


def _embeddings(
    run: Path, data: Sequence[Path], output: Path, config: InspectConfig, progress: Progress
) -> tuple[str, Path]:
    """t-SNE of e_e over frames of clips, coloured by emotion (Figure 8)."""
    stored = load_expression_transformer(run, progress.warn)
    rows, labels = [], []
    for clip in find_clips(data):
        if clip.person != stored.meta["person"] and len({c.person for c in find_clips(data)}) > 1:
            continue
        track, made = emotion_track(clip.open(), stored.meta["emotion"]["name"])
        if made != stored.meta["emotion"]:
            raise InputError(f"{clip.folder} has features of another version than the run.", "Prepare it again.")
        rows.append(stored.model.embed_track(track)[1])
        labels += [clip.emotion or "unknown"] * len(track)
    if not rows:
        raise InputError(f"the clips do not show {stored.meta['person']}.", "Give clips of that person.")
    values = np.concatenate(rows)
    chosen = np.linspace(0, len(values) - 1, min(config.points, len(values))).round().astype(int)
    progress.say(f"t-SNE of {len(chosen)} frames")
    path = output / "tsne.png"
    points = tsne(values[chosen], PERPLEXITY, config.seed)
    variant = " (variant d)" if stored.meta["variant"] == "d" else ""
    figures.scatter(path, points, [labels[i] for i in chosen], f"e_e of {stored.meta['person']}{variant}, t-SNE")
    return f"Expression embeddings{variant}", path


def tsne(values: np.ndarray, perplexity: float, seed: int) -> np.ndarray:
    """[N, 2] of [N, D]: neighbours stay neighbours; distances between groups mean nothing."""
    from sklearn.manifold import TSNE

    perplexity = min(perplexity, (len(values) - 1) / 3)
    return np.asarray(TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(values))


def _strips(
    run: Path, checkpoint: Checkpoint, output: Path, config: InspectConfig, progress: Progress
) -> list[tuple[str, Path]]:
    """Rows of pictures from one expression to another, all else standing still."""
    import torch

    from jean.clips.corpus import EMOTIONS
    from jean.drivers.tracks import DriverTracks
    from jean.models.paint import picture
    from jean.rendering.load import load_model

    person = read_person(run)
    known = [name for name in EMOTIONS if name in person.means]
    asked = config.strip or tuple(f"{a}..{b}" for a, b in itertools.pairwise(known))
    if not asked:
        progress.say("the run knows no emotions by name: no strips.")
        return []
    model = load_model(checkpoint, config.device)
    camera, still = person.camera.resized(config.size), person.still_index()
    arguments = checkpoint.payload["meta"]["model"]
    white = np.full((config.size, config.size, 3), 255, np.uint8)
    made = []
    for text in asked:
        if ".." not in text:
            raise UsageError(f"{text} is no way from one expression to another.", "Write, for example: sad..happy")
        times = np.linspace(0, 1, config.steps)
        rows = vectors(parse(text, 1.0), person.means, person.expression.mean(0), times).astype(np.float32)
        count = len(rows)
        tracks = DriverTracks(
            camera_to_world=torch.from_numpy(person.camera_to_world[[still] * count].astype(np.float32)),
            focal_px=torch.full((count,), camera.focal_px),
            center_px=torch.tensor(camera.center_px).expand(count, 2),
            expression=torch.from_numpy(rows),
            offsets=torch.from_numpy(person.predict_offsets(rows).astype(np.float32)),
            audio=torch.zeros(count, arguments["audio_window"], arguments["audio_features"]),
        ).to(model.device)
        shown = [picture(model, tracks.frames(index), white).rgb for index in range(count)]
        path = output / f"strip_{text.replace('..', '_to_').replace(':', '-')}.png"
        figures.strip(path, shown, [f"{share:.0%}" for share in times])
        made.append((text, path))
    return made
