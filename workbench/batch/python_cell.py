"""Values as Python source, written as papermill writes the cell that it injects."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def parameters_source(
    values: Mapping[str, Any], comment: str = "Parameters", enums: Mapping[str, str] | None = None
) -> str:
    """Return the source of an injected cell; ``enums`` names the class of what is a member of one.

    >>> print(parameters_source({"sigma": 2.0, "name": 'a "b"'}), end="")
    # Parameters
    sigma = 2.0
    name = "a \\"b\\""
    """
    lines = [f"# {comment}\n"]
    for name, value in values.items():
        text = python_literal(value)
        # the cell that follows expects what the parameters cell has: Mode.FAST, not its text
        is_member = enums is not None and name in enums and value is not None
        lines.append(f"{name} = {enums[name]}({text})\n" if enums and is_member else f"{name} = {text}\n")
    return "".join(lines)


def python_literal(value: Any) -> str:
    """Return an expression that is the value; what is no plain value becomes its text."""
    if value is None or isinstance(value, (bool, int)):
        return str(value)
    if isinstance(value, float):
        if math.isfinite(value):
            return str(value)
        return "float('nan')" if math.isnan(value) else f"float('{'-' if value < 0 else ''}inf')"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_quoted(key)}: {python_literal(v)}" for key, v in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(python_literal, value))}]"
    if isinstance(value, tuple):
        return f"({', '.join(map(python_literal, value))}{',' if len(value) == 1 else ''})"
    return _quoted(value)


def _quoted(value: Any) -> str:
    if not isinstance(value, str):
        return f'"{value}"'
    escaped = value.encode("unicode_escape").decode().replace('"', r"\"")
    return f'"{escaped}"'
