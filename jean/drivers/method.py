"""Methods: the speech and expression inputs of a head, in training and in rendering.

``METHODS`` lists the rows of Tables 1 and 2 and of Figure 6. A ``Method`` is such a row, bound to the features of a
person's clips or of a trained run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jean.checkpoint import Checkpoint
from jean.clips.clip import Clip
from jean.clips.compatibility import ClipSpec
from jean.drivers.expression import EXPRESSION_INPUTS, UpperFace
from jean.drivers.expression_input import ExpressionInput, ExpressionRequest
from jean.drivers.head_meta import check_head
from jean.drivers.speech import SpeechInput
from jean.errors import ArtefactError
from jean.models.stored import StoredModel, load_audio_encoder

AUDIO_EMBEDDING_WIDTH = 64  # width of e_a (section 3.1)


@dataclass(frozen=True)
class MethodRow:
    """One row of Table 1 or 2.

    Attributes:
        expression: kind of the expression input, see ``EXPRESSION_INPUTS``.
        speech: whether speech is an input of the head.
        audio_run: whether the method uses the self-supervised audio encoder of ``train-audio``.
        variant: required variant of the expression transformer; None for any.
    """

    expression: str
    speech: bool = True
    audio_run: bool = False
    variant: str | None = None


METHODS = {
    "jean": MethodRow("transformer", audio_run=True, variant="jean"),
    "jean-plain-audio": MethodRow("transformer"),  # Figure 6: without the self-supervised audio encoder
    "audio-only": MethodRow("none"),  # AD-NeRF
    "expression-only": MethodRow("all", speech=False),  # NeRFace
    "a": MethodRow("emotion"),  # Table 2
    "b": MethodRow("all"),
    "c": MethodRow("emotion", audio_run=True),
    "d": MethodRow("transformer", audio_run=True, variant="d"),  # the transformer takes the tracker's coefficients
}


@dataclass(frozen=True)
class Method:
    """The speech and expression inputs of one head.

    Attributes:
        name: a name in ``METHODS``; None for another combination.
        speech: the speech input.
        expression: the expression input.
        audio_encoder: the encoder of ``train-audio`` that training begins with; None to learn it with the head.
    """

    name: str | None
    speech: SpeechInput
    expression: ExpressionInput
    audio_encoder: StoredModel | None = None

    @property
    def audio_drives_mouth(self) -> bool:
        """Whether speech alone decides the lower face."""
        return not self.speech.silent and self.expression.audio_drives_mouth

    def metadata(self, clip: Clip) -> dict[str, Any]:
        """JSON values that a run stores and ``of_run`` reads.

        Args:
            clip: any of the clips trained on.
        """
        return {
            "tracker": clip.meta.tracker.to_json(),
            "expression": clip.meta.expression.to_json(),
            "upper_face": self.expression.kind == UpperFace.kind,
            "method": self.name,
            "expression_source": self.expression.description(),
            "speech": self.speech.kind,
            "audio": {self.speech.name: self.speech.description},
        }

    def hashes(self) -> dict[str, str | None]:
        """Hashes of the trained inputs' weights, by option."""
        return {
            "audio_run": self.audio_encoder.hash if self.audio_encoder else None,
            "expression_run": self.expression.hash,
        }

    @classmethod
    def of_run(cls, checkpoint: Checkpoint) -> Method:
        """The method of a trained head.

        Raises:
            ArtefactError: the checkpoint does not describe one.
        """
        meta = check_head(checkpoint)
        (name, description), *_ = meta["audio"].items()
        speech = SpeechInput(name, description, meta.get("speech") == "none")
        source = meta.get("expression_source", {})
        expression = EXPRESSION_INPUTS[source.get("kind", UpperFace.kind)].of_run(checkpoint)
        expression.window_s = float(source.get("window_s", 0.0))
        return cls(meta.get("method"), speech, expression)


def plain_method(clips: Sequence[Clip], expression: str = UpperFace.kind, audio: str | None = None) -> Method:
    """A method without other runs: tracker coefficients, and an audio encoder that is trained with the head.

    Args:
        clips: the person's clips.
        expression: kind of the expression input.
        audio: name of the audio features; None takes the first that the clips have.
    """
    return bind_method(clips, MethodRow(expression), audio_features=audio)


def bind_method(
    clips: Sequence[Clip],
    row: MethodRow,
    *,
    name: str | None = None,
    audio_run: Path | None = None,
    audio_features: str | None = None,
    expression_run: Path | None = None,
    emotion_features: str | None = None,
    window_s: float = 0.0,
    warn: Callable[[str], None] = lambda message: None,
) -> Method:
    """Loads the runs that a method needs, and checks that they fit the clips.

    Args:
        clips: the person's clips.
        row: the inputs of the method.
        name: its name in ``METHODS``, or None.
        audio_run: run folder of ``train-audio``, or None.
        audio_features: name of the audio features; None takes those of ``audio_run``, or the clips' first.
        expression_run: run folder of ``train-expr``, or None.
        emotion_features: name of the emotion features, for kinds that take some.
        window_s: seconds over which expression vectors are averaged; 0 for none.
        warn: receives warnings.

    Raises:
        ArtefactError: a run of another kind, extractor, tracker or variant than the method's; features that the clips
            lack.
        InputError: a clip without sound.
    """
    encoder = None if audio_run is None else _audio_encoder(clips[0], audio_run, audio_features, warn)
    request = ExpressionRequest(expression_run, emotion_features, row.variant, warn)
    expression = EXPRESSION_INPUTS[row.expression].for_training(clips, request)
    expression.window_s = window_s
    if encoder is not None:
        audio_features = next(iter(encoder.meta["audio"]))
    for clip in clips:
        clip.sound()
    features = clips[0].audio_name(audio_features)
    speech = SpeechInput(features, clips[0].audio_specs[features].to_json(), silent=not row.speech)
    return Method(name, speech, expression, encoder)


def _audio_encoder(clip: Clip, run: Path, features: str | None, warn: Callable[[str], None]) -> StoredModel:
    """The encoder of ``train-audio``, which must have been trained on the features of ``clip``."""
    encoder = load_audio_encoder(Path(run), warn)
    name = next(iter(encoder.meta["audio"]))
    if features not in (None, name):
        raise ArtefactError(
            f"{run} was trained on {name} features, not {features}.",
            f"Leave --set audio_features away, or name a run that was trained on {features}.",
        )
    clip.require(ClipSpec.of_run(encoder.meta, "audio"), run)
    if encoder.meta["model"]["out"] != AUDIO_EMBEDDING_WIDTH:
        raise ArtefactError(
            f"the embeddings of {run} have another width than {AUDIO_EMBEDDING_WIDTH}.",
            f"Train it with a width of {AUDIO_EMBEDDING_WIDTH}.",
        )
    return encoder
