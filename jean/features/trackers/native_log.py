"""Keeps the start-up chatter of native libraries out of the terminal."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

# What glog, absl and TensorFlow Lite print at INFO and WARNING level, whatever Python is told
CHATTER = re.compile(
    rb"^(?:[IW]\d{4} |INFO: |WARNING: Logging before|WARNING: All log messages|W\d+ \d|Feedback manager)"
)


@contextmanager
def quiet_native_log() -> Iterator[None]:
    """Holds back file descriptor 2 and passes on everything that is no chatter.

    Native code writes there past ``sys.stderr``, so nothing else reaches it. Keep the body short:
    a progress line written meanwhile appears late.
    """
    sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # no standard error at all: nothing to keep clean
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            held.seek(0)
            for line in held:
                if line.strip() and not CHATTER.match(line):
                    os.write(2, line)
