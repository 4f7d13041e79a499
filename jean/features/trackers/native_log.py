"""Suppresses start-up messages that native libraries write to standard error."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

# Lines of glog, absl and TensorFlow Lite at the levels INFO and WARNING; their Python settings do not suppress them
NOISE = re.compile(
    rb"^(?:[IW]\d{4} |INFO: |WARNING: Logging before|WARNING: All log messages|W\d+ \d|Feedback manager)"
)


@contextmanager
def quiet_native_log() -> Iterator[None]:
    """Redirects file descriptor 2 during the ``with`` block, then writes all lines except ``NOISE``.

    Native code writes directly to the file descriptor, so ``sys.stderr`` cannot be used. Keep the block short, because
    other output to standard error, such as progress, is delayed until its end.
    """
    sys.stderr.flush()
    try:
        original = os.dup(2)
    except OSError:  # there is no standard error
        yield
        return
    with tempfile.TemporaryFile() as buffer:
        os.dup2(buffer.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(original, 2)
            os.close(original)
            buffer.seek(0)
            for line in buffer:
                if line.strip() and not NOISE.match(line):
                    os.write(2, line)
