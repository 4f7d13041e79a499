"""An independent tracker finds the synthetic speaker, where the truth says that the face is."""

from __future__ import annotations

import numpy as np
import pytest

from jean.synthetic_speaker.identity import identity
from jean.synthetic_speaker.performance import ground_truth, perform, pictures
from jean.synthetic_speaker.speaker import build_speaker
from jean.synthetic_speaker.tracks import EMOTIONS


@pytest.mark.slow
@pytest.mark.real
def test_mediapipe_finds_the_speaker(shared_models, capsys):
    pytest.importorskip("mediapipe")
    from jean.features.registry import create

    found, total, errors, openings = 0, 0, [], []
    for seed in range(8):
        person = identity(seed)
        performance = perform(person, EMOTIONS[seed % 4], 1.0, seconds=2.0, fps=10.0, seed=seed)
        speaker = build_speaker(person)
        arrays, _ = ground_truth(speaker.face, performance, 256)
        tracker = create("tracker", "mediapipe", video="speaker.mp4", device="cpu")
        frames = ((t / 10, picture.image) for t, picture in enumerate(pictures(speaker, performance, 256)))
        seen, true = [], []
        for t, faces in enumerate(tracker.track(frames)):
            total += 1
            if len(faces) != 1:
                continue
            found += 1
            points, want = faces[0].landmarks, arrays["landmarks"][t]
            ocular = np.linalg.norm(want[36] - want[45])
            errors.append(np.linalg.norm(points - want, axis=1) / ocular)
            seen.append(np.linalg.norm(points[[61, 62, 63]] - points[[67, 66, 65]], axis=1).mean() / ocular)
            true.append(arrays["mouth_opening"][t])
        openings.append(np.corrcoef(seen, true)[0, 1])
    error = np.array(errors).mean(0)
    groups = {"jaw": (0, 17), "brows": (17, 27), "nose": (27, 36), "eyes": (36, 48), "mouth": (48, 68)}
    with capsys.disabled():
        print(f"\nMediaPipe finds {found}/{total}; error as a share of the inter-ocular distance:")
        print({k: round(float(error[a:b].mean()), 4) for k, (a, b) in groups.items()} | {"all": round(error.mean(), 4)})
        print("correlation of the mouth opening with the truth:", np.round(openings, 3))
    assert found >= 0.95 * total
    assert error[17:].mean() < 0.04
    assert min(openings) > 0.8
