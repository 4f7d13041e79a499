"""The heads by name. Other packages add heads through the entry-point group ``jean.heads``."""

from __future__ import annotations

from jean.models.head.base import Head
from jean.plugins import Registry

HEADS: Registry[type[Head]] = Registry(
    "head",
    "jean.heads",
    {
        "fast": "jean.models.head.fast:FastHead",
        "gaussian": "jean.models.head.gaussian:GaussianHead",
        "paper": "jean.models.head.paper:PaperHead",
    },
)
