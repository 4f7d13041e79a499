"""State of a training run as tensors and JSON values: weights, optimisers and random generators.

Restoring a captured state continues the training bit by bit. Keys of the tensors: ``<module>/<parameter>``,
``optimiser/<name>/...``, ``random/...``, ``extra/...``.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from jean.checkpoint import Checkpoint
from jean.errors import ArtefactError, DivergedError
from jean.train.engine.stage import Stage

RESERVED = ("optimiser", "random", "extra")
_REMEDY = "Train again into another folder."


def capture(stage: Stage) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Captures the state of ``stage`` and of all random generators.

    Returns:
        Tensors on the CPU, and JSON values.

    Raises:
        DivergedError: a parameter or a tensor of an optimiser is not finite.
        ValueError: a module has a reserved name.
    """
    tensors: dict[str, torch.Tensor] = {}
    for key, module in stage.modules.items():
        if key in RESERVED or "/" in key:
            raise ValueError(f"a module cannot be called {key!r}")
        for name, parameter in module.named_parameters():
            _require_finite(parameter, f"parameter {key}/{name}")
        tensors |= {f"{key}/{name}": value for name, value in module.state_dict().items()}
    optimisers = {}
    for key, optimiser in stage.optimisers.items():
        optimisers[key], optimiser_tensors = _capture_optimiser(key, optimiser)
        tensors |= optimiser_tensors
    tensors |= {f"extra/{key}": value for key, value in stage.extra_state().items()}
    random_tensors, random_values = _capture_random(stage.generator)
    return _independent(tensors | random_tensors), {"optimisers": optimisers, "random": random_values}


def restore(stage: Stage, checkpoint: Checkpoint) -> None:
    """Restores the state that ``capture`` stored in a checkpoint.

    Raises:
        ArtefactError: modules, shapes, dtypes, optimisers or the device of the generator differ, or the state is
            malformed.
    """
    try:
        _restore(stage, checkpoint, checkpoint.payload["state"])
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise ArtefactError(
            f"{checkpoint.path} holds a state that cannot be restored ({type(error).__name__}).", _REMEDY
        ) from error


def _restore(stage: Stage, checkpoint: Checkpoint, state: dict[str, Any]) -> None:
    for key, module in stage.modules.items():
        saved = checkpoint.module_state(key)
        _require_same_form(key, module.state_dict(), saved)
        module.load_state_dict(saved)
    if sorted(state["optimisers"]) != sorted(stage.optimisers):
        raise ArtefactError(
            f"the checkpoint has optimisers {sorted(state['optimisers'])}, not {sorted(stage.optimisers)}.", _REMEDY
        )
    for key, optimiser in stage.optimisers.items():
        _restore_optimiser(optimiser, state["optimisers"][key], checkpoint.under(f"optimiser/{key}/"))
    stage.load_extra_state(checkpoint.under("extra/"))
    _restore_random(stage.generator, checkpoint.under("random/"), state["random"])


@contextmanager
def same_random_after(generator: torch.Generator) -> Iterator[None]:
    """Context that restores every random generator on exit, so that an evaluation does not change the training."""
    tensors, values = _capture_random(generator)
    tensors = _independent(tensors)
    try:
        yield
    finally:
        _restore_random(generator, {key.removeprefix("random/"): value for key, value in tensors.items()}, values)


@contextmanager
def seeded_globals(seed: int) -> Iterator[None]:
    """Context that seeds the global generators of torch, numpy and Python, and restores them on exit.

    Dropout and libraries that draw from a global generator are then reproducible.
    """
    tensors, values = _capture_globals()
    tensors = _independent(tensors)
    try:
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)
        yield
    finally:
        _restore_globals({key.removeprefix("random/"): value for key, value in tensors.items()}, values)


def _capture_optimiser(name: str, optimiser: torch.optim.Optimizer) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    saved = optimiser.state_dict()
    tensors: dict[str, torch.Tensor] = {}

    def split(values: dict[str, Any], prefix: str) -> dict[str, Any]:
        """Moves the tensors of ``values`` to ``tensors`` and returns the JSON values."""
        plain = {}
        for key, value in values.items():
            if isinstance(value, torch.Tensor):
                _require_finite(value, f"{prefix}/{key}")
                tensors[f"{prefix}/{key}"] = value
            else:
                plain[key] = value
        return plain

    groups = [split(group, f"optimiser/{name}/group/{i}") for i, group in enumerate(saved["param_groups"])]
    state = {str(i): split(values, f"optimiser/{name}/state/{i}") for i, values in saved["state"].items()}
    return {"groups": groups, "state": state}, tensors


def _restore_optimiser(
    optimiser: torch.optim.Optimizer, saved: dict[str, Any], tensors: dict[str, torch.Tensor]
) -> None:
    groups = [dict(group) for group in saved["groups"]]
    state = {int(index): dict(values) for index, values in saved["state"].items()}
    for key, value in tensors.items():
        kind, index, name = key.split("/", 2)
        (groups if kind == "group" else state)[int(index)][name] = value.clone()
    for group, current in zip(groups, optimiser.param_groups, strict=False):
        for key, value in group.items():
            if isinstance(value, list) and isinstance(current.get(key), tuple):
                group[key] = tuple(value)  # JSON has no tuples; the betas of Adam are one
            elif isinstance(value, torch.Tensor) and isinstance(current.get(key), torch.Tensor):
                group[key] = value.to(current[key].device)
    try:
        optimiser.load_state_dict({"state": state, "param_groups": groups})
    except ValueError as error:
        raise ArtefactError(f"the checkpoint does not fit the optimiser: {error}.", _REMEDY) from error


def _capture_random(generator: torch.Generator) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    tensors, values = _capture_globals()
    return (
        {**tensors, "random/generator": generator.get_state()},
        {**values, "generator_device": generator.device.type},
    )


def _capture_globals() -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    _, numpy_key, position, has_gauss, cached_gauss = np.random.get_state(legacy=True)
    version, python_key, python_gauss = random.getstate()
    tensors = {
        "random/torch": torch.get_rng_state(),
        "random/numpy": torch.from_numpy(np.asarray(numpy_key).astype(np.int64)),
        "random/python": torch.tensor(python_key, dtype=torch.int64),
    }
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]  # torch does not annotate it
        tensors |= {f"random/cuda/{i}": value for i, value in enumerate(torch.cuda.get_rng_state_all())}
    numpy_scalars = [int(position), int(has_gauss), float(cached_gauss)]
    return tensors, {"numpy": numpy_scalars, "python": [version, python_gauss]}


def _restore_random(generator: torch.Generator, tensors: dict[str, torch.Tensor], values: dict[str, Any]) -> None:
    device = generator.device.type
    if values["generator_device"] != device:
        raise ArtefactError(
            f"the run was started with the random generator of {values['generator_device']}, not of {device}.",
            f"Resume with --device {values['generator_device']}, or train into another folder.",
        )
    generator.set_state(tensors["generator"])
    _restore_globals(tensors, values)


def _restore_globals(tensors: dict[str, torch.Tensor], values: dict[str, Any]) -> None:
    torch.set_rng_state(tensors["torch"])
    np.random.set_state(("MT19937", tensors["numpy"].numpy().astype(np.uint32), *values["numpy"]))
    version, gauss = values["python"]
    random.setstate((version, tuple(tensors["python"].tolist()), gauss))
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        for i in range(torch.cuda.device_count()):
            if f"cuda/{i}" in tensors:
                torch.cuda.set_rng_state(tensors[f"cuda/{i}"], i)


def _independent(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Contiguous CPU tensors that share no memory, sorted by key, as safetensors requires."""
    storages: set[int] = set()
    result = {}
    for key in sorted(tensors):
        value = tensors[key].detach().to("cpu").contiguous()
        storage = value.untyped_storage().data_ptr()
        result[key] = value.clone() if storage in storages else value
        storages.add(storage)
    return result


def _require_finite(tensor: torch.Tensor, what: str) -> None:
    if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
        raise DivergedError(
            f"{what} holds a value that is not finite; nothing was saved.", "Lower the learning rate, then run again."
        )


def _require_same_form(key: str, current: dict[str, torch.Tensor], saved: dict[str, torch.Tensor]) -> None:
    """Raises ``ArtefactError`` if names, shapes or dtypes differ.

    ``load_state_dict`` would cast dtypes silently, and report all differences over many lines.
    """

    def forms(state: dict[str, torch.Tensor]) -> dict[str, str]:
        return {name: f"{list(value.shape)} {value.dtype}" for name, value in state.items()}

    expected, stored = forms(current), forms(saved)
    for name in sorted(expected.keys() | stored.keys()):
        if expected.get(name) != stored.get(name):
            in_checkpoint, here = stored.get(name, "missing"), expected.get(name, "absent")
            raise ArtefactError(f"{key}/{name} is {in_checkpoint} in the checkpoint, but {here} here.", _REMEDY)
