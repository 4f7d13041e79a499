"""Damaged files: each is read or refused in one line, never a crash, a hang or a flood of memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.fault_report import Tally
from tests.helpers.media_make import chirp, make_video

LIMIT_S = 20
READER = """
import resource, signal, sys
from pathlib import Path
import av, numpy, scipy.signal
from jean.errors import JeanError
from jean.media import probe, read_audio, read_frames

resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
signal.signal(signal.SIGALRM, signal.SIG_DFL)
quiet = lambda message: None
for path in map(Path, sys.argv[2:]):
    ends = []
    for call in (
        lambda: probe(path, warn=quiet),
        lambda: sum(1 for _ in read_frames(path, 25, warn=quiet)),
        lambda: sum(1 for _ in read_frames(path, warn=quiet)),
        lambda: read_audio(path, warn=quiet),
    ):
        signal.alarm(int(sys.argv[1]))
        try:
            call()
            ends.append("0")
        except JeanError as error:
            ends.append(str(error.exit_code) if "\\n" not in str(error) else "lines")
        except Exception as error:
            ends.append(repr(error).replace(" ", "_").replace("\\n", "_"))
        signal.alarm(0)
    print(path.name, *ends, flush=True)
"""


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """One mutant: bits flipped, bytes replaced, a piece cut out, doubled, zeroed, or the end cut off."""
    out = bytearray(data)
    # Half of them in the headers at either end, where a byte decides more
    span = len(out) if rng.random() < 0.5 else min(len(out), 3000)
    start = 0 if rng.random() < 0.6 else len(out) - span
    kind = rng.integers(0, 6)
    at = start + int(rng.integers(0, span))
    size = int(rng.integers(1, 400))
    if kind == 0:
        for _ in range(int(rng.integers(1, 40))):
            out[start + int(rng.integers(0, span))] ^= 1 << int(rng.integers(0, 8))
    elif kind == 1:
        for _ in range(int(rng.integers(1, 12))):
            place = start + int(rng.integers(0, span))
            out[place : place + 4] = rng.choice([b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", rng.bytes(4)])
    elif kind == 2:
        del out[at : at + size]
    elif kind == 3:
        out[at:at] = out[at : at + size]
    elif kind == 4:
        out[at : at + size] = bytes(len(out[at : at + size]))
    else:
        del out[at:]
    return bytes(out)


def sources(folder: Path) -> list[Path]:
    from jean.media import VideoWriter, read_frames

    sound = chirp(1, 48000)
    made = [make_video(folder / name, 25, audio=sound) for name in ("a.mp4", "b.mkv", "c.ts")]
    made.append(
        make_video(folder / "d.avi", 25, codec="mpeg4", audio=chirp(1, 16000), audio_hz=16000, audio_codec="pcm_s16le")
    )
    with VideoWriter(folder / "e.mp4", (96, 64), 25, (sound, 48000)) as writer:
        for _, image in read_frames(made[0]):
            writer.write(image)
    return [*made, folder / "e.mp4"]


def run_mutants(folder: Path, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    originals = [(path.suffix, path.read_bytes()) for path in sources(folder)]
    mutants = []
    for number in range(count):
        suffix, data = originals[number % len(originals)]
        path = folder / f"m{number:04d}{suffix}"
        path.write_bytes(mutate(data, rng))
        mutants.append(path)
    command = [sys.executable, "-c", READER, str(LIMIT_S), *map(str, mutants)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S * 10 + count)
    lines = done.stdout.splitlines()
    last = mutants[len(lines)].name if len(lines) < count else ""
    assert done.returncode == 0, f"{last} ended the reader with {done.returncode}: {done.stderr[-500:]}"
    ends = [line.split()[1:] for line in lines]
    odd = [line for line, end in zip(lines, ends, strict=True) if not set(end) <= {"0", "3"}]
    assert not odd, odd[:5]
    assert any(set(end) == {"0"} for end in ends) and any("3" in end for end in ends)  # both kinds were tried


@pytest.mark.timeout(900)
def test_damaged_files_are_read_or_rejected(tally: Tally, tmp_path):
    count = tally.count(500, 60)
    with tally.case(f"{count} damaged files"):
        run_mutants(tmp_path, count, seed=1)
        tally.tried = count
