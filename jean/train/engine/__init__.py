"""Training engine shared by all stages: loop, stage protocol, checkpoint state, run folder, signals."""
