"""Renders a video with sound from a trained head and three sources: speech, expression and pose."""

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
from jean.drivers.method import Method
from jean.drivers.voice import detector_name
from jean.errors import InputError, UsageError
from jean.files import check_writable, folder_lock, read_json, sha256
from jean.media import open_writer, read_audio_native
from jean.media.write import VIDEO_SUFFIXES
from jean.models.frame import render_frame, render_opacity
from jean.models.talking_head import TalkingHead
from jean.progress import Progress
from jean.provenance import manifest, manifest_path, metadata_tags, write_manifest
from jean.rendering.config import RenderConfig
from jean.rendering.drive import Drive
from jean.rendering.frame_store import FrameStore
from jean.rendering.head import load_configured_head
from jean.rendering.lips import prior_path
from jean.rendering.pipeline import in_order


def render(run: Path, config: RenderConfig, output: Path, progress: Progress) -> dict[str, Any]:
    """Renders a video with sound.

    Frames are stored as PNG files beside the output until the video is complete. An interrupted render therefore
    resumes where it stopped, and several processes can render shards of one video.

    Args:
        run: run folder of ``train_nerf``.
        config: the sources and options.
        output: path of the video.
        progress: receives progress, warnings and messages.

    Returns:
        ``output``, ``frames``, ``fps``, ``size``, ``seconds``, ``frames_per_s``, ``finished``, ``backend``,
        ``precision``, ``sampling``, and ``reductions`` (per driver the fractions ``mean``, ``largest`` and ``frames``,
        see ``Reduction``).

    Raises:
        UsageError: no speech, an invalid shard, or an output that is not a video.
        InputError: a source without sound, face or poses.
        ArtefactError: a source that was prepared with other features than the run's, or a damaged run.
    """
    began = time.perf_counter()
    if config.audio is None:
        raise UsageError("no speech was given.", "Add --audio FILE.")
    if output.suffix.lower() not in VIDEO_SUFFIXES:
        raise UsageError(f"{output} has no video suffix.", f"Use one of {', '.join(VIDEO_SUFFIXES)}.")
    check_writable(output.parent)
    inputs = _inputs(config)
    checkpoint = load_checkpoint(run, stage="nerf", warn=progress.warn)
    prior = prior_path(config, checkpoint, Method.of_run(checkpoint))
    if prior is not None:
        inputs["lips"] = prior
    options = config.model_dump(mode="json", exclude={"shard", "device", "seed"})
    input_hashes = {
        name: sha256(path) if path.is_file() else Clip.open(path, pictures=False).digest()
        for name, path in inputs.items()
    }
    key: dict[str, Any] = {"checkpoint": checkpoint.content_hash, "inputs": input_hashes, "options": options}
    if config.silence_gate:
        key["voice_detector"] = detector_name()
    key["sha256"] = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    finished = _finished(output, key["sha256"])
    if finished is not None:
        progress.say(f"{output} is finished: nothing to do.")
        return finished
    head = load_configured_head(run, config, progress)
    drive, model, backend = head.gather(config), head.model, head.implementation
    fps, size = float(config.fps or head.fps), drive.size_px
    progress.say(f"backend: {backend}, {config.precision}; lips: {'audio encoder' if prior is None else 'lip prior'}.")
    backgrounds = head.backgrounds(drive, config.background)
    part = _part(config.shard, len(drive))
    work = output.with_name(output.name + ".work")
    with folder_lock(work / f"part-{(config.shard or '1/1').replace('/', '-of-')}"):
        store = FrameStore(work, key, len(drive), size, config.depth, config.layers)
        missing = sum(not store.has(index) for index in part)
        if config.sampling == "skip":
            progress.say(_skip_empty(model, drive))

        def stored_frame(index: int) -> np.ndarray:
            if store.has(index):
                return store.read(index)
            frame = render_frame(model, drive.frame(index), backgrounds.at(index))
            opacity = render_opacity(model, drive.frame(index), size) if config.layers else None
            store.write(index, frame.rgb, frame.depth_cm, opacity)
            return frame.rgb

        def report() -> dict[str, Any]:
            seconds = time.perf_counter() - began
            timing = {"seconds": round(seconds, 2), "frames_per_s": round(missing / seconds, 2)}
            return result | timing | {"finished": store.complete()}

        result: dict[str, Any] = {"frames": len(drive), "fps": fps, "size": size, "backend": backend}
        result = {"output": str(output)} | result | {"precision": config.precision, "sampling": config.sampling}
        result["reductions"] = {name: asdict(reduction) for name, reduction in drive.reductions.items()}
        frames = in_order(stored_frame, part, _workers(model, backend))
        if config.shard is not None:
            with progress.task("render", len(part)) as advance, closing(frames):
                for _ in frames:
                    advance(1)
            if not store.complete():
                progress.say(f"{store.count()} of {len(drive)} frames are rendered; render the other shards.")
                return report()
            frames = (store.read(index) for index in range(len(drive)))
        with folder_lock(work / "encode"):
            document = manifest("render", inputs, options, result | {"key": key["sha256"]})
            video = _encode(frames, len(drive), output, config, fps, size, document, progress)
            beside = {name: output.with_name(f"{output.stem}_{name}") for name in ("depth", "layers")}
            depths, layers = beside["depth"] if config.depth else None, beside["layers"] if config.layers else None
            store.hand_over(config.frames, depths, layers)
            write_manifest(video, document)
            final = report() | {"output": str(video)}
            store.remove()
    return final


def _workers(model: TalkingHead, backend: str) -> int:
    """Number of frames to render at the same time: one per thread with the CPU's kernels, otherwise one."""
    return torch.get_num_threads() if backend == "native" and model.device.type == "cpu" else 1


@torch.no_grad()
def _skip_empty(model: TalkingHead, drive: Drive) -> str:
    """Switches the head to few-sample rendering, and returns one line that describes the sampling.

    Empty space is found from 24 frames of the whole result, so that all shards sample alike.

    Raises:
        UsageError: the head cannot skip empty space, or the compiled kernels are not in use.
    """
    indices = np.unique(np.linspace(0, len(drive) - 1, 24).round().astype(int))
    return model.head.skip_empty(torch.cat([model.condition(drive.frame(int(index))) for index in indices]))


def _finished(output: Path, key: str) -> dict[str, Any] | None:
    """The stored result of an earlier render, if it has the same key; otherwise None."""
    record = manifest_path(output)
    if not (output.exists() and record.exists()):
        return None
    result = read_json(record).get("result", {})
    if result.pop("key", None) != key:
        return None
    return {**result, "seconds": 0.0, "frames_per_s": 0.0, "finished": True}  # nothing was rendered this time


def _inputs(config: RenderConfig) -> dict[str, Path]:
    """Files and clips that the result depends on, by option name.

    Raises:
        UsageError: options that contradict each other.
        InputError: a file does not exist.
    """
    if config.expression is not None and config.expression_timeline is not None:
        raise UsageError("--expression and --expression-timeline contradict each other.", "Give one of them.")
    inputs = {"audio": config.audio, "expression-timeline": config.expression_timeline}
    if config.expression is not None and config.expression.exists():
        inputs["expression"] = config.expression  # otherwise it is a name
    if config.pose not in (None, "still"):
        inputs["pose"] = Path(str(config.pose))
    if config.background not in ("white", "source"):
        inputs["background"] = Path(config.background)
    paths = {name: path for name, path in inputs.items() if path is not None}
    for name, path in paths.items():
        if not path.exists():
            raise InputError(f"{path} does not exist.", f"Check --{name}.")
    return paths


def _part(shard: str | None, frames: int) -> range:
    """Frame indices of one shard, a contiguous range.

    Args:
        shard: "i/n" for the i-th of n shards, i from 1; None for all frames.
        frames: number of frames of the whole result.

    Raises:
        UsageError: ``shard`` has another form.
    """
    if shard is None:
        return range(frames)
    try:
        index, count = (int(word) for word in shard.split("/"))
    except ValueError:
        index, count = 0, 0
    if not 1 <= index <= count:
        raise UsageError(f"--shard {shard} does not have the form I/N with I from 1 to N.", "For example: --shard 1/4")
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
    """Writes the video with its sound, and returns its path.

    Args:
        frames: uint8 [size, size, 3] each, RGB, in order.
        count: number of frames.
        output: path of the video; without PyAV, PNG frames go to a folder beside it.
        config: audio file and quality.
        fps: frames per second.
        size: side of the frames, px.
        document: the manifest, whose facts become metadata tags.
        progress: receives progress and warnings.
    """
    sound = read_audio_native(Path(str(config.audio)))
    with progress.task("render", count) as advance, closing(frames):
        with open_writer(output, (size, size), fps, sound, config.crf, metadata_tags(document)) as writer:
            for frame in frames:
                writer.write(frame)
                advance(1)
    if writer.note:
        progress.warn(writer.note)
    return writer.path
