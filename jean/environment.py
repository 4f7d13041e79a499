"""Inspects the machine: hardware, packages, libraries, weights and folders, with the remedy for what is missing."""

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
from jean.launch import local_rank, rank_count
from jean.weights import store as weights

# name on PyPI → (module, what does not work without it)
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
    "librosa": ("librosa", "audio features: prepare, demo, render from new audio"),
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
    "jinja2": ("jinja2", "reports and pages"),
    "fastdtw": ("fastdtw", "aligning sentences of different emotions"),
}

# shared library → (package of Debian and Ubuntu that contains it, Python package that loads it)
LIBRARIES = {
    "libGL.so.1": ("libgl1", "opencv-python"),
    "libglib-2.0.so.0": ("libglib2.0-0", "opencv-python"),
    "libxcb.so.1": ("libxcb1", "opencv-python"),
    "libEGL.so.1": ("libegl1", "mediapipe"),
    "libGLESv2.so.2": ("libgles2", "mediapipe"),
}

# flags of /proc/cpuinfo that determine which kernels can run
_CPU_FEATURES = ("avx2", "fma", "avx512f", "avx512_bf16", "amx_tile", "amx_bf16", "amx_int8")
_LITTLE_SPACE_BYTES = 5 * 10**9  # a demo and a clip of some minutes at 512 px need about this much


def inspect() -> dict[str, Any]:
    """All facts about this machine as JSON values; one key per function of this module."""
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
        "folders": folders(),
    }


def pick_device(device: str) -> str:
    """Resolves a configured device to one that torch accepts.

    Args:
        device: "auto" (the GPU if there is one, otherwise the CPU), "cpu", "cuda" or "cuda:N". Under ``torchrun``,
            "cuda" is this process's own GPU.

    Raises:
        SetupError: a GPU is requested and there is none, or fewer than processes.
    """
    if device == "cpu":
        return device
    import torch

    available = torch.cuda.is_available()
    if device != "auto" and not available:
        raise SetupError("there is no CUDA device.", "Leave out --device, or run: jean doctor")
    device = device if device != "auto" else "cuda" if available else "cpu"
    if device != "cuda" or rank_count() == 1:
        return device
    local, gpus = local_rank(), torch.cuda.device_count()
    if local >= gpus:
        raise SetupError(f"there are {gpus} GPUs for {local + 1} or more processes.", f"--nproc-per-node {gpus}")
    return f"cuda:{local}"


def missing_module(name: str) -> SetupError:
    """The error for a module that cannot be imported, with the command that installs its package."""
    names = {module: package for package, (module, _) in PACKAGES.items()}
    package = names.get(name.split(".")[0], name.split(".")[0])
    lost = PACKAGES[package][1] if package in PACKAGES else ""
    return SetupError(
        f"the package {package} is missing{f' (needed for: {lost})' if lost else ''}.", f"Run: pip install {package}"
    )


def missing_library(message: str) -> SetupError | None:
    """The error for a missing shared library; None if no library of ``LIBRARIES`` is named.

    Args:
        message: text of an ImportError or OSError.
    """
    for name, (package, user) in LIBRARIES.items():
        if name in message:
            return SetupError(f"the system library {name} is missing ({user} loads it).", f"Run: {apt_line([package])}")
    return None


def apt_line(names: list[str]) -> str:
    """The command that installs packages of Debian or Ubuntu."""
    return f"{'' if os.geteuid() == 0 else 'sudo '}apt-get install -y {' '.join(sorted(set(names)))}"


def packages() -> list[dict[str, Any]]:
    """Python packages: name, version (None: missing), what does not work without it, and the install command."""
    rows = []
    for name, (module, lost) in PACKAGES.items():
        version = _version(name) if util.find_spec(module) else None
        rows.append({"name": name, "version": version, "lost": lost, "remedy": f"pip install {name}"})
    return rows


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        # a module may come from another package: cv2 from opencv-python-headless, for example
        return metadata.version("opencv-python-headless") if name == "opencv-python" and _has_headless() else "unknown"


def _has_headless() -> bool:
    return any(metadata.distributions(name="opencv-python-headless"))


def libraries() -> list[dict[str, Any]]:
    """Shared libraries that pip cannot install: name, whether it was found, what needs it, the install command."""
    if sys.platform != "linux":
        return []
    rows = []
    for name, (package, user) in LIBRARIES.items():
        rows.append({"name": name, "found": _loads(name), "lost": user, "remedy": apt_line([package])})
    return rows


def debian_packages() -> list[str]:
    """Packages of Debian and Ubuntu that are missing here and that ``make`` needs to set up the project."""
    missing = {LIBRARIES[item["name"]][0] for item in libraries() if not item["found"]}
    if util.find_spec("ensurepip") is None:  # a package of its own in Debian
        missing.add(f"python{sys.version_info[0]}.{sys.version_info[1]}-venv")
    return sorted(missing)


def _loads(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def cpu() -> dict[str, Any]:
    """CPU model, threads available to this process, memory in bytes (None: unknown), instruction sets."""
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
    """Whether torch can use a GPU: its ``devices`` (name, memory, compute capability), or the ``reason`` if not."""
    try:
        import torch
    except ImportError as error:
        return {"available": False, "devices": [], "reason": f"torch cannot be imported ({error})", "remedy": None}
    if torch.cuda.is_available():
        properties = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
        devices = [
            {"name": item.name, "memory_bytes": item.total_memory, "capability": f"{item.major}.{item.minor}"}
            for item in properties
        ]
        return {"available": True, "devices": devices, "cuda": torch.version.cuda, "reason": None, "remedy": None}
    driver = Path("/proc/driver/nvidia/version").exists()
    if driver and torch.version.cuda is None:
        reason, remedy = "this torch was built without CUDA", "pip install --force-reinstall torch torchvision"
    elif driver:
        reason, remedy = "the NVIDIA driver is too old for this torch, or offers it no GPU", "nvidia-smi"
    else:
        reason, remedy = "no NVIDIA driver", None
    return {"available": False, "devices": [], "cuda": torch.version.cuda, "reason": reason, "remedy": remedy}


def kernels() -> dict[str, Any]:
    """Compiled kernels for CPU and GPU: library (None: missing), instruction sets, what does not work without them."""
    from jean.kernels import library
    from jean.kernels.cuda import build as cuda_build

    return library.status() | {"cuda": cuda_build.status()}


def encoders() -> dict[str, bool]:
    """Whether PyAV has each encoder that ``render`` uses; empty without PyAV."""
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


def folders() -> list[dict[str, Any]]:
    """The folders that commands write to: path, purpose, whether writable, free bytes, whether that is little."""
    rows = []
    for purpose, folder in (("here", Path.cwd()), ("weights", weights.folders()[0])):
        try:
            existing = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
            check_writable(existing)
            writable = True
        except SetupError:
            writable = False
        free = shutil.disk_usage(existing).free
        rows.append(
            {
                "path": str(folder),
                "purpose": purpose,
                "writable": writable,
                "free_bytes": free,
                "little_space": free < _LITTLE_SPACE_BYTES,
            }
        )
    return rows


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
