"""Face trackers: landmarks, irises, pose and expression coefficients per frame."""
