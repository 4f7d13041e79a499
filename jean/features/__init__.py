"""Adapters to other people's networks: face trackers, audio features, matting."""
