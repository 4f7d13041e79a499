"""Audio features of HuBERT, wav2vec 2.0 and similar models from a local folder, with the package transformers.

The folder (``config.json``, weights, and a recognition head for logits) must be among the weights: ``hf-NAME`` uses the
folder NAME in ``$JEAN_MODELS``, ``hubert`` uses ``hubert-large-ls960-ft``. Nothing is downloaded. The features are the
last hidden states, or, for ``hf-NAME@logits``, the logits of the recognition head.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from jean.documents import parse_object
from jean.errors import ArtefactError, InputError, SetupError
from jean.media.rates import RATE_HZ
from jean.weights import store as weights

HOP = 320  # samples between rows, in all models of this family
FIELD = 400  # samples in the receptive field of the convolutions
CHUNK_S = 20.0  # seconds per batch, so that memory does not grow with the length
OVERLAP_S = 2.0  # context on each side of a batch


class TransformersAudio:
    """Hidden states or logits of a speech transformer; see ``AudioFeatures``.

    Args:
        model: NAME or NAME@logits.
        name: the registered name; None for "hf-" and ``model``.

    Raises:
        SetupError: the folder or the package is missing.
        ArtefactError: the folder holds no such model.
    """

    window = 16
    rate_hz = RATE_HZ / HOP
    half_precision = True  # such networks are commonly run in half precision

    def __init__(self, model: str = "hubert-large-ls960-ft", name: str | None = None):
        self.name = name or f"hf-{model}"
        folder_name, _, output = model.partition("@")
        self._logits = output == "logits"
        if output not in ("", "logits"):
            raise SetupError(f"{self.name} has no output {output!r}.", "Write hf-NAME or hf-NAME@logits.")
        folder = next((f / folder_name for f in weights.folders() if (f / folder_name / "config.json").is_file()), None)
        if folder is None:
            raise SetupError(
                f"there is no model folder {folder_name}.",
                f"Put it (config.json and weights) into {weights.folders()[0]}.",
            )
        self._model, self._normalise = _load(folder, self._logits)
        config = self._model.config
        self.width = int(config.vocab_size if self._logits else config.hidden_size)
        self.version = _fingerprint(folder)

    def extract(self, wave: np.ndarray) -> np.ndarray:
        """Features float32 [N, D] of a mono waveform [S] at 16 kHz, 50 rows per second.

        Raises:
            InputError: the waveform is not one-dimensional, or has NaN or infinite samples.
        """
        wave = np.asarray(wave, np.float32)
        if wave.ndim != 1 or not np.isfinite(wave).all():
            raise InputError("the audio is not a mono waveform of finite samples.", "Export the audio again.")
        if self._normalise:
            wave = (wave - wave.mean()) / np.sqrt(wave.var() + 1e-7)
        # row n covers samples 320 n to 320 n + 399: shifted by half of 400 samples, its centre is at n / 50 s
        padded = np.pad(wave, (FIELD // 2, FIELD))
        rows = len(wave) // HOP + 1
        step, extra = int((CHUNK_S - 2 * OVERLAP_S) * self.rate_hz), int(OVERLAP_S * self.rate_hz)
        parts = []
        for first in range(0, rows, step):
            begin, end = max(0, first - extra), min(rows, first + step + extra)
            features = self._run(padded[begin * HOP : (end - 1) * HOP + FIELD])
            parts.append(features[first - begin : first - begin + step])
        return np.concatenate(parts)[:rows]

    def _run(self, samples: np.ndarray) -> np.ndarray:
        import torch

        with torch.no_grad():
            out = self._model(torch.from_numpy(samples)[None])
        return (out.logits if self._logits else out.last_hidden_state)[0].float().numpy()


class Hubert(TransformersAudio):
    """HuBERT large, fine-tuned on 960 hours of speech; 1024 values per row."""

    def __init__(self) -> None:
        super().__init__("hubert-large-ls960-ft", "hubert")


def _load(folder: Path, logits: bool) -> tuple[Any, bool]:
    """Loads the model; also returns whether its input must have zero mean and unit variance."""
    try:
        import transformers
    except ImportError as error:
        raise SetupError(
            f"transformers cannot be loaded ({error}).", "Run: pip install 'jean[transformers]'"
        ) from error
    factory = transformers.AutoModelForCTC if logits else transformers.AutoModel
    try:
        model = factory.from_pretrained(str(folder), local_files_only=True).eval()
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = str(error).splitlines()[0][:100]
        raise ArtefactError(f"{folder} holds no speech model ({reason}).", "Download the folder again.") from error
    preprocessor = folder / "preprocessor_config.json"
    try:
        settings = parse_object(preprocessor.read_bytes()) if preprocessor.is_file() else {}
    except (OSError, ValueError) as error:
        raise ArtefactError(f"{preprocessor} is damaged ({error}).", "Download the folder again.") from error
    return model, bool(settings.get("do_normalize", True))


def _fingerprint(folder: Path) -> str:
    """12 hexadecimal digits over the configuration, and over size and first MiB of the weights."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix == ".json":
            digest.update(path.name.encode() + path.read_bytes())
        elif path.suffix in (".bin", ".safetensors"):
            with open(path, "rb") as handle:
                digest.update(f"{path.name} {path.stat().st_size}".encode() + handle.read(1 << 20))
    return digest.hexdigest()[:12]
