"""Descriptions of clips from a table, from MEAD's layout and from names."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from jean.clips import mead
from jean.clips.corpus import find_clips, people, same_sentence_pairs
from jean.drivers.face_frames import split_people
from jean.errors import InputError, UsageError


def clip(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "clip.json").write_text("{}")
    return folder


def test_paths_in_meads_layout_describe_clips(tmp_path):
    clip(tmp_path / "M003/video/front/angry/level_3/001")
    clip(tmp_path / "M003/front/neutral/level_1/001")
    clip(tmp_path / "W011/happy/level_2/014")
    found = {(c.person, c.emotion, c.level, c.sentence) for c in find_clips([tmp_path])}
    assert found == {("M003", "angry", 3, "001"), ("M003", "neutral", 1, "001"), ("W011", "happy", 2, "happy-014")}


def test_only_the_first_13_numbers_of_mead_are_the_same_sentence_in_every_emotion(tmp_path):
    for emotion, numbers in (("neutral", 40), ("angry", 30), ("happy", 30), ("sad", 30)):
        for number in range(1, numbers + 1):
            clip(tmp_path / f"M003/front/{emotion}/level_{1 if emotion == 'neutral' else 3}/{number:03d}")
    pairs = list(same_sentence_pairs(find_clips([tmp_path])))
    assert len(pairs) == 13 * 6, "13 sentences, 6 pairs of four emotions; by number alone it would be 180"
    assert {a.sentence for a, _ in pairs} == {f"{number:03d}" for number in range(1, 14)}
    assert mead.sentence("happy", "031") == "happy-031" and mead.sentence("unknown", "take") == "take"


def test_the_table_lists_every_number_of_mead_once():
    with open(mead.SENTENCES, encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert len({(row["emotion"], row["number"]) for row in rows}) == len(rows) == 7 * 30 + 40
    kinds = Counter(row["kind"] for row in rows if row["emotion"] == "sad")
    assert kinds == {"common": 3, "generic": 10, "own": 17}
    assert {row["emotion"] for row in rows} == set(mead.EMOTIONS)


def test_names_describe_clips_without_table_and_layout(tmp_path):
    clip(tmp_path / "ann/happy_002")
    clip(tmp_path / "ann/talk")
    clip(tmp_path / "bob")
    by_name = {c.name: c for c in find_clips([tmp_path])}
    happy = by_name["ann/happy_002"]
    assert (happy.person, happy.emotion, happy.sentence) == ("ann", "happy", "002")
    talk = by_name["ann/talk"]
    assert (talk.person, talk.emotion, talk.sentence) == ("ann", None, None)
    assert by_name["bob"].person == tmp_path.name
    assert find_clips([tmp_path / "ann" / "talk"])[0].person == "talk"


def test_a_table_overrides_names(tmp_path):
    clip(tmp_path / "x/one")
    (tmp_path / "corpus.csv").write_text("file,person,emotion,level,sentence,text\nx/one.mp4,M1,sad,3,7,hello\n")
    (found,) = find_clips([tmp_path])
    assert (found.person, found.emotion, found.level, found.sentence) == ("M1", "sad", 3, "7")
    other = tmp_path / "other.csv"
    other.write_text("file,person,emotion,level,sentence\nx/one,M2,,,\n")
    (found,) = find_clips([tmp_path], other)
    assert (found.person, found.emotion, found.sentence) == ("M2", None, None)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("file,person\nx/one,M1\n", "no column 'emotion'"),
        ("file,person,emotion,level,sentence\nx/two,M1,sad,1,1\n", "not prepared"),
        ("file,person,emotion,level,sentence\nx/one,M1,sad,high,1\n", "line 2: level"),
        ("file,person,emotion,level,sentence\nx/one,M1\n", "line 2: a value"),
    ],
)
def test_wrong_tables_are_refused(tmp_path, text, says):
    clip(tmp_path / "x/one")
    (tmp_path / "corpus.csv").write_text(text)
    with pytest.raises(InputError, match=says):
        find_clips([tmp_path])


def test_a_folder_without_clips_and_a_repeated_clip_are_refused(tmp_path):
    with pytest.raises(InputError, match="no prepared clip"):
        find_clips([tmp_path])
    one = clip(tmp_path / "a/one")
    with pytest.raises(InputError, match="twice"):
        find_clips([tmp_path, one])


def test_pairs_are_the_same_sentence_by_the_same_person_in_two_emotions(tmp_path):
    for name in ("p/happy/level_3/001", "p/happy/level_1/001", "p/sad/level_3/001", "p/angry/level_3/002"):
        clip(tmp_path / name)
    clip(tmp_path / "q/sad/level_3/002")
    pairs = [(a.name, b.name) for a, b in same_sentence_pairs(find_clips([tmp_path]))]
    assert pairs == [("p/happy/level_3/001", "p/sad/level_3/001")]


def test_forty_eight_people_are_split_as_in_the_paper(tmp_path):
    for number in range(48):
        clip(tmp_path / f"P{number:02d}" / "one")
    clips = find_clips([tmp_path])
    train, validation = split_people(clips, 9 / 48, None, 0)
    assert (len(people(train)), len(people(validation))) == (39, 9)
    assert not set(people(train)) & set(people(validation))
    assert split_people(clips, 9 / 48, None, 0) == (train, validation)
    assert split_people(clips, 9 / 48, None, 1) != (train, validation)
    _, named = split_people(clips, 0.5, ["P07"], 0)
    assert people(named) == ["P07"]
    with pytest.raises(UsageError, match="P99"):
        split_people(clips, 0.5, ["P99"], 0)


def test_of_one_person_the_last_clips_are_held_out(tmp_path):
    for number in range(5):
        clip(tmp_path / "p" / f"c{number}")
    train, validation = split_people(find_clips([tmp_path]), 0.2, None, 0)
    assert (len(train), len(validation)) == (4, 1)


def test_the_sound_of_a_mead_video_is_found_in_the_audio_folder(tmp_path):
    video = tmp_path / "M003/video/front/angry/level_3/001.mp4"
    assert mead.sound(video) is None and mead.sound(tmp_path / "a.mp4") is None
    sound = tmp_path / "M003/audio/angry/level_3/001.m4a"
    sound.parent.mkdir(parents=True)
    sound.write_bytes(b"x")
    assert mead.sound(video) == sound
