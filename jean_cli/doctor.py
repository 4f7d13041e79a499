"""``jean doctor``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jean_cli.command import command
from jean_cli.console import Reporter


@command(example="jean doctor")
def doctor(reporter: Reporter) -> None:
    """Show what this machine offers, what is missing, what does not work without it, and how to install it."""
    from jean.environment import inspect

    facts = inspect()
    reporter.finish(facts, "\n".join(_lines(facts)))


def _lines(facts: dict[str, Any]) -> Iterator[str]:
    """The facts of ``jean.environment.inspect`` as text."""
    cpu, gpu = facts["cpu"], facts["gpu"]
    yield f"jean {facts['jean']}, Python {facts['python']}, {facts['platform']}"
    memory = f", {cpu['memory_bytes'] / 1e9:.0f} GB of memory" if cpu["memory_bytes"] else ""
    yield f"CPU: {cpu['model'] or 'unknown'}, {cpu['threads']} threads{memory}"
    yield f"  instruction sets: {' '.join(cpu['features']) or 'none that the kernels use'}"
    for device in gpu["devices"]:
        yield f"GPU: {device['name']}, {device['memory_bytes'] / 1e9:.0f} GB, compute capability {device['capability']}"
    if not gpu["available"]:
        yield f"GPU: none ({gpu['reason']}). Lost: speed; everything runs on the CPU."
        yield from _remedy(gpu["remedy"])
    kernels = facts["kernels"]
    if kernels["library"]:
        yield f"kernels: built, using {kernels['used']}"
    else:
        yield f"kernels: MISSING. Lost: {kernels['lost']}"
        yield from _remedy(kernels["remedy"])
    cuda = kernels["cuda"]
    if cuda["nvrtc"]:
        yield f"  for GPUs: compiled by NVRTC {cuda['nvrtc']} at first use"
    elif gpu["available"]:
        yield "  for GPUs: MISSING, NVRTC was not found. Lost: speed; torch renders"
        yield from _remedy(cuda["remedy"])
    yield "packages:"
    for item in facts["packages"]:
        yield from _requirement(item["name"], item["version"], item)
    yield "system libraries:"
    for item in facts["libraries"]:
        yield from _requirement(item["name"], "found" if item["found"] else None, item)
    if facts["encoders"]:
        yield "video encoders: " + ", ".join(f"{k} {'found' if v else 'MISSING'}" for k, v in facts["encoders"].items())
    yield "weights:"
    for item in facts["weights"]:
        status = "found" if item["state"] == "right" else item["state"].upper()
        yield f"  {item['name']}: {status}" + ("" if item["state"] == "right" else f". Lost: {item['used_by']}")
        yield from _remedy(item["remedy"])
    yield "folders:"
    for item in facts["folders"]:
        low = " (LOW)" if item["little_space"] else ""
        state = "writable" if item["writable"] else "NOT WRITABLE"
        yield f"  {item['path']} ({item['purpose']}): {state}, {item['free_bytes'] / 1e9:.0f} GB free{low}"


def _requirement(name: str, state: str | None, item: dict[str, Any]) -> Iterator[str]:
    """A package or library: its state, or what is lost without it and how to install it."""
    if state:
        yield f"  {name}: {state}"
    else:
        yield f"  {name}: MISSING. Lost: {item['lost']}"
        yield from _remedy(item["remedy"])


def _remedy(command: str | None) -> Iterator[str]:
    if command:
        yield f"    run: {command}"
