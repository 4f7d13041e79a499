"""Weights of other people's networks: register, download, import, safe reading."""
