"""From a video to a clip folder: tracking, head fit, matting, features, validation."""
