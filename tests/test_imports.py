"""Imports go one way, and nothing heavy is loaded before it is used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# A module may import what stands in a lower row, and its own unit. Rows as in docs/architecture.md;
# a unit is the longest of these names that a module's name begins with.
NAMES = ("landmarks", "audio", "expression", "lips", "motion", "nerf")
STAGES = [f"jean.train.{name}" for name in NAMES]
LAYERS = [
    ["jean_cli"],
    ["jean.api", "jean.demo", "jean.inspection"],
    ["jean.results"],
    ["jean.rendering", "jean.evaluation", "jean.preparation", "jean.train", *STAGES],
    ["jean.train.engine", "jean.synthetic_speaker"],
    ["jean.metrics"],
    ["jean.drivers", "jean.jobs", "jean.provenance"],
    ["jean.clips", "jean.models"],
    ["jean.lips"],
    ["jean.features", "jean.environment", "jean.marks"],
    [
        "jean.media",
        "jean.weights",
        "jean.kernels",
        "jean.checkpoint",
        "jean.geometry",
        "jean.config",
        "jean.cluster",
        "jean.report",
    ],
    ["jean.documents", "jean.integrity", "jean.outputs", "jean.remote", "jean.tensor_file"],
    ["jean.row_file"],
    ["jean.files", "jean.progress", "jean.landmarks", "jean.losses", "jean.plugins"],
    ["jean.memory"],
    ["jean.errors", "jean.launch", "jean.names", "jean.threads", "jean.tuning"],
    ["jean"],
]
LEVEL = {unit: len(LAYERS) - row for row, units in enumerate(LAYERS) for unit in units}

# Modules that still import each other, also inside functions. Open these; add none.
CYCLES: list[set[str]] = []

# What a bare GPU server lacks; training and rendering must not need it to be imported.
LACKING = ["mediapipe", "librosa", "av", "face_alignment", "insightface", "lpips", "skimage", "fastdtw", "pooch"]
ON_A_SERVER = [
    "jean.train.nerf.train",
    "jean.rendering.render",
    "jean.models.talking_head",
    "jean.clips.clip",
    "jean_cli.main",
]

# What neither `import jean` nor `jean --help` may load.
HEAVY = ["torch", "numpy", "scipy", "cv2", "av", "mediapipe", "librosa", "pydantic", "yaml", "requests", "pooch"]


def modules() -> dict[str, Path]:
    """Every module of the project by its dotted name."""
    found = {}
    for top in ("jean", "jean_cli"):
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def unit_of(module: str, units: dict[str, int] = LEVEL) -> str | None:
    """The unit that a module belongs to; None for one that stands in no row."""
    parts = module.split(".")
    name = next((".".join(parts[:n]) for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in units), None)
    # "jean" is a row of its own: only the package itself, not what nobody has given a row
    return None if name == "jean" and module != "jean" else name


def imports_of(tree: ast.AST, module: str, known: set[str]) -> list[tuple[int, str]]:
    """(line, module) of every import of the project's own modules, wherever in the file it stands."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.append((node.lineno, inner if inner in known else str(node.module)))
    return [(line, name) for line, name in found if name.split(".")[0] in ("jean", "jean_cli")]


def wrong(module: str, tree: ast.AST, known: set[str]) -> list[str]:
    """The imports of one module that go up or sideways."""
    unit = unit_of(module)
    if unit is None:
        return [f"{module} stands in no row of LAYERS"]
    found = []
    for line, name in imports_of(tree, module, known):
        other = unit_of(name)
        if other is None:
            found.append(f"{module}:{line} imports {name}, which stands in no row of LAYERS")
        elif other != unit and LEVEL[other] >= LEVEL[unit]:
            found.append(f"{module}:{line} imports {name}")
    return found


def test_imports_go_one_way() -> None:
    known = modules()
    found = [
        line for name, path in known.items() for line in wrong(name, ast.parse(path.read_text("utf-8")), set(known))
    ]
    assert not found, "\n".join(found)


def test_every_unit_exists() -> None:
    assert not set(LEVEL) - set(modules()), "stale names in LAYERS"


def reachable(module: str, edges: dict[str, set[str]]) -> set[str]:
    """Modules that one module imports, directly or through others."""
    found: set[str] = set()
    waiting = list(edges[module])
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += edges.get(name, ())
    return found


def cycles(edges: dict[str, set[str]]) -> list[set[str]]:
    """Groups of modules that import each other."""
    found = {module: reachable(module, edges) for module in edges}
    groups = {
        frozenset(other for other in found[module] if module in found[other])
        for module in edges
        if module in found[module]
    }
    return [set(group) for group in sorted(groups, key=min)]


def test_no_import_cycle() -> None:
    known = modules()
    edges = {
        name: {other for _, other in imports_of(ast.parse(path.read_text("utf-8")), name, set(known))} - {name}
        for name, path in known.items()
    }
    assert cycles(edges) == CYCLES


def test_a_cycle_is_found() -> None:
    edges = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}, "e": {"f"}, "f": {"e"}}
    assert cycles(edges) == [{"b", "c"}, {"e", "f"}]


@pytest.mark.parametrize(
    ("module", "code", "bad"),
    [
        ("jean.models.x", "from jean.train.engine import loop", True),
        ("jean.models.x", "def f():\n    from jean.train.engine.loop import run", True),
        ("jean.kernels.x", "import jean.models", True),
        ("jean.train.x", "from jean import rendering as synthesize", True),
        ("jean.surprise", "import os", True),
        ("jean.train.x", "from jean.surprise import y", True),
        ("jean.errors", "from jean.geometry import Camera", True),
        ("jean.files", "import jean_cli.console", True),
        ("jean.train.x", "from jean.train.engine.loop import run", False),
        ("jean.preparation.prepare", "from jean.clips.clip import Clip", False),
        ("jean.clips.clip", "from jean.preparation.prepare import prepare", True),
        ("jean_cli.x", "from jean.preparation.prepare import prepare\nimport typer", False),
    ],
)
def test_the_rule_finds_what_it_should(module: str, code: str, bad: bool) -> None:
    known = {"jean.train.engine.loop", "jean.train", "jean.rendering", "jean.surprise"}
    assert bool(wrong(module, ast.parse(code), known)) == bad


def python(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("code", ["import jean", "import jean_cli.main", "HELP"])
def test_nothing_heavy_is_loaded(code: str) -> None:
    code = code.replace(
        "HELP", "import jean_cli.main as m\ntry: m.main(['--help'])\nexcept SystemExit as e: assert not e.code"
    )
    loaded = set(python(f"{code}\nimport sys; print('|'.join(sys.modules))").splitlines()[-1].split("|"))
    assert "jean" in loaded
    assert not loaded & set(HEAVY)


def test_training_and_rendering_import_on_a_bare_server() -> None:
    code = f"""
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {LACKING}:
            raise ModuleNotFoundError(f"No module named {{name!r}} (blocked)", name=name)
sys.meta_path.insert(0, Blocker())
try:
    import mediapipe
except ModuleNotFoundError:
    print("blocked")
import importlib
for name in {ON_A_SERVER}:
    importlib.import_module(name)
    print(name)
"""
    assert python(code).split() == ["blocked", *ON_A_SERVER]
