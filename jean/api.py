"""The public functions of ``jean``, one per command, all called alike: ``f(inputs, output, config, *, progress, …)``.

Paths may be strings, ``Path`` objects, clips, or results of earlier calls. ``config`` is the configuration of the
command; keyword options override its fields. Errors are those of ``jean.errors``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, Union

from jean.clips.clip import Clip
from jean.config import StageConfig, load_config
from jean.progress import Progress, Silent
from jean.results import EvaluateResult, PrepareResult, RenderResult, TrainResult

if TYPE_CHECKING:
    from jean.evaluation.evaluate import EvaluateConfig
    from jean.preparation.config import PrepareConfig
    from jean.rendering.act_config import ActConfig
    from jean.rendering.config import RenderConfig
    from jean.train.audio.config import AudioConfig
    from jean.train.expression.config import ExpressionConfig
    from jean.train.landmarks.config import LandmarkConfig
    from jean.train.lips.config import LipsConfig
    from jean.train.motion.config import MotionConfig
    from jean.train.nerf.config import NerfConfig


Source = Union[str, "PathLike[str]", Clip]
Config = TypeVar("Config", bound=StageConfig)


def prepare(
    videos: Source | Sequence[Source],
    output: Source,
    config: PrepareConfig | None = None,
    *,
    progress: Progress | None = None,
    **options: Any,
) -> PrepareResult:
    """Turns videos into clip folders: crop, landmarks, camera, poses, mattes, background plate, features.

    Args:
        videos: videos, folders of numbered images, or folders of videos. One video becomes the clip folder ``output``;
            several become ``output``/STEM each.
        output: where to write.
        config: options, see ``PrepareConfig``.
        progress: receives progress, messages and warnings.
        options: fields of ``PrepareConfig``.

    Missing weights are downloaded only with ``JEAN_AUTO_PULL=1`` in the environment.
    """
    from jean.preparation.config import PrepareConfig
    from jean.preparation.prepare import prepare as prepare_videos

    configured = _config(PrepareConfig, config, options)
    facts = prepare_videos(_paths(videos), _path(output), configured, progress or Silent())
    return PrepareResult([Path(clip["clip"]) for clip in facts["clips"]], facts)


def train_landmarks(
    clips: Source | Sequence[Source],
    output: Source,
    config: LandmarkConfig | None = None,
    *,
    progress: Progress | None = None,
    **options: Any,
) -> TrainResult:
    """Trains the landmark autoencoder (section 3.1) on clips of many people.

    Args:
        clips: clip folders, or folders of them.
        output: the run folder.
        config: options, see ``LandmarkConfig``.
        progress: receives progress, messages and warnings.
        options: fields of ``LandmarkConfig``.
    """
    from jean.train.landmarks.config import LandmarkConfig
    from jean.train.landmarks.stage import train_landmarks as train

    configured = _config(LandmarkConfig, config, options)
    return _trained(output, train(_paths(clips), _path(output), configured, progress or Silent()))


def train_audio(
    clips: Source | Sequence[Source],
    output: Source,
    config: AudioConfig | None = None,
    *,
    landmarks: Source,
    progress: Progress | None = None,
    **options: Any,
) -> TrainResult:
    """Trains the audio encoder (section 3.1) against a trained landmark autoencoder.

    Args:
        clips: clip folders, or folders of them.
        output: the run folder.
        config: options, see ``AudioConfig``.
        landmarks: run of ``train_landmarks``.
        progress: receives progress, messages and warnings.
        options: fields of ``AudioConfig``.
    """
    from jean.train.audio.config import AudioConfig
    from jean.train.audio.stage import train_audio as train

    configured = _config(AudioConfig, config, options)
    result = train(_paths(clips), _path(landmarks), _path(output), configured, progress or Silent())
    return _trained(output, result)


def train_expression(
    clips: Source | Sequence[Source],
    output: Source,
    config: ExpressionConfig | None = None,
    *,
    progress: Progress | None = None,
    **options: Any,
) -> TrainResult:
    """Trains one person's expression transformer (section 3.2).

    Args:
        clips: clip folders, or folders of them, with the same sentences in several emotions.
        output: the run folder.
        config: options, see ``ExpressionConfig``.
        progress: receives progress, messages and warnings.
        options: fields of ``ExpressionConfig``.
    """
    from jean.train.expression.config import ExpressionConfig
    from jean.train.expression.stage import train_expression as train

    configured = _config(ExpressionConfig, config, options)
    return _trained(output, train(_paths(clips), _path(output), configured, progress or Silent()))


def train_lips(
    clips: Source | Sequence[Source],
    output: Source,
    config: LipsConfig | None = None,
    *,
    progress: Progress | None = None,
    **options: Any,
) -> TrainResult:
    """Trains the lip prior, which tells lips from any voice, on real lips.

    Args:
        clips: clip folders, or folders of them, of several people, with sound.
        output: the run folder; ``render(lips=…)`` takes it.
        config: options, see ``LipsConfig``.
        progress: receives progress, messages and warnings.
        options: fields of ``LipsConfig``.
    """
    from jean.train.lips.config import LipsConfig
    from jean.train.lips.train import train_lips as train

    configured = _config(LipsConfig, config, options)
    return _trained(output, train(_paths(clips), _path(output), configured, progress or Silent()))


def train_motion(
    clips: Source | Sequence[Source],
    output: Source,
    config: MotionConfig | None = None,
    *,
    progress: Progress | None = None,
    **options: Any,
) -> TrainResult:
    """Trains the motion model: expression, gaze, blinks and head pose that fit a voice and an emotion.

    Args:
        clips: clip folders, or folders of them, of several people, with sound; tracks alone suffice.
        output: the run folder; ``act`` and ``render(motion=…)`` take it.
        config: options, see ``MotionConfig``.
        progress: receives progress, messages and warnings.
        options: fields of ``MotionConfig``.
    """
    from jean.train.motion.config import MotionConfig
    from jean.train.motion.stage import train_motion as train

    configured = _config(MotionConfig, config, options)
    return _trained(output, train(_paths(clips), _path(output), configured, progress or Silent()))


def act(
    motion: Source,
    output: Source,
    config: ActConfig | None = None,
    *,
    progress: Progress | None = None,
    **options: Any,
) -> Clip:
    """Writes a clip without pictures whose face, eyes and head move as a motion model says.

    Args:
        motion: "builtin", or a run of ``train_motion``.
        output: the clip folder.
        config: speech and emotion, see ``ActConfig``.
        progress: receives messages.
        options: fields of ``ActConfig``, for example ``audio="speech.wav", emotion="happy:0.7"``.
    """
    from jean.rendering.act import act as act_out
    from jean.rendering.act_config import ActConfig

    act_out(_path(motion), _config(ActConfig, config, options), _path(output), progress or Silent())
    return Clip.open(_path(output), pictures=False)


def train_nerf(
    clips: Source | Sequence[Source],
    output: Source,
    config: NerfConfig | None = None,
    *,
    progress: Progress | None = None,
    **options: Any,
) -> TrainResult:
    """Trains one person's talking head (section 3.3).

    Args:
        clips: clip folders, or folders of them, of one person.
        output: the run folder.
        config: options, see ``NerfConfig``.
        progress: receives progress, messages and warnings.
        options: fields of ``NerfConfig``, for example ``minutes=10``.
    """
    from jean.train.nerf.config import NerfConfig
    from jean.train.nerf.train import train_nerf as train

    configured = _config(NerfConfig, config, options)
    return _trained(output, train(_paths(clips), _path(output), configured, progress or Silent()))


def render(
    run: Source,
    output: Source,
    config: RenderConfig | None = None,
    *,
    progress: Progress | None = None,
    **options: Any,
) -> RenderResult:
    """Renders a video of a trained head with sound.

    Args:
        run: run folder of ``train_nerf``.
        output: the video.
        config: sources and options, see ``RenderConfig``.
        progress: receives progress, messages and warnings.
        options: fields of ``RenderConfig``, for example ``audio="speech.wav", expression="other.mp4"``.
    """
    from jean.rendering.config import RenderConfig
    from jean.rendering.render import render as render_video

    facts = render_video(_path(run), _config(RenderConfig, config, options), _path(output), progress or Silent())
    return RenderResult(
        Path(facts["output"]),
        facts["frames"],
        facts["fps"],
        facts["size"],
        facts["finished"],
        facts["reductions"],
        facts,
    )


def evaluate(
    results: Source | Sequence[Source],
    output: Source | None = None,
    config: EvaluateConfig | None = None,
    *,
    progress: Progress | None = None,
    **options: Any,
) -> EvaluateResult:
    """Scores videos with the field's metrics.

    Args:
        results: videos, clip folders, or folders of either.
        output: folder for tables and report; None writes nothing.
        config: references and options, see ``EvaluateConfig``.
        progress: receives progress, messages and warnings.
        options: fields of ``EvaluateConfig``, for example ``reference="truth.mp4"``.
    """
    from jean.evaluation.evaluate import EvaluateConfig
    from jean.evaluation.evaluate import evaluate as evaluate_results

    configured = _config(EvaluateConfig, config, options)
    folder = None if output is None else _path(output)
    facts = evaluate_results(_paths(results), configured, folder, progress or Silent())
    return EvaluateResult(facts["mean"], facts["rows"], facts)


def _path(source: Source) -> Path:
    return source.folder if isinstance(source, Clip) else Path(source)


def _paths(sources: Source | Sequence[Source]) -> list[Path]:
    """One path or several as a list; a result of ``prepare`` stands for all its clips."""
    if isinstance(sources, PrepareResult):
        return list(sources.folders)
    if isinstance(sources, (str, PathLike, Clip)):
        return [_path(sources)]
    return [path for source in sources for path in _paths(source)]


def _config(cls: type[Config], config: Config | None, options: Mapping[str, Any]) -> Config:
    """The configuration with the options in place of its own values, checked as the command line checks them."""
    values = {} if config is None else config.model_dump(exclude_unset=True)
    return load_config(cls, **values | {name: _plain(value) for name, value in options.items()})


def _plain(value: Any) -> Any:
    if isinstance(value, Clip):
        return str(value.folder)
    return fspath(value) if isinstance(value, PathLike) else value


def _trained(output: Source, result: Mapping[str, Any]) -> TrainResult:
    metrics = {name: value for name, value in result.items() if name not in ("steps", "seconds")}
    return TrainResult(_path(output), int(result["steps"]), float(result["seconds"]), metrics)
