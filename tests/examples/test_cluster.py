"""``examples/cluster``: files can be read, and the commands in them exist with these options."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from jean_cli.main import COMMANDS

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "cluster"
SCRIPTS = sorted(FOLDER.glob("*.sh"))
COMMAND_OF = {command.name: command for command in COMMANDS}


CALL = re.compile(r"(?:^|\s)(?:jean|-m jean_cli) ([a-z-]+(?: .*)?)$")


def calls(text: str) -> list[list[str]]:
    """The words of every call of ``jean`` in a file, without comments and what follows ``||`` or ``&&``."""
    joined = re.sub(r"\\\n\s*", " ", text)
    lines = [line.strip() for line in joined.splitlines() if not line.lstrip().startswith("#")]
    matches = [CALL.search(re.sub(r" (\|\||&&) .*", "", line)) for line in lines]
    return [shlex.split(match[1]) for match in matches if match is not None]


def check(words: list[str]) -> None:
    """Checks that a command has these options and keys."""
    if words[0] == "kernels":
        return
    command = COMMAND_OF[words[0]]
    flags = {flag for parameter in command.click_command().params for flag in parameter.opts}
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word.startswith("-"):
            assert word in flags, (words[0], word)
        if word == "--set":
            assert following.split("=")[0] in command.config_class().model_fields, following


def test_there_are_calls_to_check() -> None:
    assert sorted({words[0] for path in FOLDER.iterdir() for words in calls(path.read_text())}) == [
        "kernels", "prepare", "render", "train", "train-landmarks",
    ]  # fmt: skip


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.name)
def test_commands_exist_with_these_options(path: Path) -> None:
    for words in calls(path.read_text()):
        check(words)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_bash_and_executable(script: Path) -> None:
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    assert script.stat().st_mode & 0o111 and script.read_text().startswith("#!/usr/bin/env bash\n")
    assert "set -euo pipefail" in script.read_text()


def test_the_ray_cluster_has_a_head_that_gives_out_work() -> None:
    cluster = yaml.safe_load((FOLDER / "ray.yaml").read_text())
    assert {"cluster_name", "provider", "auth", "docker"} <= set(cluster)
    assert cluster["provider"]["type"] == "local" and cluster["provider"]["worker_ips"]
    assert any("ray start --head" in line for line in cluster["head_start_ray_commands"])
    assert any("$RAY_HEAD_IP:6379" in line for line in cluster["worker_start_ray_commands"])


def test_the_kubernetes_job_mounts_what_its_command_reads() -> None:
    job = yaml.safe_load((FOLDER / "kuberay.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec = job["spec"]["rayClusterSpec"]
    pods = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    for pod in (each["template"]["spec"] for each in pods):
        mounted = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
        assert mounted == {"shared": "/shared"} and [volume["name"] for volume in pod["volumes"]] == ["shared"]
    assert all("/shared/" in word for word in shlex.split(job["spec"]["entrypoint"]) if word.startswith("/"))


def test_the_dockerfile_has_both_variants() -> None:
    text = (FOLDER / "Dockerfile").read_text()
    stages = set(re.findall(r"^FROM (\S+) AS (\S+)$", text, re.M))
    assert stages >= {("base", "torch-cuda"), ("base", "torch-cpu"), ("torch-${VARIANT}", "final")}
    assert "ARG VARIANT=cuda" in text and "make -C /opt/jean demo" in text
