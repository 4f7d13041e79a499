"""Compiles the kernels of ``csrc/`` into one shared library with a plain C interface.

pip does it on installation (``ext-modules`` in pyproject.toml name this file's ``BuildKernels``),
``jean kernels build`` at any later time, with the system's compiler or the clang that the ``ziglang``
wheel carries. The library's name holds a hash of its sources: an older one is never loaded. Only the
standard library is imported here, since pip reads this file in an empty environment.
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
# no kernel asks errno or the floating-point flags; with these loops with roots and comparisons become vectors
FLAGS += ["-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast"]
SANITIZERS = ("address", "undefined")


class CompileError(Exception):
    """No compiler, or it failed; the message is its own."""


def source_hash(sources: Path = SOURCES) -> str:
    """12 hex digits that change with any source, header or flag."""
    digest = hashlib.sha256(" ".join(FLAGS).encode())
    for path in sorted([*sources.glob("*.h"), *sources.glob("*.cpp")]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def library_name(sources: Path = SOURCES) -> str:
    """File name of the library made of these sources for this kind of machine."""
    machine = os.uname().machine if hasattr(os, "uname") else "unknown"
    return f"_kernels-{source_hash(sources)}-{machine}.so"


def cache_folder() -> Path:
    """Where compiled code goes that has no place beside this file."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jean" / "kernels"


def compilers() -> dict[str, list[str]]:
    """Commands that compile C++ here, by name, the preferred one first."""
    found: dict[str, list[str]] = {}
    wanted = shlex.split(os.environ.get("CXX", ""))
    if wanted and shutil.which(wanted[0]):
        found["$CXX"] = wanted
    for name in ("g++", "clang++"):
        if shutil.which(name):
            found[name] = [name]
    if importlib.util.find_spec("ziglang") is not None:
        # zig's own defaults: checks of undefined behaviour are on, and the processor is that of this machine
        found["ziglang"] = [sys.executable, "-m", "ziglang", "c++", "-fno-sanitize=all", "-mcpu=baseline"]
    return found


def compile_library(folder: Path, compiler: str | None = None, sanitize: str | None = None) -> Path:
    """Compiles into ``folder``; older libraries beside this file are removed.

    Args:
        folder: made if need be.
        compiler: a name in ``compilers()``, or None for the first.
        sanitize: "address" or "undefined"; such a library has a name of its own.

    Returns:
        The library.

    Raises:
        CompileError: no compiler, or it failed.
        OSError: the folder cannot be written.
    """
    found = compilers()
    if not found or (compiler and compiler not in found):
        raise CompileError(f"no C++ compiler was found{f' under the name {compiler}' if compiler else ''}")
    command = list(found[compiler or next(iter(found))])
    folder.mkdir(parents=True, exist_ok=True)
    name = library_name()
    extra = [f'-DJEAN_SOURCE_HASH="{source_hash()}"']
    if sanitize:
        name = name.replace("_kernels-", f"_kernels_{sanitize}-")
        extra += [f"-fsanitize={sanitize}", "-fno-omit-frame-pointer", "-g", "-O1", "-fno-sanitize-recover=all"]
    target, temporary = folder / name, folder / f"{name}.{os.getpid()}.part"
    files = [str(path) for path in sorted(SOURCES.glob("*.cpp"))]
    try:
        done = subprocess.run(
            [*command, *FLAGS, *extra, *files, "-o", str(temporary)], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise CompileError(done.stderr.strip()[-2000:] or f"{command[0]} failed")
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    if not sanitize and folder == Path(__file__).parent:  # a cache may serve several versions
        for old in folder.glob("_kernels-*.so"):
            if old != target:
                old.unlink(missing_ok=True)
    return target


try:
    from setuptools import Command
except ImportError:  # a user's environment need not have it
    pass
else:

    class BuildKernels(Command):
        """``build_ext`` for setuptools: one library, and a warning in place of a failed installation."""

        description = "compile the renderer's kernels"
        user_options: ClassVar = [("inplace", "i", "into the source folder"), ("build-lib=", "b", "where to")]
        boolean_options: ClassVar = ["inplace"]
        editable_mode = False

        def initialize_options(self) -> None:
            """Sets what setuptools fills in later."""
            self.inplace = False
            self.build_lib: str | None = None

        def finalize_options(self) -> None:
            """Takes the folder from the ``build`` command."""
            self.set_undefined_options("build", ("build_lib", "build_lib"))

        def _folder(self) -> Path:
            here = Path(__file__).parent
            return here if self.inplace or self.editable_mode else Path(str(self.build_lib)) / "jean" / "render"

        def run(self) -> None:
            """Compiles; the package works without, only slower (``jean doctor`` tells)."""
            try:
                print(f"kernels: {compile_library(self._folder())}", file=sys.stderr)
            except (CompileError, OSError) as error:
                print(f"warning: kernels were not compiled, rendering will be slow: {error}", file=sys.stderr)

        def get_source_files(self) -> list[str]:
            """Files that a source distribution needs."""
            found = [path for path in SOURCES.rglob("*") if path.is_file() and path.is_relative_to(Path.cwd())]
            return [str(path.relative_to(Path.cwd())) for path in found]

        def get_outputs(self) -> list[str]:
            """Files that are installed."""
            return [str(path) for path in self._folder().glob("_kernels-*.so")]

        def get_output_mapping(self) -> dict[str, str]:
            """Files of an editable installation: none are mapped, the library is in its place."""
            return {}
