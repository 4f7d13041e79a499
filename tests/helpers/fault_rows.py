"""The rows of the fault suite: what may go wrong, and what is required then.

A test belongs to a row by the mark ``fault(number)``, or because ``ELSEWHERE`` lists it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One kind of fault.

    Attributes:
        name: a short name.
        fault: what goes wrong.
        required: what must hold then.
        limits: what the suite does not prove, or an empty text.
    """

    name: str
    fault: str
    required: str
    limits: str = ""


ROWS = {
    1: Row(
        "kill and resume",
        "SIGKILL at random moments after the first checkpoint, every trainer",
        "weights, optimiser state and loss log equal those of an undisturbed run",
    ),
    2: Row("kill in a save", "SIGKILL at each file operation and inside writes of a save", "a valid checkpoint exists"),
    3: Row(
        "full disk",
        "a small file system that fills, and a failing write at a growing size",
        "exit 5, the previous checkpoint loads, the run resumes to the same bits",
    ),
    4: Row("read-only output", "an output that cannot be written, every command", "exit 5 within 5 s, before any work"),
    5: Row(
        "SIGTERM, SIGINT",
        "signals at random moments and aimed at load, step, evaluation, preview and save",
        "a checkpoint, exit 143 or 130, no process left, the run resumes to the same bits",
    ),
    6: Row("corrupt checkpoint", "flipped bits and truncations of both files", "detected by the recorded sha256"),
    7: Row("wrong run", "runs of another stage, configuration or format", "exit 4 that names the mismatch"),
    8: Row("not finite", "NaN in data, loss, gradient and parameter", "training stops within a step and saves none"),
    9: Row(
        "out of memory",
        "a growing limit on the address space of training and rendering",
        "exit 5, or the same result; never a finished work that is not",
        "The memory of a GPU.",
    ),
    10: Row("kill in prepare", "SIGKILL at 20 moments", "the next run reuses finished steps and gives the same clip"),
    11: Row("idempotence", "the same command again; one option changed", "only what depends on the change runs"),
    12: Row("no face", "videos without a face", "exit 3, no clip"),
    13: Row("face leaves", "some frames without a face", "masked and reported, the sound stays in step"),
    14: Row("several faces", "two people, also crossing", "refused or chosen by --face; never swapped"),
    15: Row("no sound", "a silent container", "exit 3 where sound is needed, accepted where not"),
    16: Row("length of sound", "sound shorter and longer than the video", "frames = ceil(duration · fps), whole sound"),
    17: Row("frame rates", "variable, 23.976, 29.97, 30, 60; ten minutes", "read by time stamps, drift ≤ 1 frame"),
    18: Row("rotation", "90, 180, 270 degrees, with and without metadata", "upright, or refused with the turn"),
    19: Row(
        "odd media",
        "one frame, grey, 10 bit, HDR, odd sizes, non-square pixels, other containers",
        "read, or exit 3",
        "8K video.",
    ),
    20: Row("corrupt video", "500 damaged files, limits on time and memory", "read, or exit 3; no crash, no hang"),
    21: Row("bad sound", "NaN, infinity, empty, clipped, 8 to 48 kHz, stereo", "exit 3 or right; no NaN in features"),
    22: Row("names of files", "blanks, CJK, quotes, semicolons, leading dashes", "the same result; no shell"),
    23: Row("bad configuration", "Latin-1, unknown keys, tags, values out of bounds", "exit 2 that names line or key"),
    24: Row(
        "hostile files",
        "pickles with code, archives that leave their folder, bombs, links, malformed documents",
        "refused before they are parsed or run: exit 4 or 3, never 1",
    ),
    25: Row(
        "downloads",
        "cut connections, wrong content, no ranges, no network, no consent",
        "resumed or refused; sha256 before installation",
    ),
    26: Row("several processes", "2 and 8 processes on one run folder", "one trains, the others exit 5"),
    27: Row("seeds", "the same seed twice; other numbers of workers", "identical on a CPU"),
    28: Row(
        "length of video",
        "1, 10 and 60 minutes of small video, preparing, training and rendering; sound and writers",
        "peak of private memory ≤ 1.1 times that of a minute",
        "A real tracker.",
    ),
    29: Row(
        "shell",
        "--json, pipes, a closed pipe, full output devices",
        "one JSON document on stdout, progress on stderr, no escape sequences",
    ),
    30: Row("provenance", "every kind of result; changed, renamed, re-encoded copies", "marked as synthetic; verified"),
}

ELSEWHERE: dict[int, list[str]] = {
    1: [
        "train/engine/test_faults.py::test_killed_runs",
        "train/engine/test_faults.py::test_a_run_killed_repeat",
    ],
    2: ["train/engine/test_faults.py::test_a_killed_save", "test_files.py::test_a_killed_write"],
    3: [
        "train/engine/test_faults.py::test_a_full_disk_keeps",
        "train/engine/test_faults.py::test_a_failed_write_keeps",
        "test_files.py::test_a_full_disk",
        "test_files.py::test_a_failure_at_any_size",
        "media/test_write.py::test_a_full_disk",
        "rendering/test_result_files.py::test_a_disk_that_fills",
        "rendering/test_result_files.py::test_copying_frames",
        "test_checkpoint.py::test_a_failed_save",
    ],
    4: ["train/engine/test_faults.py::test_a_read_only", "train/engine/test_faults.py::test_an_unwritable"],
    5: [
        "train/engine/test_faults.py::test_a_signal",
        "train/engine/test_faults.py::test_runs_stopped",
        "train/engine/test_faults.py::test_a_second_interrupt",
    ],
    6: ["test_checkpoint.py::test_every_damage", "test_checkpoint.py::test_a_damaged_checkpoint"],
    7: [
        "test_checkpoint.py::test_an_incompatible",
        "test_checkpoint.py::test_a_checkpoint_with_other",
        "train/engine/test_loop.py::test_a_run_is_not_resumed",
    ],
    8: [
        "train/engine/test_loop.py::test_a_value_that_is_not_finite",
        "train/engine/test_loop.py::test_an_evaluation_that_is_not_finite",
        "test_checkpoint.py::test_nan_and_infinity",
        "clips/test_clip.py::test_wrong_arrays",
    ],
    9: ["train/engine/test_loop.py::test_a_run_without_memory", "train/engine/test_loop.py::test_out_of_memory"],
    10: ["preparation/test_prepare.py::test_a_killed_preparation"],
    11: [
        "preparation/test_prepare.py::test_only_steps",
        "rendering/test_render.py::test_a_finished_render",
        "rendering/test_result_files.py::test_a_whole_result",
        "train/engine/test_loop.py::test_a_finished_run",
    ],
    12: [
        "preparation/test_prepare.py::test_a_video_without_face",
        "preparation/tracking/test_choose_face.py::test_a_video_without",
    ],
    13: [
        "preparation/test_prepare.py::test_frames_without_face",
        "preparation/test_turning.py::test_a_face_that_is_often_missing",
        "preparation/tracking/test_choose_face.py::test_frames_without",
    ],
    14: [
        "preparation/test_prepare.py::test_of_two_faces",
        "preparation/tracking/test_choose_face.py::test_with_two",
        "preparation/tracking/test_identity.py",
        "train/nerf/test_train.py::test_the_same_video_twice",
    ],
    15: [
        "preparation/test_prepare.py::test_a_silent_video",
        "media/test_audio.py::test_files_without_audio",
        "clips/test_clip.py::test_a_silent_clip",
    ],
    16: [
        "media/test_audio.py::test_audio_may_be",
        "media/test_write.py::test_audio_is_complete",
        "media/test_write.py::test_written_audio",
        "rendering/test_render.py::test_the_result_is_as_long",
    ],
    17: [
        "media/test_read.py::test_changing_the_rate",
        "media/test_read.py::test_ten_minutes",
        "media/test_read.py::test_variable_rate",
        "media/test_write.py::test_written_frames",
    ],
    18: ["media/test_read.py::test_rotation", "preparation/test_turning.py"],
    19: [
        "media/test_read.py::test_common",
        "media/test_read.py::test_odd_sizes",
        "media/test_read.py::test_pixels_become",
        "media/test_read.py::test_videos_of_one_frame",
        "media/test_read.py::test_frames_that_change_size",
        "media/test_read.py::test_other_files",
        "media/test_colours.py",
        "media/test_image_sequence.py",
    ],
    20: ["media/test_mutants.py", "media/test_read.py::test_a_truncated", "media/test_read.py::test_damage"],
    21: [
        "media/test_audio.py::test_nan_and",
        "media/test_audio.py::test_clipped",
        "media/test_audio.py::test_any_rate",
        "media/test_audio.py::test_read_audio_averages",
        "media/test_audio.py::test_one_sample",
        "features/audio/test_logmel.py::test_audio_of_any",
        "features/audio/test_logmel.py::test_invalid",
    ],
    22: ["media/test_read.py::test_special", "media/test_write.py::test_special", "cli/test_main.py::test_file_names"],
    23: [
        "test_config.py::test_bad_files",
        "test_config.py::test_tags",
        "test_config.py::test_wrong_sets",
        "cli/test_config_values.py",
    ],
    24: [
        "test_stored_files.py",
        "weights/test_store.py::test_a_zip_bomb",
        "weights/test_store.py::test_every_archive",
        "weights/test_store.py::test_a_pickle",
        "weights/test_store.py::test_conversion",
        "test_checkpoint.py::test_a_huge_json",
        "clips/test_clip.py::test_a_link",
    ],
    25: ["weights/test_store.py", "weights/test_package_index.py"],
    26: ["test_files.py::test_one_of_eight", "test_files.py::test_a_lock", "train/engine/test_loop.py::test_only_one"],
    27: [
        "train/engine/test_loop.py::test_equal_seeds",
        "train/nerf/test_train.py::test_the_same_seed",
        "evaluation/test_systems.py::test_parallel_scores",
        "rendering/test_render.py::test_shards",
    ],
    28: [
        "media/test_write.py::test_memory",
        "evaluation/test_systems.py::test_memory",
        "preparation/head_fit/test_camera_fit.py::test_a_long_clip",
    ],
    29: ["cli/test_main.py::test_closed", "cli/test_main.py::test_full_disk", "cli/test_main.py::test_json"],
    30: ["test_provenance.py", "rendering/test_render.py::test_other_kinds"],
}
