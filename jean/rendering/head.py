"""A trained head in memory: load it once, drive it, get frames as arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from jean.checkpoint import Checkpoint, load_checkpoint
from jean.config import load_config
from jean.drivers.person import Person, read_person
from jean.errors import UsageError
from jean.kernels.backend import Backend
from jean.models.frame import render_frame
from jean.models.talking_head import TalkingHead
from jean.progress import Progress, Silent
from jean.rendering.backgrounds import Backgrounds
from jean.rendering.config import RenderConfig
from jean.rendering.drive import Drive, gather_drivers
from jean.rendering.load import load_model
from jean.tuning import return_freed_memory


@dataclass(frozen=True)
class LoadedHead:
    """A trained head, ready to render. Make it with ``load_head``.

    Attributes:
        checkpoint: the checkpoint that the head was read from.
        person: the person of the run: default drivers, camera, background, support.
        model: the networks, on their device.
        backend: what computes each operation.
        progress: receives progress and warnings.
    """

    checkpoint: Checkpoint
    person: Person
    model: TalkingHead
    backend: Backend
    progress: Progress

    @property
    def fps(self) -> float:
        """Frames per second of the training clip."""
        return float(self.checkpoint.payload["meta"]["fps"])

    @property
    def size_px(self) -> int:
        """Side of the training clip's frames, px."""
        return self.person.camera.width_px

    @property
    def implementation(self) -> str:
        """What renders frames: "native" (compiled kernels) or "reference" (torch)."""
        return self.backend.implementation(self.model.head.rendered_by)

    def drive(
        self,
        audio: str | PathLike[str],
        expression: str | PathLike[str] | None = None,
        pose: str | PathLike[str] | None = None,
        **options: Any,
    ) -> Drive:
        """Reads the three sources, within the person's support.

        Args:
            audio: the speech, any file with sound; the result has ⌈duration · fps⌉ frames.
            expression: a clip, a video or a name; None for the training clip's.
            pose: a clip, a JSON file of poses, or "still"; None for the training clip's.
            options: further fields of ``RenderConfig``, for example ``fps=50`` or ``size=512``.

        Raises:
            UsageError: an unknown option, or an expression that the run does not know.
            InputError: a source without sound, face or poses.
            ArtefactError: a source that was prepared with other features than the run's.
        """
        sources = {"audio": audio, "expression": expression, "pose": pose}
        given = {name: str(value) for name, value in sources.items() if value is not None}
        return self.gather(load_config(RenderConfig, **given, **options))

    def gather(self, config: RenderConfig) -> Drive:
        """Reads the sources that a configuration names; see ``drive``."""
        if config.audio is None:
            raise UsageError("no speech was given.", "Add --audio FILE.")
        fps, size = float(config.fps or self.fps), int(config.size or self.size_px)
        drive = gather_drivers(config, self.checkpoint, self.model, self.person, fps, size, self.progress)
        return_freed_memory()  # reading the sources takes more than the drivers of the frames
        return drive

    def backgrounds(self, drive: Drive, background: str = "white") -> Backgrounds:
        """Backgrounds of the frames.

        Args:
            drive: from ``drive``.
            background: "white", "source" (the training clip without its person), an image or a video.
        """
        return Backgrounds(background, self.person, drive)

    def frame(self, drive: Drive, index: int, background: str | Backgrounds = "white") -> np.ndarray:
        """Renders one frame, uint8 [size, size, 3], RGB.

        Args:
            drive: from ``drive``.
            index: number of the frame, from 0.
            background: see ``backgrounds``. For a video, give what that method returned: the video is then read once.

        Raises:
            IndexError: ``index`` is not a frame of ``drive``.
        """
        if not 0 <= index < len(drive):
            raise IndexError(f"there is no frame {index}: the drivers have {len(drive)} frames")
        if isinstance(background, str):
            background = self.backgrounds(drive, background)
        return render_frame(self.model, drive.frame(index), background.at(index)).rgb


def load_head(
    run: str | PathLike[str],
    device: str = "auto",
    backend: str = "auto",
    precision: str = "fp32",
    progress: Progress | None = None,
) -> LoadedHead:
    """Loads a trained head.

    Args:
        run: run folder of ``train_nerf``.
        device: "auto", "cpu" or "cuda".
        backend: "native" for compiled kernels, "reference" for torch, "auto" for kernels where they can run.
        precision: of the kernels, "fp32" or "bf16".
        progress: receives warnings and messages.

    Raises:
        ArtefactError: ``run`` holds no head, or a damaged one.
        UsageError: an unknown choice, or bf16 without kernels for it.
        SetupError: a GPU that is not there, or "native" without kernels.
    """
    config = load_config(RenderConfig, device=device, backend=backend, precision=precision)
    return load_configured_head(Path(run), config, progress or Silent())


def load_configured_head(run: Path, config: RenderConfig, progress: Progress) -> LoadedHead:
    """``load_head`` with device, backend and precision of a configuration."""
    checkpoint = load_checkpoint(run, stage="nerf", warn=progress.warn)
    person = read_person(run)
    model = load_model(checkpoint, config.device)
    if not model.head.limits_drivers:
        person = replace(person, support=person.support.unlimited())
    backend = Backend.resolve(config.backend, model.device, config.precision, model.operations, progress.say)
    model.use(backend)
    return LoadedHead(checkpoint, person, model, backend, progress)
