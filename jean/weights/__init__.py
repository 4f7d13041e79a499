"""Pretrained weights: register, download, import and safe reading."""
