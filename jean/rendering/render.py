"""``jean render``: from a trained head and its three sources to a video with sound."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from jean.checkpoint import load_checkpoint
from jean.clips.clip import Clip
from jean.errors import InputError, UsageError
from jean.files import check_writable, folder_lock, read_json, sha256
from jean.media import open_writer, read_audio_native
from jean.media.write import VIDEO_SUFFIXES
from jean.models.paint import picture
from jean.models.talking_head import TalkingHead
from jean.progress import Progress
from jean.provenance import manifest, manifest_path, metadata_tags, write_manifest
from jean.rendering.config import RenderConfig
from jean.rendering.drive import Drive
from jean.rendering.frame_store import FrameStore
from jean.rendering.head import load_configured_head
from jean.rendering.pipeline import in_order


def render(run: Path, config: RenderConfig, output: Path, progress: Progress) -> dict[str, Any]:
    """Renders a video with sound.

    Frames are kept as PNG beside the output until the video is whole, so an interrupted render goes on
    where it stopped and parts can be rendered by several processes.

    Args:
        run: what ``train_nerf`` wrote.
        config: the sources and options.
        output: the video.
        progress: told of every frame.

    Returns:
        ``output``, ``frames``, ``fps``, ``size``, ``seconds``, ``frames_per_s``, ``finished``, ``backend``,
        ``precision``, ``sampling``, ``reductions`` (what the support limit has taken from each driver: ``mean``,
        ``largest``, ``frames``, all fractions).

    Raises:
        UsageError: no audio, an impossible shard, an output that is no video.
        InputError: a source without sound, face or poses.
        ArtefactError: a source prepared for other features than the run's, a damaged run.
    """
    began = time.perf_counter()
    if config.audio is None:
        raise UsageError("no speech was given.", "Add --audio FILE.")
    if output.suffix.lower() not in VIDEO_SUFFIXES:
        raise UsageError(f"{output} does not end like a video.", f"End it in one of {', '.join(VIDEO_SUFFIXES)}.")
    check_writable(output.parent)
    inputs = _inputs(config)
    checkpoint = load_checkpoint(run, stage="nerf", warn=progress.warn)
    options = config.model_dump(mode="json", exclude={"shard", "device", "seed"})
    made_from = {
        name: sha256(path) if path.is_file() else Clip.open(path, pictures=False).digest()
        for name, path in inputs.items()
    }
    key: dict[str, Any] = {"checkpoint": checkpoint.content_hash, "inputs": made_from, "options": options}
    key["sha256"] = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    finished = _finished(output, key["sha256"])
    if finished is not None:
        progress.say(f"{output} is finished: nothing to do.")
        return finished
    head = load_configured_head(run, config, progress)
    drive, model, backend = head.gather(config), head.model, head.implementation
    fps, size = float(config.fps or head.fps), drive.size_px
    progress.say(f"backend: {backend}, {config.precision}.")
    behind = head.backgrounds(drive, config.background)
    part = _part(config.shard, len(drive))
    work = output.with_name(output.name + ".work")
    with folder_lock(work / f"part-{(config.shard or '1/1').replace('/', '-of-')}"):
        store = FrameStore(work, key, len(drive), size, config.depth)
        todo = sum(not store.has(index) for index in part)
        if config.sampling == "skip":
            progress.say(_skip_empty(model, drive))

        def paint(index: int) -> np.ndarray:
            if store.has(index):
                return store.read(index)
            painted = picture(model, drive.frame(index), behind.at(index))
            store.write(index, painted.rgb, painted.depth_cm)
            return painted.rgb

        def report() -> dict[str, Any]:
            seconds = time.perf_counter() - began
            done = {"seconds": round(seconds, 2), "frames_per_s": round(todo / seconds, 2)}
            return result | done | {"finished": store.complete()}

        result: dict[str, Any] = {"frames": len(drive), "fps": fps, "size": size, "backend": backend}
        result = {"output": str(output)} | result | {"precision": config.precision, "sampling": config.sampling}
        result["reductions"] = {name: asdict(reduction) for name, reduction in drive.reductions.items()}
        painted = in_order(paint, part, _painters(model, backend))
        if config.shard is not None:
            with progress.task("render", len(part)) as advance, closing(painted):
                for _ in painted:
                    advance(1)
            if not store.complete():
                progress.say(f"{store.count()} of {len(drive)} frames are there; render the other parts.")
                return report()
            painted = (store.read(index) for index in range(len(drive)))
        with folder_lock(work / "encode"):
            document = manifest("render", inputs, options, result | {"key": key["sha256"]})
            written = _encode(painted, len(drive), output, config, fps, size, document, progress)
            store.hand_over(config.frames, output.with_name(output.stem + "_depth") if config.depth else None)
            write_manifest(written, document)
            done = report() | {"output": str(written)}
            store.remove()
    return done


def _painters(model: TalkingHead, backend: str) -> int:
    """Frames to paint at the same time: as many as torch has threads where the kernels of the processor paint."""
    return torch.get_num_threads() if backend == "native" and model.device.type == "cpu" else 1


@torch.no_grad()
def _skip_empty(model: TalkingHead, drive: Drive) -> str:
    """Finds the empty space of the whole result from 24 of its frames, whichever part is rendered here.

    Raises:
        UsageError: the head has no such mode, or the kernels for it are not in use.
    """
    indices = np.unique(np.linspace(0, len(drive) - 1, 24).round().astype(int))
    return model.head.skip_empty(torch.cat([model.condition(drive.frame(int(index))) for index in indices]))


def _finished(output: Path, key: str) -> dict[str, Any] | None:
    """The result that is already there, if it was made from the same."""
    record = manifest_path(output)
    if not (output.exists() and record.exists()):
        return None
    made = read_json(record).get("result", {})
    if made.pop("key", None) != key:
        return None
    return {**made, "seconds": 0.0, "frames_per_s": 0.0, "finished": True}  # this time nothing was rendered


def _inputs(config: RenderConfig) -> dict[str, Path]:
    """The files and clips that the result is made from."""
    if config.expression is not None and config.expression_timeline is not None:
        raise UsageError("--expression and --expression-timeline contradict each other.", "Give one of them.")
    inputs = {"audio": config.audio, "expression-timeline": config.expression_timeline}
    if config.expression is not None and config.expression.exists():
        inputs["expression"] = config.expression  # otherwise it is a name
    if config.pose not in (None, "still"):
        inputs["pose"] = Path(str(config.pose))
    if config.background not in ("white", "source"):
        inputs["background"] = Path(config.background)
    found = {name: path for name, path in inputs.items() if path is not None}
    for name, path in found.items():
        if not path.exists():
            raise InputError(f"{path} does not exist.", f"Check --{name}.")
    return found


def _part(shard: str | None, frames: int) -> range:
    """The frames of one shard "i/n" (i from 1), contiguous.

    Raises:
        UsageError: not of that form.
    """
    if shard is None:
        return range(frames)
    try:
        index, count = (int(word) for word in shard.split("/"))
    except ValueError:
        index, count = 0, 0
    if not 1 <= index <= count:
        raise UsageError(f"--shard {shard} is not of the form I/N with I from 1 to N.", "For example: --shard 1/4")
    return range(frames * (index - 1) // count, frames * index // count)


def _encode(
    frames: Generator[np.ndarray, None, None],
    count: int,
    output: Path,
    config: RenderConfig,
    fps: float,
    size: int,
    document: dict[str, Any],
    progress: Progress,
) -> Path:
    """Writes the video from its frames as they come, with the whole sound."""
    sound = read_audio_native(Path(str(config.audio)))
    with progress.task("render", count) as advance, closing(frames):
        with open_writer(output, (size, size), fps, sound, config.crf, metadata_tags(document)) as writer:
            for frame in frames:
                writer.write(frame)
                advance(1)
    if writer.note:
        progress.warn(writer.note)
    return writer.path
