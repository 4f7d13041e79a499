"""The head: density and colour fields (fast and paper), face warp, density prior, torso."""
