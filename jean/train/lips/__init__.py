"""Training of the lip prior: on synthetic speech with known phonemes, then on real lips."""
