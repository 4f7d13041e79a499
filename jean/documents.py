"""Validation of stored JSON documents by pydantic models."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from jean.errors import ArtefactError

Document = TypeVar("Document", bound=BaseModel)


def first_complaint(error: ValidationError) -> str:
    """The first complaint of pydantic as one line: the key, with dots, and what is wrong with it."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    message = re.sub(r"^Value error, ", "", first["msg"])
    return f"{key}: {message}" if key else message


def validated(cls: type[Document], document: Any, subject: str | Path, remedy: str) -> Document:
    """A document that was read, as an instance of ``cls``.

    Args:
        cls: describes the document.
        document: JSON values.
        subject: what is malformed, for the message.
        remedy: what to do then.

    Raises:
        ArtefactError: names the first key that is missing, unknown or wrong.
    """
    try:
        return cls.model_validate(document)
    except ValidationError as error:
        raise ArtefactError(f"{subject} is malformed: {first_complaint(error)}.", remedy) from None


def parse_object(text: str | bytes) -> Mapping[str, Any]:
    """Parses a JSON object.

    Raises:
        ValueError: no JSON, another value than an object, nested too deeply, or a number that is too long.
    """
    try:
        document = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(document, dict):
        raise ValueError("no JSON object")
    return document
