"""Values as typed text and back: ``parse(show(value))`` is the value, bit for bit."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

from workbench.algorithms.literals import plain_literal


class NoValueError(ValueError):
    """Nothing was typed or chosen yet."""

    def __init__(self) -> None:
        super().__init__("needs a value")


def parse_int(text: str) -> int:
    """Return the whole number of any size that was typed."""
    text = text.strip()
    if not text:
        raise NoValueError
    if not re.fullmatch(r"[+-]?[0-9]+(_[0-9]+)*", text):
        raise ValueError(f"{_cut(text)} is not a whole number")
    return int(text)


def parse_float(text: str) -> float:
    """Return the number that was typed; inf and nan are numbers too."""
    text = text.strip()
    if not text:
        raise NoValueError
    try:
        return float(text)
    except ValueError:
        hint = "; write a point, not a comma" if re.fullmatch(r"[+-]?\d*,\d+", text) else ""
        raise ValueError(f"{_cut(text)} is not a number{hint}") from None


def parse_bool(text: str) -> bool:
    """Return what was typed as true or false."""
    word = text.strip().casefold()
    if word not in {"true", "false"}:
        raise ValueError(f"{_cut(text)} is neither true nor false")
    return word == "true"


def show_number(value: Any) -> str:
    """Return the shortest text that is read back as exactly this number."""
    return repr(value.item() if hasattr(value, "item") else value)


def parse_items(text: str, parse: Callable[[str], Any]) -> list[Any]:
    """Return the items of a list of numbers or truth values: between commas, spaces or on lines of their own."""
    out = []
    for position, word in enumerate(
        re.findall(r"[^,;\s]+", text.strip().removeprefix("[").removesuffix("]")), 1
    ):
        try:
            out.append(parse(word))
        except ValueError as error:
            raise ValueError(f"item {position}: {error}") from None
    return out


def parse_plain(text: str) -> Any:
    """Return the number, list, mapping or text that was typed; quotes make a text of what looks like anything else."""
    if not text.strip():
        raise NoValueError
    return plain_literal(text)


def show_plain(value: Any) -> str:
    """Return a value as `parse_plain` reads it: JSON, but texts as they are where that is clear."""
    if isinstance(value, str) and value.strip() and plain_literal(value) is value:
        return value
    return json.dumps(value, ensure_ascii=False)


def parse_lines(text: str) -> list[str]:
    """Return the texts of a list, one per line; a line that begins with ``"`` is a JSON string."""
    out = []
    lines = [line.strip() for line in text.split("\n")]
    for position, line in enumerate((line for line in lines if line), 1):
        if not line.startswith('"'):
            out.append(line)
            continue
        try:
            item = json.loads(line, strict=False)
        except json.JSONDecodeError:
            item = None
        if not isinstance(item, str):
            raise ValueError(
                f'item {position}: {_cut(line)} begins with " but is not quoted text, such as "a \\"b\\""'
            )
        out.append(item)
    return out


def show_lines(items: Iterable[str]) -> str:
    """Return texts one per line, as `parse_lines` reads them: quoted where the plain text would be read otherwise."""
    return "\n".join(
        item if item and item == item.strip() and item.isprintable() and item[0] != '"' else json.dumps(item)
        for item in map(str, items)
    )


def option_label(option: Any) -> str:
    """Return how an option is listed: text as it is where that is visible, else its repr."""
    if isinstance(option, str):
        return option if option.isprintable() and option.strip() == option and option else repr(option)
    if option is None or isinstance(option, bool):
        return str(option).lower()
    return ", ".join(map(show_number, option)) if isinstance(option, (tuple, list)) else show_number(option)


def _cut(text: str) -> str:
    return repr(text if len(text) <= 24 else text[:23] + "…")
