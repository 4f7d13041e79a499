"""Files of a rendered result: where they may lie, whether they are finished, and how they appear together."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jean.errors import SetupError
from jean.files import folder_lock, sweep
from jean.media.write import written_path
from jean.outputs import claim
from jean.provenance import manifest_path, unchanged, write_manifest
from jean.rendering.config import RenderConfig
from jean.rendering.frame_store import FrameStore, stored_key


@dataclass(frozen=True)
class ResultFiles:
    """The files that a render writes.

    Attributes:
        video: the video; without PyAV the folder of PNG frames that stands for it.
        folders: folders of PNG files that were asked for, by what they hold: ``frames``, ``depth`` and ``layers``.
        work: folder of the frames until the video is complete.
    """

    video: Path
    folders: Mapping[str, Path]
    work: Path

    @classmethod
    def of(cls, config: RenderConfig, output: Path) -> ResultFiles:
        """The files of a render to ``output``."""
        beside = {name: output.with_name(f"{output.stem}_{name}") for name in ("depth", "layers")}
        folders = {"frames": config.frames, **{name: path for name, path in beside.items() if getattr(config, name)}}
        asked = {name: path for name, path in folders.items() if path is not None}
        return cls(written_path(output), asked, output.with_name(output.name + ".work"))

    def claim(self, inputs: Iterable[Path]) -> None:
        """Checks that these files can be written and destroy no input; raises the errors of ``jean.outputs.claim``."""
        whole = [] if self.video.is_dir() else [self.video]
        pictures = list(self.folders.values())
        claim(
            inputs,
            files=[*whole, manifest_path(self.video)],
            folders=pictures,
            exclusive=[*pictures, self.work, *([] if whole else [self.video])],
        )

    def finished(self, key: str) -> dict[str, Any] | None:
        """The stored result of an earlier render with the same key, if all its files are whole and unchanged."""
        document = unchanged(self.video, self.folders)
        if document is None or document["result"].get("key") != key:
            return None
        stored = stored_key(self.work) if self.work.is_dir() else None
        if stored is not None and stored.get("sha256") == key:  # of a render that was killed after its last file
            with suppress(SetupError), folder_lock(self.work / "encode"):  # it may be about to remove them itself
                shutil.rmtree(self.work)
        result = {name: value for name, value in document["result"].items() if name != "key"}
        return {**result, "seconds": 0.0, "frames_per_s": 0.0, "finished": True}  # nothing was rendered this time

    def clear(self) -> None:
        """Removes what killed renders to this file left behind. Only the holder of the encoder's lock may call it."""
        for path in (self.video, manifest_path(self.video)):
            sweep(path.parent, path.name)

    def publish(self, store: FrameStore, document: Mapping[str, Any], complete: Path) -> None:
        """Writes everything but the video, just before it gets its name: so it never lies there without a manifest.

        Args:
            store: the frames.
            document: the manifest.
            complete: the complete video, or folder, under its temporary name.

        Raises:
            SetupError: a file cannot be written.
        """
        store.hand_over(*(self.folders.get(name) for name in ("frames", "depth", "layers")))
        write_manifest(self.video, document, content=complete, others=self.folders)
