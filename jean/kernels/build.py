"""Compiles the CPU kernels of ``csrc/`` into one shared library with a plain C interface.

pip compiles on installation (``BuildKernels``, named in pyproject.toml), ``jean kernels build`` at any later time, with
the system's compiler or the clang of the ``ziglang`` wheel. The library's name contains a hash of its sources, so an
outdated one is never loaded. This file imports the standard library only, since pip runs it in an empty environment.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

SOURCES = Path(__file__).parent / "csrc"
FLAGS = ["-O3", "-std=gnu++17", "-fPIC", "-shared", "-pthread", "-fvisibility=hidden", "-Wno-psabi"]
# no kernel reads errno or the floating-point flags; these options let loops with roots and comparisons be vectorised
FLAGS += ["-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast"]
SANITIZERS = ("address", "undefined")


class CompileError(Exception):
    """No compiler was found, or it failed; the message is the compiler's."""


def source_hash(sources: Path = SOURCES) -> str:
    """12 hex digits that change with any source, header or flag."""
    digest = hashlib.sha256(" ".join(FLAGS).encode())
    for path in sorted([*sources.glob("*.h"), *sources.glob("*.cpp")]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def library_name(sources: Path = SOURCES) -> str:
    """File name of the library compiled from these sources for this kind of machine."""
    machine = os.uname().machine if hasattr(os, "uname") else "unknown"
    return f"_kernels-{source_hash(sources)}-{machine}.so"


def cache_folder() -> Path:
    """Folder for compiled code that cannot be written beside this file."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jean" / "kernels"


def compilers() -> dict[str, list[str]]:
    """Commands of the C++ compilers of this machine, by name, the preferred one first."""
    commands: dict[str, list[str]] = {}
    configured = shlex.split(os.environ.get("CXX", ""))
    if configured and shutil.which(configured[0]):
        commands["$CXX"] = configured
    for name in ("g++", "clang++"):
        if shutil.which(name):
            commands[name] = [name]
    if importlib.util.find_spec("ziglang") is not None:
        # by default zig checks for undefined behaviour and compiles for the processor of this machine only
        commands["ziglang"] = [sys.executable, "-m", "ziglang", "c++", "-fno-sanitize=all", "-mcpu=baseline"]
    return commands


def compile_library(folder: Path, compiler: str | None = None, sanitize: str | None = None) -> Path:
    """Compiles into ``folder``, and removes outdated libraries beside this file.

    Args:
        folder: created if it does not exist.
        compiler: a name in ``compilers()``; None: the first.
        sanitize: "address" or "undefined"; such a library has a name of its own.

    Returns:
        Path of the library.

    Raises:
        CompileError: no compiler, or it failed.
        OSError: the folder cannot be written.
    """
    commands = compilers()
    if not commands or (compiler and compiler not in commands):
        raise CompileError(f"no C++ compiler was found{f' under the name {compiler}' if compiler else ''}")
    command = list(commands[compiler or next(iter(commands))])
    folder.mkdir(parents=True, exist_ok=True)
    name = library_name()
    extra = [f'-DJEAN_SOURCE_HASH="{source_hash()}"']
    if sanitize:
        name = name.replace("_kernels-", f"_kernels_{sanitize}-")
        extra += [f"-fsanitize={sanitize}", "-fno-omit-frame-pointer", "-g", "-O1", "-fno-sanitize-recover=all"]
    target, temporary = folder / name, folder / f"{name}.{os.getpid()}.part"
    files = [str(path) for path in sorted(SOURCES.glob("*.cpp"))]
    try:
        process = subprocess.run(
            [*command, *FLAGS, *extra, *files, "-o", str(temporary)], capture_output=True, text=True, check=False
        )
        if process.returncode != 0:
            raise CompileError(process.stderr.strip()[-2000:] or f"{command[0]} failed")
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    if not sanitize and folder == Path(__file__).parent:  # the cache may serve several versions of the package
        for old in folder.glob("_kernels-*.so"):
            if old != target:
                old.unlink(missing_ok=True)
    return target


try:
    from setuptools import Command
except ImportError:  # needed for installation only
    pass
else:

    class BuildKernels(Command):
        """``build_ext`` for setuptools: compiles one library, and warns instead of failing the installation."""

        description = "compile the renderer's kernels"
        user_options: ClassVar = [("inplace", "i", "into the source folder"), ("build-lib=", "b", "where to")]
        boolean_options: ClassVar = ["inplace"]
        editable_mode = False

        def initialize_options(self) -> None:
            """Declares the options that setuptools fills in later."""
            self.inplace = False
            self.build_lib: str | None = None

        def finalize_options(self) -> None:
            """Copies the output folder from the ``build`` command."""
            self.set_undefined_options("build", ("build_lib", "build_lib"))

        def _folder(self) -> Path:
            here = Path(__file__).parent
            return here if self.inplace or self.editable_mode else Path(str(self.build_lib)) / "jean" / "kernels"

        def run(self) -> None:
            """Compiles. On failure the package works with the slower torch reference, which ``jean doctor`` reports."""
            try:
                print(f"kernels: {compile_library(self._folder())}", file=sys.stderr)
            except (CompileError, OSError) as error:
                print(f"warning: kernels were not compiled, rendering will be slow: {error}", file=sys.stderr)

        def get_source_files(self) -> list[str]:
            """Source files, for a source distribution."""
            found = [path for path in SOURCES.rglob("*") if path.is_file() and path.is_relative_to(Path.cwd())]
            return [str(path.relative_to(Path.cwd())) for path in found]

        def get_outputs(self) -> list[str]:
            """Compiled files, for the list of installed files."""
            return [str(path) for path in self._folder().glob("_kernels-*.so")]

        def get_output_mapping(self) -> dict[str, str]:
            """Mapping for an editable installation: empty, since the library lies beside this file already."""
            return {}
