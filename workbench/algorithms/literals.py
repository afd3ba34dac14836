"""Text typed on a command line or a magic's line → the value it names."""

from __future__ import annotations

import ast
import json
from typing import Any

from workbench.algorithms.kinds import KINDS, Kind
from workbench.models import ParameterSpec

_TRUE, _FALSE = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}


def literal(spec: ParameterSpec, text: str) -> Any:
    """Return the value a text names for this parameter; a text that names none comes back as it is, to be refused.

    >>> literal(ParameterSpec(name="radii", type="int_list"), "1,2")
    [1, 2]
    """
    text = text.strip()
    kind = KINDS[spec.type]
    if kind.item in {object, dict}:
        return plain_literal(text)
    if spec.optional and text.casefold() in {"none", "null"}:
        return None
    return _parsed_items(kind, text) if kind.is_sequence else _parsed_item(kind.item, text)


def plain_literal(text: str) -> Any:
    """Return the number, truth value, list or mapping that a text writes, in JSON or in Python; else the text itself.

    >>> plain_literal("[1, 2.5]"), plain_literal("none"), plain_literal("scan-7")
    ([1, 2.5], None, 'scan-7')
    """
    if (folded := text.strip().casefold()) in {"none", "null", "true", "false"}:
        return {"true": True, "false": False}.get(folded)
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
    return text


def _parsed_items(kind: Kind, text: str) -> Any:
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(text)
        except (ValueError, SyntaxError):
            continue
        if isinstance(value, (list, tuple)):
            return list(value)
    inner = text[1:-1] if (text[:1], text[-1:]) in {("[", "]"), ("(", ")")} else text
    return [_parsed_item(kind.item, part.strip()) for part in inner.split(",") if part.strip()]


def _parsed_item(item: type, text: str) -> Any:
    if item is str:
        quoted = len(text) >= 2 and text[0] == text[-1] and text[0] in "'\""
        return text[1:-1] if quoted else text
    if item is bool:
        folded = text.casefold()
        return True if folded in _TRUE else False if folded in _FALSE else text
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text
