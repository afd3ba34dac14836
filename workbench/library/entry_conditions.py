"""Conditions on what every entry has of its own: size, kind, domain, created, version, name. Elsewhere they are on its metadata."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from typing import Any

from workbench.catalog.conditions import Comparison, Condition, Group
from workbench.catalog.search import micros
from workbench.errors import InvalidInputError
from workbench.library.entry_facts import RESERVED, SEARCHED
from workbench.library.entry_files import checked_kind
from workbench.names import check_text, parse_size

_TEXTS = ("name", "kind", "domain", "made_by")
_EXAMPLES = {"name": "'run1.h5'", "kind": "'models'", "domain": "'eos'", "made_by": "'reduce@1.2.0'"}


def understood(conditions: Iterable[Condition]) -> list[Condition]:
    """Return conditions as the catalog compares them: times as microseconds, sizes as bytes.

    Raises
    ------
    InvalidInputError
        If one names what is not searched, or compares with what an entry cannot have.
    """
    return [_understood(part) for part in conditions]


def domains_of(conditions: Iterable[Condition]) -> Iterator[str]:
    """Yield the domains that conditions name, in any place."""
    for part in conditions:
        if isinstance(part, Group):
            yield from domains_of(part.parts)
        elif part.key == "domain" and part.sign in ("==", "in"):
            yield from map(str, part.value if isinstance(part.value, tuple) else (part.value,))


def _understood(part: Condition) -> Condition:
    if isinstance(part, Group):
        return Group(part.how, tuple(_understood(inner) for inner in part.parts))
    key = check_text(part.key.removeprefix("="), "A key")
    for value in part.value if isinstance(part.value, tuple) else (part.value,):
        if isinstance(value, str):
            check_text(value, f"What {key} is compared with")
    if key not in RESERVED:
        return part
    if key not in SEARCHED:
        raise InvalidInputError(
            f"{key!r} cannot be searched for. Conditions name keys of the metadata, and {', '.join(SEARCHED)}."
        )
    values: tuple[Any, ...] = part.value if isinstance(part.value, tuple) else (part.value,)
    if key == "created":
        return _on_time(part.sign, values)
    if key == "size" and part.is_text:
        sizes = tuple(float(parse_size(value, "size")) for value in values)
        return replace(part, value=sizes if part.sign == "in" else sizes[0])
    is_text = part.is_text and key == part.key  # else it is the digits of a large number
    if is_text is not (key in _TEXTS):
        wanted = f"text: {key} == {_EXAMPLES[key]}" if key in _TEXTS else f"a number: {key} == 3"
        raise InvalidInputError(f"{key} is compared with {_shown(values[0])}, expected {wanted}.")
    if key == "kind":
        for value in values:
            checked_kind(value)
    return part


def _on_time(sign: str, values: tuple[Any, ...]) -> Condition:
    """Return the condition that an entry is from before or after a moment, or a day, or in one of several."""
    spans = [_span(value) for value in values]
    if sign == "in":
        return Group("or", tuple(_in(*span) for span in spans))
    begin, end = spans[0]
    if sign == "==":
        return _in(begin, end)
    if sign == "!=":
        return Group("not", (_in(begin, end),))
    at = begin if sign in ("<", ">=") else end
    return Comparison("created", "<" if sign in ("<", "<=") else ">=", at)


def _in(begin: float, end: float) -> Condition:
    return Group("and", (Comparison("created", ">=", begin), Comparison("created", "<", end)))


def _span(value: Any) -> tuple[float, float]:
    """Return a day or a moment as two times in microseconds: its begin, and where it is over."""
    try:
        if not isinstance(value, str):
            raise ValueError("it is a number")
        try:
            day = date.fromisoformat(value.strip())
        except ValueError:
            moment = _micros(datetime.fromisoformat(value.strip()))
            return moment, moment + 1
        return _midnight(day), _midnight(day + timedelta(days=1))
    except (ValueError, OverflowError):
        raise InvalidInputError(
            f"created is compared with {_shown(value)}, which is no time. Write a day such as created >= '2026-03-01', or "
            "a time such as '2026-03-01T14:30'; without a zone it is local."
        ) from None


def _midnight(day: date) -> float:
    return _micros(datetime.combine(day, time()))


def _micros(moment: datetime) -> float:
    found = micros(moment)
    assert found is not None
    return float(found)


def _shown(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else repr(value)[:60]
