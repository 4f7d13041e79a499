"""What this machine has, what it lacks, what is lost by that, and the command that cures it."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import sys
from importlib import metadata, util
from pathlib import Path
from typing import Any

from jean import __version__
from jean.errors import SetupError
from jean.files import check_writable
from jean.weights import store as weights

# name on the registry: (module, what is lost without it)
PACKAGES = {
    "torch": ("torch", "training and rendering"),
    "numpy": ("numpy", "everything"),
    "scipy": ("scipy", "prepare, evaluate"),
    "opencv-python": ("cv2", "prepare, images, evaluate"),
    "safetensors": ("safetensors", "clips and checkpoints"),
    "pydantic": ("pydantic", "configuration: every command"),
    "pyyaml": ("yaml", "configuration: every command"),
    "filelock": ("filelock", "locks: every command that writes"),
    "rich": ("rich", "progress bars"),
    "av": ("av", "reading and writing video: prepare, demo; render writes PNG frames and a wav instead"),
    "librosa": ("librosa", "audio features: prepare, demo, render from a new sound"),
    "mediapipe": ("mediapipe", "prepare --tracker mediapipe and --matting selfie"),
    "face-alignment": ("face_alignment", "prepare --tracker face-alignment"),
    "scikit-image": ("skimage", "evaluate"),
    "pooch": ("pooch", "jean models pull"),
    "python_speech_features": ("python_speech_features", "LSE, the lip-sync metric"),
    "lpips": ("lpips", "the LPIPS metric"),
    "insightface": ("insightface", "the identity metric"),
    "onnxruntime": ("onnxruntime", "the identity metric, emotion networks in ONNX"),
    "matplotlib": ("matplotlib", "inspect: curves and maps"),
    "scikit-learn": ("sklearn", "inspect: t-SNE; linear probes"),
    "fastdtw": ("fastdtw", "aligning sentences of different emotions"),
}

# shared library: (package of Debian and Ubuntu that has it, what loads it)
LIBRARIES = {
    "libGL.so.1": ("libgl1", "opencv-python"),
    "libglib-2.0.so.0": ("libglib2.0-0", "opencv-python"),
    "libxcb.so.1": ("libxcb1", "opencv-python"),
    "libEGL.so.1": ("libegl1", "mediapipe"),
    "libGLESv2.so.2": ("libgles2", "mediapipe"),
}

# flags of /proc/cpuinfo that decide which kernels can run
_CPU_FEATURES = ("avx2", "fma", "avx512f", "avx512_bf16", "amx_tile", "amx_bf16", "amx_int8")
_LITTLE_SPACE_BYTES = 5 * 10**9  # a demo and a clip of some minutes at 512 px take about this much


def inspect() -> dict[str, Any]:
    """Every fact, as plain values; see the single functions."""
    return {
        "jean": __version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": cpu(),
        "gpu": gpu(),
        "kernels": kernels(),
        "packages": packages(),
        "libraries": libraries(),
        "encoders": encoders(),
        "weights": [weights.state(name) for name in weights.register()],
        "folders": places(),
    }


def pick_device(wanted: str) -> str:
    """ "cpu" or "cuda" for a configured ``device``; "auto" is the GPU where there is one.

    Raises:
        SetupError: a GPU is wanted and there is none.
    """
    if wanted == "cpu":
        return wanted
    import torch

    there = torch.cuda.is_available()
    if wanted != "auto" and not there:
        raise SetupError("there is no CUDA device.", "Leave out --device, or see: jean doctor")
    return wanted if wanted != "auto" else "cuda" if there else "cpu"


def missing_module(name: str) -> SetupError:
    """The error for a module that cannot be imported, with the command that installs it."""
    names = {module: package for package, (module, _) in PACKAGES.items()}
    package = names.get(name.split(".")[0], name.split(".")[0])
    lost = PACKAGES[package][1] if package in PACKAGES else ""
    return SetupError(
        f"the package {package} is missing{f' (needed for: {lost})' if lost else ''}.", f"Run: pip install {package}"
    )


def missing_library(message: str) -> SetupError | None:
    """The error for a shared library that ``message`` (of an ImportError or OSError) names, if known."""
    for name, (package, user) in LIBRARIES.items():
        if name in message:
            return SetupError(f"the system library {name} is missing ({user} loads it).", f"Run: {apt_line([package])}")
    return None


def apt_line(names: list[str]) -> str:
    """The one command that installs Debian packages."""
    return f"{'' if os.geteuid() == 0 else 'sudo '}apt-get install -y {' '.join(sorted(set(names)))}"


def packages() -> list[dict[str, Any]]:
    """Name, version (None: missing), what is lost without it, and the command that installs it."""
    found = []
    for name, (module, lost) in PACKAGES.items():
        version = _version(name) if util.find_spec(module) else None
        found.append({"name": name, "version": version, "lost": lost, "remedy": f"pip install {name}"})
    return found


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        # opencv-python and opencv-python-headless, among others, give the same module
        return metadata.version("opencv-python-headless") if name == "opencv-python" and _has_headless() else "unknown"


def _has_headless() -> bool:
    return any(metadata.distributions(name="opencv-python-headless"))


def libraries() -> list[dict[str, Any]]:
    """Shared libraries that pip cannot install: name, found or not, what loads it, the command."""
    if sys.platform != "linux":
        return []
    found = []
    for name, (package, user) in LIBRARIES.items():
        found.append({"name": name, "found": _loads(name), "lost": user, "remedy": apt_line([package])})
    return found


def debian_packages() -> list[str]:
    """Packages of Debian and Ubuntu without which ``make`` cannot set the project up here."""
    found = {LIBRARIES[item["name"]][0] for item in libraries() if not item["found"]}
    if util.find_spec("ensurepip") is None:  # Debian splits it off
        found.add(f"python{sys.version_info[0]}.{sys.version_info[1]}-venv")
    return sorted(found)


def _loads(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def cpu() -> dict[str, Any]:
    """Model, processors this process may use, memory in bytes (None: unknown), instruction sets."""
    text = _read("/proc/cpuinfo")
    fields = dict(line.split(":", 1) for line in text.split("\n\n")[0].splitlines() if ":" in line)
    fields = {key.strip(): value.strip() for key, value in fields.items()}
    flags = set(fields.get("flags", "").split())
    memory = [line.split()[1] for line in _read("/proc/meminfo").splitlines() if line.startswith("MemTotal")]
    return {
        "model": fields.get("model name") or platform.processor() or None,
        "threads": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": int(memory[0]) * 1024 if memory else None,
        "features": [name for name in _CPU_FEATURES if name in flags],
    }


def gpu() -> dict[str, Any]:
    """Whether torch can use a GPU; ``devices`` with name, memory and compute capability; else the reason."""
    try:
        import torch
    except ImportError as error:
        return {"available": False, "devices": [], "reason": f"torch cannot be imported ({error})", "remedy": None}
    if torch.cuda.is_available():
        found = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
        devices = [
            {"name": item.name, "memory_bytes": item.total_memory, "capability": f"{item.major}.{item.minor}"}
            for item in found
        ]
        return {"available": True, "devices": devices, "cuda": torch.version.cuda, "reason": None, "remedy": None}
    driver = Path("/proc/driver/nvidia/version").exists()
    if driver and torch.version.cuda is None:
        reason, remedy = "this torch was built without CUDA", "pip install --force-reinstall torch torchvision"
    elif driver:
        reason, remedy = "the NVIDIA driver is too old for this torch, or gives it no card", "nvidia-smi"
    else:
        reason, remedy = "no NVIDIA driver", None
    return {"available": False, "devices": [], "cuda": torch.version.cuda, "reason": reason, "remedy": remedy}


def kernels() -> dict[str, Any]:
    """The compiled code, for GPUs too: library (None: missing), instruction sets, what is lost without it."""
    from jean.kernels import library
    from jean.kernels.cuda import build as cuda_build

    return library.status() | {"cuda": cuda_build.status()}


def encoders() -> dict[str, bool]:
    """Which encoders that ``render`` uses PyAV has; empty without PyAV."""
    if util.find_spec("av") is None:
        return {}
    import av

    return {name: name in av.codecs_available and _encodes(name) for name in ("libx264", "aac", "png")}


def _encodes(name: str) -> bool:
    from av.codec import Codec
    from av.error import FFmpegError

    try:
        Codec(name, "w")
    except (ValueError, FFmpegError):
        return False
    return True


def places() -> list[dict[str, Any]]:
    """The folders written to: path, purpose, writable or not, free bytes, whether that is little."""
    found = []
    for purpose, folder in (("here", Path.cwd()), ("weights", weights.folders()[0])):
        try:
            existing = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
            check_writable(existing)
            writable = True
        except SetupError:
            writable = False
        free = shutil.disk_usage(existing).free
        found.append(
            {
                "path": str(folder),
                "purpose": purpose,
                "writable": writable,
                "free_bytes": free,
                "little_space": free < _LITTLE_SPACE_BYTES,
            }
        )
    return found


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
