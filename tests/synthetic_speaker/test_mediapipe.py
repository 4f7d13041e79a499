"""An independent tracker (MediaPipe) finds the synthetic speaker's face at the true landmarks."""

from __future__ import annotations

import numpy as np
import pytest

from jean.synthetic_speaker.performance import draw_performance, ground_truth, perform
from jean.synthetic_speaker.speaker import build_speaker
from jean.synthetic_speaker.speaker_identity import sample_identity
from jean.synthetic_speaker.speaker_motion import EMOTIONS


@pytest.mark.slow
@pytest.mark.real
def test_mediapipe_tracks_the_speaker_near_the_true_landmarks(shared_models, capsys):
    pytest.importorskip("mediapipe")
    from jean.features.registry import create

    n_found, n_frames, errors, openings = 0, 0, [], []
    for seed in range(8):
        identity = sample_identity(seed)
        performance = perform(identity, EMOTIONS[seed % 4], 1.0, seconds=2.0, fps=10.0, seed=seed)
        speaker = build_speaker(identity)
        arrays, _ = ground_truth(speaker.rig, performance, 256)
        tracker = create("tracker", "mediapipe", video="speaker.mp4", device="cpu")
        frames = ((t / 10, frame.image) for t, frame in enumerate(draw_performance(speaker, performance, 256)))
        tracked, true = [], []
        for t, faces in enumerate(tracker.track(frames)):
            n_frames += 1
            if len(faces) != 1:
                continue
            n_found += 1
            points, expected = faces[0].landmarks, arrays["landmarks"][t]
            ocular = np.linalg.norm(expected[36] - expected[45])
            errors.append(np.linalg.norm(points - expected, axis=1) / ocular)
            tracked.append(np.linalg.norm(points[[61, 62, 63]] - points[[67, 66, 65]], axis=1).mean() / ocular)
            true.append(arrays["mouth_opening"][t])
        openings.append(np.corrcoef(tracked, true)[0, 1])
    error = np.array(errors).mean(0)
    groups = {"jaw": (0, 17), "brows": (17, 27), "nose": (27, 36), "eyes": (36, 48), "mouth": (48, 68)}
    with capsys.disabled():
        print(f"\nMediaPipe finds {n_found}/{n_frames}; error in inter-ocular distances:")
        print({k: round(float(error[a:b].mean()), 4) for k, (a, b) in groups.items()} | {"all": round(error.mean(), 4)})
        print("correlation of the mouth opening with the truth:", np.round(openings, 3))
    assert n_found >= 0.95 * n_frames
    assert error[17:].mean() < 0.04
    assert min(openings) > 0.8
