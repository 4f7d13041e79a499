import json
from pathlib import Path

import pytest

from jean.errors import InputError
from jean.preparation.store import StepStore, key_of


def writer(name, text, info=None):
    def work(folder: Path):
        (folder / name).write_text(text)
        return info or {"said": text}

    return work


def refuse(folder):
    raise AssertionError("must not run")


def test_a_step_runs_once(tmp_path):
    first = StepStore(tmp_path).run("a", {"x": 1}, writer("a.txt", "one"))
    again = StepStore(tmp_path).run("a", {"x": 1}, refuse)
    assert not first.reused and again.reused
    assert again.info == {"said": "one"} and again.files == first.files and again.key == first.key
    assert (again.folder / "a.txt").read_text() == "one"


def test_other_inputs_run_a_step_and_its_dependents_again(tmp_path):
    def go(x):
        store = StepStore(tmp_path)
        a = store.run("a", {"x": x}, writer("a.txt", f"{x}"))
        store.run("b", {"a": a.key}, writer("b.txt", f"{x}"))
        store.run("c", {}, writer("c.txt", "c"))
        return [step.name for step in store.steps if not step.reused]

    assert go(1) == ["a", "b", "c"]
    assert go(1) == []
    assert go(2) == ["a", "b"]


def test_published_files_are_in_the_root_and_damage_is_detected(tmp_path):
    StepStore(tmp_path).run("a", {}, writer("big.bin", "12345"), publish=["big.bin"])
    assert (tmp_path / "big.bin").read_text() == "12345"
    (tmp_path / "big.bin").write_text("123")
    assert not StepStore(tmp_path).run("a", {}, writer("big.bin", "12345"), publish=["big.bin"]).reused
    assert (tmp_path / "big.bin").read_text() == "12345"


@pytest.mark.parametrize("publish", [[], ["big.bin"]])
def test_a_changed_file_of_the_same_size_is_made_again(tmp_path, publish):
    step = StepStore(tmp_path).run("a", {}, writer("big.bin", "12345"), publish=publish)
    path = tmp_path / "big.bin" if publish else step.folder / "big.bin"
    path.write_text("12346")
    assert not StepStore(tmp_path).run("a", {}, writer("big.bin", "12345"), publish=publish).reused
    assert path.read_text() == "12345"


def test_a_changed_product_outside_the_store_is_made_again(tmp_path):
    def work(_):
        (tmp_path / "film").mkdir(exist_ok=True)
        (tmp_path / "film" / "a.mp4").write_text("whole")

    def run():
        return StepStore(tmp_path).run("a", {}, work, products=[tmp_path / "film"])

    assert not run().reused and run().reused
    (tmp_path / "film" / "a.mp4").write_text("half")
    assert not run().reused and (tmp_path / "film" / "a.mp4").read_text() == "whole"
    (tmp_path / "film" / "a.mp4").unlink()
    assert not run().reused


@pytest.mark.parametrize("content", ["", "{", "[]", '{"key": 1}', '{"key": null, "files": 3}'])
def test_a_damaged_record_means_unfinished(tmp_path, content):
    step = StepStore(tmp_path).run("a", {}, writer("a.txt", "one"))
    if content.startswith('{"key": null'):
        content = json.dumps({"key": step.key, "files": 3, "info": {}, "published": [], "seconds": 0})
    (step.folder / "step.json").write_text(content)
    assert not StepStore(tmp_path).run("a", {}, writer("a.txt", "two")).reused


def test_a_changed_record_means_unfinished(tmp_path):
    step = StepStore(tmp_path).run("a", {}, writer("a.txt", "one"))
    record = step.folder / "step.json"
    record.write_text(record.read_text().replace('"said": "one"', '"said": "two"'))
    assert not StepStore(tmp_path).run("a", {}, writer("a.txt", "one")).reused


def test_a_failed_step_keeps_the_old_result_and_leaves_no_files(tmp_path):
    store = StepStore(tmp_path)
    store.run("a", {"x": 1}, writer("a.txt", "one"), publish=["a.txt"])

    def fail(folder):
        (folder / "a.txt").write_text("half")
        raise InputError("no")

    changed = []
    with pytest.raises(InputError):
        StepStore(tmp_path, on_change=lambda: changed.append(1)).run("a", {"x": 2}, fail, publish=["a.txt"])
    assert changed == [] and (tmp_path / "a.txt").read_text() == "one"
    assert sorted(path.name for path in (tmp_path / ".work").iterdir()) == ["a"]
    assert StepStore(tmp_path).run("a", {"x": 1}, refuse).reused


def test_on_change_is_called_once_and_only_before_a_change(tmp_path):
    changed = []
    store = StepStore(tmp_path, on_change=lambda: changed.append(1))
    store.run("a", {}, writer("a.txt", "a"))
    store.run("b", {}, writer("b.txt", "b"))
    assert changed == [1]
    store = StepStore(tmp_path, on_change=lambda: changed.append(2))
    store.run("a", {}, refuse)
    assert changed == [1]


def test_dropping_removes_published_files(tmp_path):
    store = StepStore(tmp_path)
    store.run("a", {}, writer("a.txt", "a"), publish=["a.txt"])
    store.drop("a")
    assert not (tmp_path / "a.txt").exists() and not (tmp_path / ".work" / "a").exists()
    store.drop("never")


def test_keys_depend_on_name_and_inputs_but_not_their_order():
    assert key_of("a", {"x": 1, "y": 2}) == key_of("a", {"y": 2, "x": 1})
    assert len({key_of("a", {"x": 1}), key_of("b", {"x": 1}), key_of("a", {"x": 2}), key_of("a", {"x": "1"})}) == 4


def test_steps_of_earlier_versions_are_removed_but_not_the_files_that_they_published(tmp_path):
    StepStore(tmp_path).run("old", {}, writer("big.bin", "12345"), publish=["big.bin"])
    store = StepStore(tmp_path)
    store.run("new", {}, writer("big.bin", "12345"), publish=["big.bin"])
    store.remove_others()
    assert (tmp_path / "big.bin").read_text() == "12345"
    assert [path.name for path in (tmp_path / ".work").iterdir()] == ["new"]


def test_dropping_removes_files_of_a_step_that_is_not_recorded(tmp_path):
    (tmp_path / "big.bin").write_text("12345")
    StepStore(tmp_path).drop("a", "big.bin")
    assert not (tmp_path / "big.bin").exists()
