"""``jean train``: heads of several people from a table."""

from __future__ import annotations

import json

import pytest

from jean.errors import JeanError, UsageError
from jean.progress import Silent
from jean.train.nerf.many import train_jobs
from jean.train.nerf.many_config import TrainJobsConfig
from tests.helpers.tiny_clip import make_clip


@pytest.mark.slow
def test_every_person_gets_a_head_and_a_bad_clip_stops_nobody(tmp_path):
    make_clip(tmp_path / "clips/anna", frames=10, size=20)
    make_clip(tmp_path / "clips/ben", frames=10, size=20, seed=1)
    (tmp_path / "empty").mkdir()
    (tmp_path / "quick.yaml").write_text("rays: 128\nframes_per_step: 4\nsteps: 2\n")
    (tmp_path / "people.csv").write_text("output,clips,steps\nanna,clips/anna,\nnobody,empty,\nben,clips/ben,3\n")
    config = TrainJobsConfig(jobs=tmp_path / "people.csv", settings=tmp_path / "quick.yaml")
    with pytest.raises(JeanError, match=r"1 of 3 jobs failed, first .*nobody") as error:
        train_jobs(config, tmp_path / "runs", Silent())
    assert error.value.exit_code == 3 and [each["steps"] for each in error.value.facts["results"]] == [2, 3]
    assert json.loads((tmp_path / "runs/ben/metrics.json").read_text())["steps"] == 3
    before = (tmp_path / "runs/anna/metrics.json").stat().st_mtime_ns
    with pytest.raises(JeanError):
        train_jobs(config, tmp_path / "runs", Silent())
    assert (tmp_path / "runs/anna/metrics.json").stat().st_mtime_ns == before


def test_a_table_is_needed(tmp_path):
    with pytest.raises(UsageError, match="no jobs were given"):
        train_jobs(TrainJobsConfig(), tmp_path / "runs", Silent())
