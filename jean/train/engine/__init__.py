"""What all trainings share: loop, stage, state of a checkpoint, run folder, signals."""
