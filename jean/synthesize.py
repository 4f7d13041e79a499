"""Rendering: ``jean render``. Speech decides the lips, a second source the expression, a third the pose."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field

from jean.config import StageConfig
from jean.data import drivers
from jean.data.audio_windows import neighbour_rows
from jean.data.clip import Clip
from jean.data.driver_filters import calmed, silence_gate
from jean.data.named_expression import Key, parse, read_timeline, vectors
from jean.data.person import Person, read_person
from jean.environment import pick_device
from jean.errors import ArtefactError, InputError, UsageError
from jean.features import registry
from jean.files import check_writable, folder_lock, read_json, sha256
from jean.geometry import rotation_matrix
from jean.media import open_writer, read_audio, read_audio_native
from jean.media.write import VIDEO_SUFFIXES
from jean.models.head_paper import PaperHead
from jean.models.paint import picture
from jean.models.talking_head import Frames, TalkingHead
from jean.progress import Progress
from jean.provenance import manifest, manifest_path, metadata_tags, write_manifest
from jean.render.frame_store import FrameStore
from jean.render.ops import resolve_backend
from jean.render.pipeline import in_order
from jean.train.checkpoint import Checkpoint, load_checkpoint
from jean.types import Camera


class RenderConfig(StageConfig):
    """What to render.

    Attributes:
        audio: the speech, any file with sound; the result lasts exactly as long.
        expression: a video or a clip; or NAME, NAME:STRENGTH, NAME..NAME of emotions and clips that the run was
            trained on (``jean.data.named_expression``); None takes the training clip's.
        expression_timeline: a CSV of time_s, expression, strength instead.
        silence_gate: closes the mouth where nobody speaks.
        pose_smoothing: spread in seconds of an average over the poses.
        pose: a clip or a JSON file of poses, "still", or None for the training clip's.
        background: "white" (as in the paper), "source" (the training clip's frames, or its clean plate
            where the pose does not come from it), or an image.
        size: side of the frames, px; None is the training clip's.
        fps: None is the training clip's.
        repeat: what a shorter source does at its end, "mirror" (there and back) or "hold".
        strength: of the expression, 0 (the training clip's mean) to 1 and beyond.
        yaw, pitch: degrees that the camera moves around the head; orbit: amplitude of a slow swing.
        depth: also write 16-bit depth pictures, hundredths of a cm.
        frames: also write the frames as PNG into this folder.
        shard: "i/n": render only the i-th of n parts (from 1); whoever finishes last writes the video.
        crf: quality of the H.264 stream.
        backend: compiled kernels ("native"), readable torch ("reference"), or kernels where they can run.
        precision: of the processor's kernels: "fp32", or "bf16" (quicker, less exact).
        sampling: of the paper preset: "exact" as in the paper, or "skip": few samples, and none where the field is
            empty under every expression and sound of this video (kernels only).
    """

    audio: Path | None = None
    expression: Path | None = None
    expression_timeline: Path | None = None
    silence_gate: bool = False
    pose_smoothing: float = Field(0.0, ge=0, le=10)
    pose: str | None = None
    background: str = "white"
    size: int | None = Field(None, ge=32, le=4096)
    fps: float | None = Field(None, ge=1, le=240)
    repeat: Literal["mirror", "hold"] = "mirror"
    strength: float = 1.0
    yaw: float = Field(0.0, ge=-60, le=60)
    pitch: float = Field(0.0, ge=-45, le=45)
    orbit: float = Field(0.0, ge=0, le=60)
    depth: bool = False
    frames: Path | None = None
    shard: str | None = None
    crf: int = Field(18, ge=0, le=51)
    backend: Literal["auto", "native", "reference"] = "auto"
    precision: Literal["fp32", "bf16"] = "fp32"
    sampling: Literal["exact", "skip"] = "exact"


ORBIT_PERIOD_S = 4.0


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
        ``precision``, ``sampling``.

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
    checkpoint = load_checkpoint(run, stage="nerf", warn=progress.warn)
    meta, person = checkpoint.payload["meta"], read_person(run)
    fps = float(config.fps or meta["fps"])
    size = int(config.size or person.camera.width_px)
    inputs = _inputs(config)
    options = config.model_dump(mode="json", exclude={"shard", "device", "seed"})
    made_from = {name: sha256(path) if path.is_file() else _clip_hash(path) for name, path in inputs.items()}
    key: dict[str, Any] = {"checkpoint": checkpoint.content_hash, "inputs": made_from, "options": options}
    key["sha256"] = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    finished = _finished(output, key["sha256"])
    if finished is not None:
        progress.say(f"{output} is finished: nothing to do.")
        return finished
    (name, made), *_ = meta["audio"].items()
    windows = drivers.speech(config.audio, name, made, fps)
    if not len(windows):
        raise InputError(f"{config.audio} holds no sound.", "Choose another --audio.")
    times = (np.arange(len(windows)) + 0.5) / fps
    if config.silence_gate:
        windows = silence_gate(windows, read_audio(config.audio), registry.create("audio", name), fps)
    if meta.get("speech") == "none":
        windows = np.zeros_like(windows)
    expression, offsets = _expression(config, checkpoint, person, times, progress)
    poses, pose_positions = _poses(config, person, times, fps)
    if config.pose_smoothing:
        poses = calmed(poses, config.pose_smoothing, fps)
    poses = _move_camera(poses, config, times)
    model = load_model(checkpoint, config.device)
    model.head.use(config.backend, config.precision)
    backend = resolve_backend(config.backend, model.expression_mean.device, model.head.drawn_by, progress.say)
    progress.say(f"backend: {backend}, {config.precision}.")
    heard = _heard(model, len(windows), fps / float(meta["fps"]))
    behind = _Backgrounds(config, person, size, pose_positions)
    part = _part(config.shard, len(windows))
    work = output.with_name(output.name + ".work")
    with folder_lock(work / f"part-{(config.shard or '1/1').replace('/', '-of-')}"):
        store = FrameStore(work, key, len(windows), size, config.depth)
        camera = person.camera.resized(size)
        todo = sum(not store.has(index) for index in part)

        def drivers_of(index: int) -> Frames:
            return _frames(model, camera, poses[index], windows[heard[index]], expression[index], offsets[index])

        if config.sampling == "skip":
            _skip_empty(model, backend, drivers_of, len(windows), progress)

        def paint(index: int) -> np.ndarray:
            if store.has(index):
                return store.read(index)
            painted = picture(model, drivers_of(index), behind.at(index))
            store.write(index, painted.rgb, painted.depth_cm)
            return painted.rgb

        def report() -> dict[str, Any]:
            seconds = time.perf_counter() - began
            done = {"seconds": round(seconds, 2), "frames_per_s": round(todo / seconds, 2)}
            return result | done | {"finished": store.complete()}

        result: dict[str, Any] = {"frames": len(windows), "fps": fps, "size": size, "backend": backend}
        result = {"output": str(output)} | result | {"precision": config.precision, "sampling": config.sampling}
        painted = in_order(paint, part, painters(model, backend))
        if config.shard is not None:
            with progress.task("render", len(part)) as advance, closing(painted):
                for _ in painted:
                    advance(1)
            if not store.complete():
                progress.say(f"{store.count()} of {len(windows)} frames are there; render the other parts.")
                return report()
            painted = (store.read(index) for index in range(len(windows)))
        with folder_lock(work / "encode"):
            document = manifest("render", inputs, options, result | {"key": key["sha256"]})
            written = _encode(painted, len(windows), output, config, fps, size, document, progress)
            store.hand_over(config.frames, output.with_name(output.stem + "_depth") if config.depth else None)
            write_manifest(written, document)
            done = report() | {"output": str(written)}
            store.remove()
    return done


def painters(model: TalkingHead, backend: str) -> int:
    """Frames to paint at the same time: as many as torch has threads where the kernels of the processor paint."""
    return torch.get_num_threads() if backend == "native" and model.expression_mean.device.type == "cpu" else 1


def _skip_empty(
    model: TalkingHead, backend: str, frames_of: Callable[[int], Frames], count: int, progress: Progress
) -> None:
    """Finds the empty space of all frames of the video, from some of them, whichever part is rendered here.

    Raises:
        UsageError: another preset than "paper", or no kernels.
    """
    if not isinstance(model.head, PaperHead):
        raise UsageError("this head skips empty space always.", "Leave --sampling away.")
    if backend != "native":
        raise UsageError("skipping empty space needs the compiled kernels.", "Leave --sampling or --backend away.")
    some = np.unique(np.linspace(0, count - 1, 24).round().astype(int))
    with torch.no_grad():
        model.head.skip_empty(torch.cat([model.condition(frames_of(int(index))) for index in some]))
    progress.say(f"sampling: skip, {model.head.few_samples} samples a ray.")


def _finished(output: Path, key: str) -> dict[str, Any] | None:
    """The result that is already there, if it was made from the same."""
    record = manifest_path(output)
    if not (output.exists() and record.exists()):
        return None
    made = read_json(record).get("result", {})
    if made.pop("key", None) != key:
        return None
    return {**made, "seconds": 0.0, "frames_per_s": 0.0, "finished": True}  # this time nothing was rendered


def load_model(checkpoint: Checkpoint, device: str) -> TalkingHead:
    """The trained head, ready to render.

    Raises:
        ArtefactError: the checkpoint was made by another version of the model.
    """
    arguments = checkpoint.payload["meta"]["model"]
    model = TalkingHead(**arguments)
    try:
        model.load_state_dict(checkpoint.module_state("model"))
    except RuntimeError as error:
        raise ArtefactError(
            f"{checkpoint.path} was made by another version of this program.", "Train it again with this version."
        ) from error
    return model.eval().to(pick_device(device))


def load_embedder(checkpoint: Checkpoint) -> Callable[[np.ndarray], np.ndarray]:
    """e_e [T, 64] of a track of emotion features, by the transformer that the head was trained with."""
    from jean.models.expression_transformer import ExpressionTransformer

    model = ExpressionTransformer(**checkpoint.payload["meta"]["expression_source"]["model"])
    model.load_state_dict(checkpoint.module_state("expression_transformer"))
    model.eval()
    return lambda track: model.embed_track(track)[1]


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


def _clip_hash(folder: Path) -> str:
    """Hash of a clip folder: its ``clip.json`` holds those of its files."""
    Clip.open(folder, pictures=False)
    return sha256(folder / "clip.json")


def _expression(
    config: RenderConfig, checkpoint: Checkpoint, person: Person, times: np.ndarray, progress: Progress
) -> tuple[np.ndarray, np.ndarray]:
    """Expression coefficients [T, E] and offsets of the landmarks [T, 68, 2] that the model takes."""
    meta = checkpoint.payload["meta"]
    kind = meta.get("expression_source", {}).get("kind", "upper")
    coefficients, offsets, fps = person.expression, person.offsets, float(meta["fps"])
    keys = _keys(config, float(times[-1]))
    if (config.expression is not None or keys) and kind == "none":
        raise UsageError("this run was trained without an expression (audio-only).", "Leave --expression away.")
    learned = kind in ("emotion", "transformer")
    embed = load_embedder(checkpoint) if kind == "transformer" else None

    def track_of(path: Path) -> tuple[np.ndarray, float]:
        if learned:
            return drivers.vector_track(path, meta["expression_source"], embed)
        source = drivers.expression(path, meta["expression"], meta["tracker"], progress)
        chosen = np.asarray(meta["expression"]["upper"], bool) if meta["upper_face"] else slice(None)
        return source.coefficients[:, chosen], source.fps

    if keys:
        positions = drivers.source_positions(times, fps, len(coefficients), config.repeat)
        own, mean = drivers.blend_rows(coefficients, positions), coefficients.mean(0)
        named = vectors(keys, person.means, mean, times, lambda path: track_of(path)[0].mean(0))
        # the training clip's own movement (blinks) goes on around the named expression
        coefficients = named + own - mean
        if learned:
            offsets = person.offsets_of(coefficients)
        else:
            offsets = drivers.blend_rows(offsets, positions) + person.offsets_of(named) - person.offsets_of(mean[None])
        neutral, still = person.expression.mean(0), person.offsets.mean(0)
        return (
            (neutral + config.strength * (coefficients - neutral)).astype(np.float32),
            (still + config.strength * (offsets - still)).astype(np.float32),
        )
    if config.expression is not None and learned:
        coefficients, fps = track_of(config.expression)
        offsets = person.offsets_of(coefficients)
    elif config.expression is not None:
        source = drivers.expression(config.expression, meta["expression"], meta["tracker"], progress)
        coefficients, fps = source.coefficients, source.fps
        if meta["upper_face"]:
            coefficients = coefficients[:, np.asarray(meta["expression"]["upper"], bool)]
        offsets = person.offsets_like(coefficients, source.offsets)
    positions = drivers.source_positions(times, fps, len(coefficients), config.repeat)

    def driven(track: np.ndarray, own: np.ndarray) -> np.ndarray:
        neutral = own.mean(0)
        return (neutral + config.strength * (drivers.blend_rows(track, positions) - neutral)).astype(np.float32)

    return driven(coefficients, person.expression), driven(offsets, person.offsets)


def _keys(config: RenderConfig, length_s: float) -> list[Key]:
    """The named expressions that are asked for; none where the expression comes from a file."""
    if config.expression_timeline is not None:
        return read_timeline(config.expression_timeline)
    if config.expression is None or config.expression.exists():
        return []
    text = str(config.expression)
    if "/" in text or config.expression.suffix in VIDEO_SUFFIXES:
        raise InputError(f"{text} does not exist.", "Check --expression.")
    return parse(text, length_s)


def _poses(config: RenderConfig, person: Person, times: np.ndarray, fps: float) -> tuple[np.ndarray, np.ndarray | None]:
    """Poses [T, 4, 4], and the training clip's frames [T] that they belong to (None: to none)."""
    own = person.camera_to_world
    if config.pose == "still":
        # the frame nearest to the mean place: a real pose, not an average of rotations
        middle = int(np.argmin(np.linalg.norm(own[:, :3, 3] - own[:, :3, 3].mean(0), axis=1)))
        return np.repeat(own[middle : middle + 1], len(times), 0), np.full(len(times), middle)
    source_fps, track, is_own = _own_fps(person, fps), own, True
    if config.pose is not None:
        source = Path(config.pose)
        is_own = source.resolve() == person.clip
        track, source_fps = drivers.poses(source, own, is_own)
    positions = drivers.source_positions(times, source_fps, len(track), config.repeat)
    return drivers.blend_track(track, positions), np.round(positions).astype(int) if is_own else None


def _own_fps(person: Person, fallback: float) -> float:
    return Clip.open(person.clip).fps if (person.clip / "clip.json").exists() else fallback


def _move_camera(poses: np.ndarray, config: RenderConfig, times: np.ndarray) -> np.ndarray:
    """Poses seen from a camera that moved around the head's origin."""
    yaw = np.radians(config.yaw + config.orbit * np.sin(2 * math.pi * times / ORBIT_PERIOD_S))
    pitch = np.full_like(yaw, math.radians(config.pitch))
    if not (np.any(yaw) or np.any(pitch)):
        return poses
    turn = np.zeros((len(poses), 4, 4))
    turn[:, 3, 3] = 1
    turn[:, :3, :3] = rotation_matrix(np.stack([0 * yaw, yaw, 0 * yaw], -1)) @ rotation_matrix(
        np.stack([pitch, 0 * yaw, 0 * yaw], -1)
    )
    return turn @ poses


class _Backgrounds:
    """What lies behind the person, frame by frame, uint8 [size, size, 3]."""

    def __init__(self, config: RenderConfig, person: Person, size: int, positions: np.ndarray | None):
        self.size, self.positions = size, positions
        self.clip: Clip | None = None
        if config.background == "white":
            self.still = np.full((size, size, 3), 255, np.uint8)
        elif config.background == "source":
            self.still = _resized(person.background, size)
            if positions is not None and (person.clip / "clip.json").exists():
                self.clip = Clip.open(person.clip)
        else:
            self.still = _read_image(Path(config.background), size)

    def at(self, index: int) -> np.ndarray:
        """Background of frame ``index``: the source's frame with its person taken out, or a still picture."""
        if self.clip is None or self.positions is None:
            return self.still
        import cv2

        source = min(int(self.positions[index]), self.clip.frame_count - 1)
        frame = _resized(np.asarray(self.clip.frames[source]), self.size)
        matte = np.asarray(self.clip.matte[source]).sum(-1, dtype=np.uint16).clip(0, 255).astype(np.uint8)
        # grown and softened, so that no rim of the old person is left beside the new one
        reach = max(3, self.clip.size_px // 40) | 1
        matte = cv2.GaussianBlur(cv2.dilate(matte, np.ones((reach, reach), np.uint8)), (0, 0), reach / 4)
        share = _resized(matte, self.size).astype(np.float32)[..., None] / 255
        return (frame * (1 - share) + self.still * share + 0.5).astype(np.uint8)


def _resized(image: np.ndarray, size: int) -> np.ndarray:
    import cv2

    if image.shape[0] == size and image.shape[1] == size:
        return image
    method = cv2.INTER_AREA if image.shape[0] > size else cv2.INTER_CUBIC
    return cv2.resize(image, (size, size), interpolation=method)


def _read_image(path: Path, size: int) -> np.ndarray:
    """The middle square of an image, RGB."""
    import cv2

    image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR) if path.is_file() else None
    if image is None:
        raise InputError(f"{path} is not an image.", "Name white, source, or a PNG or JPEG for --background.")
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    return _resized(image[top : top + side, left : left + side, ::-1], size)


def _frames(
    model: TalkingHead,
    camera: Camera,
    pose: np.ndarray,
    windows: np.ndarray,
    expression: np.ndarray,
    offsets: np.ndarray,
) -> Frames:
    """The drivers of one frame, on the model's device."""
    device = model.expression_mean.device
    return Frames(
        camera_to_world=torch.from_numpy(pose.astype(np.float32))[None].to(device),
        focal_px=torch.tensor([camera.focal_px], device=device),
        center_px=torch.tensor([camera.center_px], device=device),
        audio=torch.from_numpy(windows)[None].to(device),
        expression=torch.from_numpy(expression)[None].to(device),
        offsets=torch.from_numpy(offsets)[None].to(device),
    )


def _heard(model: TalkingHead, frames: int, spacing: float) -> np.ndarray:
    """The windows that each frame hears: int [T], or [T, N] where the model smooths over N neighbours."""
    if model.audio_attention is None:
        return np.arange(frames)
    return neighbour_rows(frames, model.audio_attention.neighbours, spacing)


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
