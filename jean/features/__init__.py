"""Feature extractors: face trackers, audio features, emotion features and mattings."""
