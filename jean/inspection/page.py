"""One HTML page that holds its pictures."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from jean.files import write_text

_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:960px;margin:2em auto;padding:0 1em}
img{max-width:100%;background:#fff}table{border-collapse:collapse}td{padding:.1em .8em .1em 0}
@media(prefers-color-scheme:dark){body{background:#161616;color:#ddd}}"""


def write_page(path: Path, title: str, facts: dict[str, Any], pictures: Sequence[tuple[str, Path]]) -> None:
    """Writes a page with a table of facts and pictures (caption, PNG), all in one file."""
    rows = "".join(f"<tr><td>{escape(str(k))}</td><td>{escape(_short(v))}</td></tr>" for k, v in facts.items())
    shown = "".join(
        f'<h2>{escape(caption)}</h2><img alt="{escape(caption)}" src="data:image/png;base64,'
        f'{base64.b64encode(picture.read_bytes()).decode()}">'
        for caption, picture in pictures
    )
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    page = f"<!doctype html><html lang=en>{head}<style>{_STYLE}</style><h1>{escape(title)}</h1><table>{rows}</table>"
    write_text(path, f"{page}{shown}</html>\n")


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
