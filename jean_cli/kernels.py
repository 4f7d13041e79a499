"""``jean kernels``: status, build."""

from __future__ import annotations

from typing import Annotated

import typer

from jean_cli.command import command
from jean_cli.console import Reporter

app = typer.Typer(
    name="kernels", help="The renderer's compiled code: status, build.", no_args_is_help=True, rich_markup_mode=None
)


@command(example="jean kernels status")
def status(reporter: Reporter) -> None:
    """Show whether the kernels are built, the instruction sets they use on this machine, and the GPUs they are for."""
    from jean.kernels import library
    from jean.kernels.cuda import build as cuda_build

    facts = library.status() | {"cuda": cuda_build.status()}
    cuda = facts["cuda"]
    lines = [f"library: {facts['library'] or 'MISSING'}", f"instruction sets: {', '.join(facts['targets']) or 'none'}"]
    lines.append(f"for bf16: {', '.join(facts['bf16']) or 'none'}")
    if facts["lost"]:
        lines += [f"lost: {facts['lost']}", f"  run: {facts['remedy']}"]
    lines.append(
        f"CUDA compiler: NVRTC {cuda['nvrtc']}" if cuda["nvrtc"] else f"CUDA compiler: none. Run: {cuda['remedy']}"
    )
    lines += [f"  {name}: {', '.join(units)}" for name, units in cuda["built"].items()]
    if cuda["nvrtc"] and not cuda["built"]:
        lines.append("  nothing is built yet: a GPU's kernels are compiled when they are first used")
    reporter.finish(facts, "\n".join(lines))


@command(example="jean kernels build --arch sm_80,sm_90")
def build(
    reporter: Reporter,
    compiler: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="C++ compiler: g++, clang++ or ziglang; by default the first one found."),
    ] = None,
    arch: Annotated[
        str | None,
        typer.Option(
            metavar="SM,…", help="Compile the CUDA kernels for these GPUs instead, such as sm_80,sm_90, or all."
        ),
    ] = None,
) -> None:
    """Compile the CPU kernels with the system's C++ compiler or `pip install ziglang`; with --arch, CUDA kernels."""
    from jean.kernels import library

    if arch is not None:
        _build_cuda(arch, reporter)
        return
    path = library.build(compiler)
    reporter.finish(library.status() | {"built": str(path)}, f"{path}")


for _command in (status, build):
    _command.add_to(app)


def _build_cuda(architectures: str, reporter: Reporter) -> None:
    """Compiles every CUDA kernel for the architectures of a comma-separated list, or all; needs no GPU."""
    from jean.kernels.cuda import build as cuda_build

    names = cuda_build.ARCHITECTURES if architectures == "all" else [n.strip() for n in architectures.split(",")]
    units = cuda_build.build(names)
    lines = [
        f"{unit.architecture} {kernel.name}: {kernel.registers} registers, {kernel.shared} bytes shared, "
        f"stack {kernel.stack}, spilled {kernel.spill_stores} + {kernel.spill_loads}"
        for unit in units
        for kernel in unit.kernels
    ]
    reporter.finish({"units": [unit.as_dict() for unit in units]}, "\n".join(lines))
