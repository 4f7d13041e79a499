"""The benchmark of closed lips."""

from __future__ import annotations

import json
import shutil

import closures
import numpy as np
import pytest


def test_figures_of_lips_that_close_at_half_of_the_bilabials():
    times_s = np.arange(250) / 25
    segments = [("SIL", 0.0, 1.0), ("M", 2.0, 2.1), ("AA", 3.0, 3.2), ("P", 5.0, 5.1), ("IY", 6.0, 6.2), ("SIL", 8, 10)]
    opening = np.full(250, 1.0)
    opening[np.abs(times_s - 2.05) < 0.05] = 0.0  # at M, not at P
    opening[np.abs(times_s - 6.1) < 0.1] = 0.0  # at a vowel, which needs none
    opening[(times_s < 1) | (times_s > 8)] = 0.0
    result = closures.figures(opening, times_s, np.linspace(0, 1, 100), segments)
    assert (result["bilabials"], result["closed"], result["vowels_closed"]) == (2, 0.5, 0.5)
    assert 0 < result["closed_by_chance"] < 0.8 and result["silence_closed"] == 1


@pytest.mark.skipif(shutil.which("flite") is None, reason="needs flite")
def test_the_prior_of_the_package_closes_at_most_bilabials(capsys):
    closures.main(["--sentences", "8", "--json"])
    result = json.loads(capsys.readouterr().out)
    assert result["bilabials"] > 15 and result["closed"] > 0.75 > result["closed_by_chance"] + 0.2
    assert result["vowels_closed"] < 0.15 and "silence_closed" not in result
