"""The synthetic speaker: video, speech and ground truth with no download."""
