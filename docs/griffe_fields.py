"""Griffe extension: shows the descriptions of pydantic fields in the API reference.

Griffe reads docstrings only. Configuration classes describe their fields by ``Field(description=…)``, so that each
description is written once for the command line and for the reference.
"""

from __future__ import annotations

import ast
from typing import Any

from griffe import Attribute, Docstring, ExprCall, Extension


class FieldDescriptions(Extension):
    """Uses ``description`` of ``Field(…)`` as the docstring of an attribute that has none."""

    def on_attribute_instance(self, *, node: Any, attr: Attribute, **kwargs: Any) -> None:
        """Called by griffe for every attribute, with its statement."""
        call = getattr(node, "value", None)
        if attr.docstring or not isinstance(call, ast.Call) or getattr(call.func, "id", "") != "Field":
            return
        for keyword in call.keywords:
            if keyword.arg == "description" and isinstance(keyword.value, ast.Constant):
                attr.docstring = Docstring(keyword.value.value, lineno=node.lineno, parent=attr)
                if isinstance(attr.value, ExprCall):  # the signature need not repeat it
                    others = [a for a in attr.value.arguments if getattr(a, "name", "") != "description"]
                    attr.value = ExprCall(attr.value.function, others)
