"""``jean kernels``: status, build."""

from __future__ import annotations

from typing import Annotated

import typer

from jean_cli.console import Reporter
from jean_cli.options import Json, Quiet, Verbose

app = typer.Typer(
    name="kernels", help="The renderer's compiled code: status, build.", no_args_is_help=True, rich_markup_mode=None
)


@app.command()
def status(json_output: Json = False, quiet: Quiet = False, verbose: Verbose = False) -> None:
    """Show whether the kernels are built, which instruction sets they can use here, and for which GPUs."""
    from jean.kernels import library
    from jean.kernels.cuda import build as cuda_build

    found = library.status() | {"cuda": cuda_build.status()}
    cuda = found["cuda"]
    lines = [f"library: {found['library'] or 'MISSING'}", f"instruction sets: {', '.join(found['targets']) or 'none'}"]
    lines.append(f"for bf16: {', '.join(found['bf16']) or 'none'}")
    if found["lost"]:
        lines += [f"lost: {found['lost']}", f"  run: {found['remedy']}"]
    lines.append(
        f"CUDA compiler: NVRTC {cuda['nvrtc']}" if cuda["nvrtc"] else f"CUDA compiler: none. Run: {cuda['remedy']}"
    )
    lines += [f"  {name}: {', '.join(units)}" for name, units in cuda["built"].items()]
    if cuda["nvrtc"] and not cuda["built"]:
        lines.append("  nothing is built yet: a GPU's kernels are compiled when they are first used")
    Reporter(json_output, quiet).finish(found, "\n".join(lines))


@app.command()
def build(
    compiler: Annotated[
        str | None, typer.Option(metavar="NAME", help="g++, clang++, ziglang; without it the first there is.")
    ] = None,
    arch: Annotated[
        str | None,
        typer.Option(metavar="SM,…", help="Compile CUDA kernels for these GPUs instead, such as sm_80,sm_90, or all."),
    ] = None,
    json_output: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Compile the kernels, with the system's C++ compiler or with `pip install ziglang`; with --arch those of GPUs."""
    from jean.kernels import library

    reporter = Reporter(json_output, quiet)
    if arch is not None:
        _build_cuda(arch, reporter)
        return
    path = library.build(compiler)
    reporter.finish(library.status() | {"built": str(path)}, f"{path}")


def _build_cuda(wanted: str, reporter: Reporter) -> None:
    """Every CUDA kernel for the architectures named in ``wanted``; no GPU is needed."""
    from jean.kernels.cuda import build as cuda_build

    names = cuda_build.ARCHITECTURES if wanted == "all" else [name.strip() for name in wanted.split(",")]
    made = cuda_build.build(names)
    lines = [
        f"{unit.architecture} {kernel.name}: {kernel.registers} registers, {kernel.shared} bytes shared, "
        f"stack {kernel.stack}, spilled {kernel.spill_stores} + {kernel.spill_loads}"
        for unit in made
        for kernel in unit.kernels
    ]
    reporter.finish({"units": [unit.as_dict() for unit in made]}, "\n".join(lines))
