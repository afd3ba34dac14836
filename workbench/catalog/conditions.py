"""Conditions on metadata, as people write them: ``val_error < 0.1 and (uq == "faiss" or not `is new`)``.

The text is read as a Python expression and never executed. A key that is no word of Python stands in backticks.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from workbench.errors import InvalidInputError

Value = float | str
#: what an entry has beside its metadata and is compared with, each in a column
NUMBERS_OF_ENTRIES = ("version", "size", "created")
TEXTS_OF_ENTRIES = ("name", "domain", "kind")
_LONG_TEXT = 400  # characters
_EXACT = 2.0**53  # from here on, floating numbers leave whole ones out
_MOST_VALUES = 30_000  # of one `in`: what both databases take in a statement
_MOST_COMPARISONS = 400  # SQLite takes expressions a thousand deep
_QUOTED = re.compile(r"""('(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")|`([^`]*)`""")
_SIGNS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
}
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


@dataclass(frozen=True)
class Slot:
    """The place of a value in a statement that is made once for all values of a type."""

    name: str
    type: type


@dataclass(frozen=True)
class Comparison:
    """A key compared with a number or a text; an entry without the key, or with the other type, does not fulfil it.

    Of the sign ``in``, the value is several of one type, of which it equals one.
    """

    key: str
    sign: str
    value: Value | tuple[Value, ...] | Slot

    @property
    def is_text(self) -> bool:
        """Whether it is compared with a text."""
        return _type(self.value) is str


@dataclass(frozen=True)
class Group:
    """Conditions of which all (``and``), one (``or``) or none (``not``) are fulfilled."""

    how: str
    parts: tuple[Condition, ...]


Condition = Comparison | Group


def slotted(condition: Condition, values: dict[str, Any]) -> Condition:
    """Return a condition with slots for its values, which are added to the given ones."""
    if isinstance(condition, Group):
        return Group(condition.how, tuple(slotted(part, values) for part in condition.parts))
    value: Any = condition.value
    if condition.key in NUMBERS_OF_ENTRIES:  # PostgreSQL has no index of them as floating numbers
        most = 1 << 31 if condition.key == "version" else 1 << 63
        value = _whole_ones(value, most) if isinstance(value, tuple) else _whole(value, most)
    elif _type(value) is str:
        value = tuple(map(kept_text, value)) if isinstance(value, tuple) else kept_text(value)
    slot = Slot(f"value{len(values)}", _type(value))
    values[slot.name] = list(value) if isinstance(value, tuple) else value
    return Comparison(condition.key, condition.sign, slot)


def exact_key(key: str) -> str:
    """Return the key under which a large number has its digits as text: as a floating number it would equal its neighbours."""
    return f"={key}"


def digits_of(value: float) -> str | None:
    """Return the digits of a number that is too large to be told apart as a floating number, else None."""
    if isinstance(value, bool) or not (abs(value) >= _EXACT) or value in (float("inf"), float("-inf")):
        return None
    return str(int(value))


def kept_text(text: str) -> str:
    """Return a text as it is compared: PostgreSQL indexes no long ones, so of these the begin, and a digest of the whole."""
    if len(text) <= _LONG_TEXT:
        return text
    return f"{text[:_LONG_TEXT]}…{hashlib.sha256(text.encode()).hexdigest()}"


def as_float(value: float) -> float:
    """Return a number as a floating number; one that is too large is infinite, as comparisons see it."""
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def parse(text: str) -> list[Condition]:
    """Return the conditions of a text, which must all be fulfilled.

    >>> parse("0.1 <= val_error < 0.5")
    [Comparison(key='val_error', sign='>=', value=0.1), Comparison(key='val_error', sign='<', value=0.5)]

    Raises
    ------
    InvalidInputError
        If it is no such text.
    """
    if not isinstance(text, str):
        raise InvalidInputError(f"The condition is {text!r:.60}, expected text such as 'val_error < 0.1'.")
    return list(_parsed(text))


@lru_cache(256)  # the pages of a search, and the cells of a notebook, ask the same again
def _parsed(text: str) -> tuple[Condition, ...]:
    names: dict[str, str] = {}

    def word(match: re.Match[str]) -> str:
        if match[1] is not None:
            return match[1]
        name = f"_quoted_{len(names)}_"
        names[name] = match[2]
        return name

    try:
        read = _Reader(text, names).condition(ast.parse(_QUOTED.sub(word, text.strip()), mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        if isinstance(error, InvalidInputError):
            raise
        raise _refused(text, f"it cannot be read{_slip(text)}") from error
    count = sum(1 for _ in keys_of([read]))
    if count > _MOST_COMPARISONS:
        raise InvalidInputError(
            f"The condition has {count} comparisons, and at most {_MOST_COMPARISONS} can be searched. Write one key with many "
            "values as `key in (1, 2, 3)`, or search several times."
        )
    return read.parts if isinstance(read, Group) and read.how == "and" else (read,)


def equal(metadata: Mapping[str, Any]) -> list[Condition]:
    """Return the conditions that each given key has exactly this value.

    Raises
    ------
    InvalidInputError
        For a value that is neither number, truth value nor text.
    """
    if not isinstance(metadata, Mapping):
        raise InvalidInputError(f"metadata is {metadata!r:.60}, expected a dict such as {{'layers': 3}}.")
    found: list[Condition] = []
    for key, value in metadata.items():
        if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
            value = value.item()  # a number of numpy or torch
        if isinstance(value, str):
            value = str(value)  # also a kind
        if not isinstance(value, (int, float, str)):
            raise InvalidInputError(
                f"metadata[{key!r}] is {value!r:.60}, and only numbers, texts, True and False can be searched for."
            )
        found.append(_comparison(str(key), "==", value))
    return found


def keys_of(conditions: Iterable[Condition]) -> Iterator[str]:
    """Yield the keys that conditions compare."""
    for condition in conditions:
        if isinstance(condition, Comparison):
            yield condition.key.removeprefix("=")
        else:
            yield from keys_of(condition.parts)


class _Reader:
    """Reads the syntax tree of a condition.

    Parameters
    ----------
    text : str
        For messages.
    names : mapping
        What stands in the tree for keys in backticks, to these keys.
    """

    def __init__(self, text: str, names: Mapping[str, str]) -> None:
        self._text = text
        self._names = names

    def condition(self, node: ast.expr) -> Condition:
        """Return what a part of the tree says."""
        if isinstance(node, ast.BoolOp):
            how = "and" if isinstance(node.op, ast.And) else "or"
            return _group(how, [self.condition(value) for value in node.values])
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return Group("not", (self.condition(node.operand),))
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            pairs = zip(sides, node.ops, sides[1:], strict=False)
            return _group("and", [self._compared(left, op, right) for left, op, right in pairs])
        if isinstance(node, ast.Name):
            return Comparison(self._key(node), "==", 1.0)
        raise self._refused(f"{self._shown(node)} is no comparison")

    def _compared(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Condition:
        if isinstance(left, ast.Name) and isinstance(op, (ast.In, ast.NotIn)):
            nodes = right.elts if isinstance(right, (ast.Tuple, ast.List, ast.Set)) else []
            if not nodes:
                raise self._refused(f"after 'in' a list is expected, not {self._shown(right)}")
            found = self._one_of(self._key(left), [self._value(node) for node in nodes])
            return found if isinstance(op, ast.In) else Group("not", (found,))
        sign = _SIGNS.get(type(op))
        if sign is None:
            raise self._refused("only <, <=, >, >=, ==, != and in compare")
        if isinstance(left, ast.Name):
            return _comparison(self._key(left), sign, self._value(right))
        if isinstance(right, ast.Name):
            return _comparison(self._key(right), _MIRRORED[sign], self._value(left))
        raise self._refused(f"neither {self._shown(left)} nor {self._shown(right)} is a key")

    def _one_of(self, key: str, values: Sequence[Value]) -> Condition:
        """Return the condition that a key has one of some values."""
        if len(values) > _MOST_VALUES:
            raise InvalidInputError(
                f"{key!r} is compared with {len(values)} values, and at most {_MOST_VALUES} can be searched at once. "
                "Search several times, each for some of them."
            )
        if len(values) == 1:
            return _comparison(key, "==", values[0])
        found: dict[tuple[str, type], dict[Value, None]] = {}
        for value in values:
            digits = None if isinstance(value, str) or key in NUMBERS_OF_ENTRIES else digits_of(value)
            name = key if digits is None else exact_key(key)
            plain: Value = digits or (value if isinstance(value, str) else as_float(value))
            found.setdefault((name, type(plain)), {})[plain] = None
        return _group("or", [Comparison(name, "in", tuple(some)) for (name, _), some in found.items()])

    def _key(self, node: ast.Name) -> str:
        return self._names.get(node.id, node.id)

    def _value(self, node: ast.expr) -> Value:
        try:
            value = ast.literal_eval(node)
        except (ValueError, SyntaxError):
            hint = ""
            if isinstance(node, ast.Name) and node.id.lower() in ("true", "false"):
                hint = f"; write {node.id.capitalize()}"
            elif isinstance(node, ast.Name):
                hint = f"; write text in quotes: {self._key(node)!r}"
            raise self._refused(f"{self._shown(node)} is no value{hint}") from None
        if isinstance(value, (int, float, str)):
            return value
        raise self._refused(f"{value!r} is neither a number nor a text")

    def _shown(self, node: ast.expr) -> str:
        shown = ast.unparse(node)
        for name, key in self._names.items():
            shown = shown.replace(name, f"`{key}`")
        return repr(shown)

    def _refused(self, why: str) -> InvalidInputError:
        return _refused(self._text, why)


def _group(how: str, parts: list[Condition]) -> Condition:
    flat: list[Condition] = []
    for part in parts:
        flat += part.parts if isinstance(part, Group) and part.how == how else (part,)
    return flat[0] if len(flat) == 1 else Group(how, tuple(flat))


def _comparison(key: str, sign: str, value: Value) -> Condition:
    """Return the comparison of a key with a value; large numbers are equal by their digits."""
    if isinstance(value, str):
        return Comparison(key, sign, value)
    digits = digits_of(value) if sign in ("==", "!=") and key not in NUMBERS_OF_ENTRIES else None
    if digits is None:
        return Comparison(key, sign, as_float(value))
    equal_to = Comparison(exact_key(key), "==", digits)
    if sign == "==":
        return equal_to
    return Group("and", (Group("not", (equal_to,)), Comparison(key, "<=", float("inf"))))  # it has a number


def _type(value: Any) -> type:
    if isinstance(value, Slot):
        return value.type
    return type(value[0]) if isinstance(value, tuple) else type(value)


def _whole(value: Value, most: int) -> Value:
    is_whole = isinstance(value, float) and value.is_integer() and abs(value) < most
    return int(value) if is_whole else value


def _whole_ones(values: tuple[Value, ...], most: int) -> tuple[Value, ...]:
    """Return those of some values that a column of whole numbers may have; it has no -1, where there would be nothing."""
    found = (_whole(value, most) for value in values)
    return tuple(value for value in found if not isinstance(value, float)) or (-1,)


def _slip(text: str) -> str:
    """Return what is to be written in the place of what is often written; nothing if it is something else."""
    if size := re.search(r"(?<![\w'\"])(\d[\d.]*\s*[kKMGT]i?B)\b", text):
        return f". Write sizes in quotes: size > '{size[1]}'"
    if re.search(r"\blike\b", text):
        return ". Patterns are for names: ws.entries.list(name='run*')"
    return ". Write == for what is equal" if re.search(r"(?<![<>=!])=(?!=)", text) else ""


def _refused(text: str, why: str) -> InvalidInputError:
    shown = text if len(text) <= 200 else f"{text[:200]}…"
    return InvalidInputError(
        f"The condition {shown!r} is not understood: {why}. "
        "Write such as \"val_error < 0.1 and uq_type == 'faiss'\"; a key that is no word stands in backticks: "
        '"`learning rate` < 0.1".'
    )
