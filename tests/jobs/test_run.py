"""Jobs of a table: reading it, failures beside results, finished work, files behind addresses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from jean import remote
from jean.errors import InputError, JeanError, SetupError, UsageError
from jean.jobs.config import JobsConfig
from jean.jobs.kind import Handle, Kind
from jean.jobs.run import require_here, run_jobs
from jean.jobs.table import read_jobs
from jean.progress import Progress, Silent


class UpperConfig(JobsConfig):
    """A command that writes a file's text in capitals, repeated."""

    text: Path | None = Field(None, description="A file.")
    times: int = Field(1, ge=1, le=9, description="How often.")


@dataclass(frozen=True)
class Upper(Kind):
    """Its jobs. Every job leaves a line in ``log``."""

    config: UpperConfig
    log: Path

    title = "upper"
    columns = ("ending",)
    files = ("text",)
    paths = ("ending",)
    keeps_finished = False

    def start(self) -> Handle:
        def handle(config: UpperConfig, columns: Mapping[str, str], output: Path, progress: Progress) -> dict[str, Any]:
            with open(self.log, "a") as log:
                log.write(f"{output.name}\n")
            ending = columns.get("ending", "")
            ending = Path(ending).read_text() if ending and Path(ending).exists() else ending
            text = config.text.read_text()
            if "full" in text:
                raise SetupError(f"cannot write {output}: No space left on device.", "Free some space.")
            progress.say(f"{len(text)} letters")
            output.write_text(text.upper() * config.times + ending)
            return {"letters": len(text)}

        return handle


class Lines(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, message: str) -> None:
        self.lines.append(message)

    warn = say


def table(folder: Path, text: str, name: str = "jobs.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.fixture
def folder(tmp_path):
    for name, text in {"a.txt": "abc", "b.txt": "de", "full.txt": "full"}.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def run(folder: Path, jobs: Path, output: Path | None = None, progress: Progress | None = None, **options: Any) -> Any:
    kind = Upper(UpperConfig(**options.pop("base", {})), folder / "log")
    return run_jobs(kind, UpperConfig(jobs=jobs, **options), output or folder / "out", progress or Silent())


def done_by(folder: Path) -> list[str]:
    return (folder / "log").read_text().split() if (folder / "log").exists() else []


@pytest.mark.parametrize("workers", [None, pytest.param(2, marks=pytest.mark.slow)])
def test_every_line_becomes_a_result_once(folder, workers):
    jobs = table(folder, "output,text,times,ending\na.out,a.txt,2,!\nsub/b.out,b.txt,,\n")
    told = Lines()
    facts = run(folder, jobs, progress=told, workers=workers, base={"times": 3})
    assert (facts["jobs"], facts["done"], facts["failed"]) == (2, 2, [])
    assert [result["letters"] for result in facts["results"]] == [3, 2]
    assert (folder / "out/a.out").read_text() == "ABCABC!" and (folder / "out/sub/b.out").read_text() == "DEDEDE"
    assert any(line.endswith("a.out: 3 letters") for line in told.lines)
    assert run(folder, jobs, workers=workers, base={"times": 3}) == facts
    assert sorted(done_by(folder)) == ["a.out", "b.out"]


def test_finished_work_is_known_by_content_and_done_again_when_something_changes(folder):
    jobs = table(folder, "output,text\na.out,a.txt\nb.out,b.txt\n")
    run(folder, jobs)
    (folder / "a.txt").write_text("xyz")  # another content under the same name
    run(folder, jobs)
    assert done_by(folder) == ["a.out", "b.out", "a.out"] and (folder / "out/a.out").read_text() == "XYZ"
    (folder / "out/b.out").unlink()
    (folder / "out/a.out.job.json").write_text("{broken")
    run(folder, jobs)
    assert done_by(folder)[3:] == ["a.out", "b.out"]
    run(folder, jobs, base={"times": 2})
    assert done_by(folder)[5:] == ["a.out", "b.out"] and (folder / "out/b.out").read_text() == "DEDE"


def test_failures_are_told_at_the_end_and_stop_nothing(folder):
    text = "output,text,times\na.out,a.txt,\nb.out,absent.txt,\nc.out,a.txt,77\nd.out,full.txt,\ne.out,b.txt,\n"
    with pytest.raises(JeanError, match=r"3 of 5 jobs failed, first .*b\.out: .*absent\.txt does not exist") as error:
        run(folder, table(folder, text))
    assert error.value.exit_code == InputError.exit_code and "storage that all machines share" in str(error.value)
    failed = error.value.facts["failed"]
    assert [(each["line"], each["exit_code"]) for each in failed] == [(3, 3), (4, 2), (5, 5)]
    assert "column times" in failed[1]["error"] and "No space left" in failed[2]["error"]
    assert error.value.facts["done"] == 2 and (folder / "out/e.out").read_text() == "DE"


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("text\na.txt\n", UsageError, "no column 'output'"),
        ("output,txt\na,b\n", UsageError, r"a column 'txt'\. .*text"),
        ("output,cluster\na,auto\n", UsageError, "a column 'cluster'"),
        ("output,text\n,a.txt\n", UsageError, "line 2: there is no output"),
        ("output,text\na,a.txt\na,b.txt\n", UsageError, "lines 2 and 3 have one output"),
        ("output,text\n", InputError, "has no job"),
        ("output,text\na,b,c\n", InputError, "cannot read"),
    ],
)
def test_bad_tables_are_refused_before_any_work(folder, text, error, message):
    with pytest.raises(error, match=message):
        run(folder, table(folder, text))
    assert done_by(folder) == []


def test_an_absent_table_is_refused(folder):
    with pytest.raises(InputError, match="cannot read"):
        run(folder, folder / "none.csv")


def test_paths_are_relative_to_the_table_and_names_stay(folder):
    (folder / "sub").mkdir()
    jobs = table(folder / "sub", "output,text,ending\na,../a.txt,bright\nb,s3://bucket/b.txt,../a.txt\n")
    one, two = read_jobs(jobs, folder / "out", Upper(UpperConfig(), folder / "log"))
    assert Path(one.values["text"]).samefile(folder / "a.txt") and one.values["ending"] == "bright"
    assert two.values["text"] == "s3://bucket/b.txt" and Path(two.values["ending"]).samefile(folder / "a.txt")
    assert (one.line, one.output) == (2, str(folder / "out" / "a"))


def test_inputs_and_results_behind_addresses(folder):
    """``file://`` takes the same way as ``s3://``; nothing is left to do."""
    away = f"file://{folder}"
    jobs = table(folder, f"output,text\na.out,{away}/a.txt\n{away}/elsewhere/b.out,b.txt\n")
    output = Path(f"{away}/shelf")  # a Path loses a slash
    facts = run(folder, jobs, output)
    assert [result["output"] for result in facts["results"]] == [f"{away}/shelf/a.out", f"{away}/elsewhere/b.out"]
    assert (folder / "shelf/a.out").read_text() == "ABC" and (folder / "elsewhere/b.out").read_text() == "DE"
    assert json.loads((folder / "shelf/a.out.job.json").read_text())["files"] == {"a.out": 3}
    assert run(folder, jobs, output) == facts and len(done_by(folder)) == 2
    (folder / "shelf/a.out").write_text("cut")  # as long as the result: only sizes are compared
    (folder / "elsewhere/b.out").write_text("longer")
    run(folder, jobs, output)
    assert done_by(folder)[2:] == ["b.out"] and (folder / "elsewhere/b.out").read_text() == "DE"


def test_folders_are_copied_with_their_files_and_absent_addresses_are_named(tmp_path):
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    memory.pipe({"/box/clip/a.txt": b"1", "/box/clip/deep/b.txt": b"22"})
    copy = remote.fetch("memory://box/clip", tmp_path)
    assert (copy / "a.txt").read_text() == "1" and (copy / "deep/b.txt").read_text() == "22" and copy.name == "clip"
    assert remote.publish(copy, "memory://box/other") == {"a.txt": 1, "deep/b.txt": 2}
    assert memory.cat("/box/other/deep/b.txt") == b"22" and remote.size_of("memory://box/other/a.txt") == 1
    before = remote.identity("memory://box/clip")
    memory.pipe("/box/clip/a.txt", b"3")
    assert remote.identity("memory://box/clip") != before
    with pytest.raises(InputError, match="memory://box/none does not exist"):
        remote.fetch("memory://box/none", tmp_path)
    with pytest.raises(JeanError, match="nonsense://"):
        remote.fetch("nonsense://box/none", tmp_path)


def test_a_worker_names_its_machine_for_files_that_it_lacks(tmp_path):
    require_here([tmp_path])
    with pytest.raises(InputError, match=r"none\.wav does not exist on .+\. Put it on storage"):
        require_here([tmp_path, tmp_path / "none.wav"])
