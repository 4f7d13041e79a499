"""Short videos of one emotion made into one clip (section 8.4.1): which of them fit together, and joining them.

The paper keeps videos that (1) were shot one after the other, told by the lack of a jump in pose and distance where one
follows the other, (2) have the same fitted focal length, (3) have similar pose distributions, about 15 s an emotion. It
gives no thresholds; these are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jean.clips.clip import Clip
from jean.errors import InputError
from jean.files import sha256, write_json
from jean.geometry import invert_pose, mean_pose, rotation_angle

SECONDS = 15.0  # length of a joined clip; section 8.4.1 uses about 15 s per emotion
JUMP_CM, JUMP_RAD = 4.0, np.radians(12)  # from the end of one to the beginning of the next, (1)
# (2): fits of three seconds of the synthetic speaker, whose lens is known, lie up to 20 % beside it
FOCAL_SHARE = 0.25
APART_CM, APART_RAD = 5.0, np.radians(10)  # of mean poses, (3)
_JOINED = ("times_s", "valid", "landmarks", "irises", "camera_to_world", "tracker_camera_to_world", "expression")


def jump(first: Clip, clip: Clip) -> list[str]:
    """Why ``clip`` was not shot right after ``first``, (1); empty where nothing tells."""
    end = _head(first.arrays["camera_to_world"][-1])
    start = _head(clip.arrays["camera_to_world"][0], first.camera.focal_px / clip.camera.focal_px)
    return ["the head jumps"] if _distance(end, start) > JUMP_CM or _angle(end, start) > JUMP_RAD else []


def unlike(clip: Clip, reference: Clip, focal_share: float = FOCAL_SHARE) -> list[str]:
    """Why ``clip`` is not like ``reference`` in focal length, (2), and poses, (3)."""
    found = []
    if abs(clip.camera.focal_px / reference.camera.focal_px - 1) > focal_share:
        found.append("another focal length")
    focal = reference.camera.focal_px / clip.camera.focal_px
    means = [_head(mean_pose(c.arrays["camera_to_world"]), f) for c, f in ((reference, 1.0), (clip, focal))]
    if _distance(*means) > APART_CM or _angle(*means) > APART_RAD:
        found.append("other poses")
    return found


def _head(camera_to_world: np.ndarray, focal: float = 1.0) -> np.ndarray:
    """The head in the camera, as far away as it looks under ``focal`` times the clip's focal length."""
    head = invert_pose(np.asarray(camera_to_world, np.float64))
    head[2, 3] *= focal
    return head


def _distance(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.linalg.norm(first[:3, 3] - second[:3, 3]))


def _angle(first: np.ndarray, second: np.ndarray) -> float:
    return float(rotation_angle(first[:3, :3], second[:3, :3]))


def choose(
    clips: Sequence[Clip], seconds: float, reference: Clip | None = None, focal_share: float = FOCAL_SHARE
) -> tuple[list[int], dict[str, list[str]]]:
    """The run of neighbours that fit together and comes nearest to ``seconds``; and why the others are left out.

    Args:
        clips: in the order in which they were shot.
        seconds: enough.
        reference: a clip that all must be like; None: the first of each run.
        focal_share: how far focal lengths may lie apart.
    """
    runs: list[list[int]] = []
    why: dict[str, list[str]] = {}
    for number, clip in enumerate(clips):
        run = runs[-1] if runs else []
        wrong = unlike(clip, reference, focal_share) if reference else []
        follows = not wrong and bool(run) and run[-1] == number - 1
        if follows:
            wrong = jump(clips[run[-1]], clip) + (unlike(clip, clips[run[0]], focal_share) if reference is None else [])
        if wrong:
            why[clip.folder.name] = wrong
        if follows and not wrong:
            run.append(number)
        elif reference is None or not unlike(clip, reference, focal_share):
            runs.append([number])

    def length(run: list[int]) -> float:
        return sum(clips[i].frame_count / clips[i].fps for i in run)

    best = max(runs, key=lambda run: min(length(run), seconds), default=[])
    kept: list[int] = []
    while len(kept) < len(best) and length(kept) < seconds:
        kept.append(best[len(kept)])
    names = {clips[i].folder.name for i in kept}
    left = {clip.folder.name: why.get(clip.folder.name, ["not needed"]) for clip in clips}
    return kept, {name: reason for name, reason in left.items() if name not in names}


def join(clips: Sequence[Clip], folder: Path, facts: dict[str, Any]) -> None:
    """Writes one clip of several that were cut alike (``crop=centre``); ``facts`` are added to ``clip.json``.

    The first clip's focal length counts; other heads are moved along the camera's axis so that they stay as large.

    Raises:
        InputError: clips of other sizes, crops, rates, trackers or features.
    """
    from safetensors.numpy import save_file

    from jean.media import read_audio, write_wav

    first = clips[0]
    for key in ("size_px", "fps", "tracker", "audio", "emotion"):
        if any(clip.meta.get(key) != first.meta.get(key) for clip in clips):
            raise InputError(f"the clips differ in {key}.", "Prepare them with one command.")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "clip.json").unlink(missing_ok=True)
    arrays = {name: np.concatenate([clip.arrays[name] for clip in clips]) for name in _JOINED}
    poses = []
    for clip in clips:
        head = invert_pose(clip.arrays["camera_to_world"])
        head[:, 2, 3] *= first.camera.focal_px / clip.camera.focal_px
        poses.append(invert_pose(head))
    arrays["camera_to_world"] = np.concatenate(poses)
    arrays["times_s"] = np.arange(len(arrays["valid"])) / first.fps
    arrays["shape"] = np.mean([clip.arrays["shape"] for clip in clips], 0).astype(np.float32)
    save_file({name: np.ascontiguousarray(value) for name, value in arrays.items()}, folder / "arrays.safetensors")
    for name in ("frames.u8", "matte.u8"):
        with open(folder / name, "wb") as out:
            for clip in clips:
                out.write((clip.folder / name).read_bytes())
    (folder / "background.png").write_bytes((first.folder / "background.png").read_bytes())
    if first.audio_features:
        kinds = first.audio_features
        save_file(
            {k: np.concatenate([c.audio_features[k] for c in clips]) for k in kinds},
            folder / "audio_features.safetensors",
        )
        waves = []
        for clip in clips:
            wave, samples = read_audio(folder_sound(clip)), round(clip.frame_count / clip.fps * 16000)
            waves.append(np.pad(wave[:samples], (0, max(0, samples - len(wave)))))
        write_wav(folder / "audio.wav", np.concatenate(waves), 16000)
    if first.emotion_features:
        kinds = first.emotion_features
        joined = {k: np.concatenate([c.emotion_features[k] for c in clips]) for k in kinds}
        save_file(joined, folder / "emotion_features.safetensors")
    names = [path.name for path in sorted(folder.iterdir()) if path.suffix in (".u8", ".safetensors", ".wav", ".png")]
    files = {name: {"bytes": (folder / name).stat().st_size, "sha256": sha256(folder / name)} for name in names}
    counts = {"frames": len(arrays["valid"]), "valid": int(arrays["valid"].sum())}
    meta = {key: value for key, value in first.meta.items() if key not in ("source", "options", "look", "fit", "crop")}
    write_json(folder / "clip.json", {**meta, **counts, **facts, "files": files})


def folder_sound(clip: Clip) -> Path:
    """The clip's sound.

    Raises:
        InputError: it has none.
    """
    if clip.audio_path is None:
        raise InputError(f"{clip.folder} has no sound.", "Prepare a video with sound.")
    return clip.audio_path
