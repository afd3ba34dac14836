"""Conditions on metadata, as people write them: ``val_error < 0.1 and (uq == "faiss" or not checked)``.

The text is read as a Python expression and never executed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from workbench.errors import InvalidInputError

Value = float | str
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
    """A key compared with a number or a text; an entry without the key, or with the other type, does not fulfil it."""

    key: str
    sign: str
    value: Value | Slot

    @property
    def is_text(self) -> bool:
        """Whether it is compared with a text."""
        return (self.value.type if isinstance(self.value, Slot) else type(self.value)) is str


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
    value = condition.value
    if condition.key == "version" and isinstance(value, float) and value.is_integer():
        value = int(value)  # PostgreSQL has no index of versions as floating numbers
    slot = Slot(f"value{len(values)}", type(value))
    values[slot.name] = value
    return Comparison(condition.key, condition.sign, slot)


def parse(text: str) -> list[Condition]:
    """Return the conditions of a text, which must all be fulfilled.

    >>> parse("0.1 <= val_error < 0.5")
    [Comparison(key='val_error', sign='>=', value=0.1), Comparison(key='val_error', sign='<', value=0.5)]

    Raises
    ------
    InvalidInputError
        If it is no such text.
    """
    try:
        read = _read(ast.parse(text.strip(), mode="eval").body, text)
    except (SyntaxError, ValueError, RecursionError) as error:
        if isinstance(error, InvalidInputError):
            raise
        raise _refused(text, "it cannot be read") from error
    return list(read.parts) if isinstance(read, Group) and read.how == "and" else [read]


def equal(metadata: Mapping[str, Any]) -> list[Condition]:
    """Return the conditions that each given key has exactly this value.

    Raises
    ------
    InvalidInputError
        For a value that is neither number, truth value nor text.
    """
    found: list[Condition] = []
    for key, value in metadata.items():
        if not isinstance(value, (int, float, str)):
            raise InvalidInputError(
                f"metadata[{key!r}] is {value!r:.60}, and only numbers, texts, True and False can be searched for."
            )
        found.append(Comparison(str(key), "==", value if isinstance(value, str) else float(value)))
    return found


def keys_of(conditions: Iterable[Condition]) -> Iterator[str]:
    """Yield the keys that conditions compare."""
    for condition in conditions:
        if isinstance(condition, Comparison):
            yield condition.key
        else:
            yield from keys_of(condition.parts)


def _read(node: ast.expr, text: str) -> Condition:
    if isinstance(node, ast.BoolOp):
        how = "and" if isinstance(node.op, ast.And) else "or"
        parts = [_read(value, text) for value in node.values]
        return _group(how, parts)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return Group("not", (_read(node.operand, text),))
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        pairs = zip(sides, node.ops, sides[1:], strict=False)
        return _group("and", [_compared(left, op, right, text) for left, op, right in pairs])
    if isinstance(node, ast.Name):
        return Comparison(node.id, "==", 1.0)
    raise _refused(text, f"{ast.unparse(node)!r} is no comparison")


def _group(how: str, parts: list[Condition]) -> Condition:
    flat: list[Condition] = []
    for part in parts:
        flat += part.parts if isinstance(part, Group) and part.how == how else (part,)
    return flat[0] if len(flat) == 1 else Group(how, tuple(flat))


def _compared(left: ast.expr, op: ast.cmpop, right: ast.expr, text: str) -> Condition:
    if isinstance(left, ast.Name) and isinstance(op, (ast.In, ast.NotIn)):
        values = right.elts if isinstance(right, (ast.Tuple, ast.List, ast.Set)) else []
        if not values:
            raise _refused(text, f"after 'in' a list is expected, not {ast.unparse(right)!r}")
        found = _group("or", [Comparison(left.id, "==", _value(value, text)) for value in values])
        return found if isinstance(op, ast.In) else Group("not", (found,))
    sign = _SIGNS.get(type(op))
    if sign is None:
        raise _refused(text, "only <, <=, >, >=, ==, != and in compare")
    if isinstance(left, ast.Name):
        return Comparison(left.id, sign, _value(right, text))
    if isinstance(right, ast.Name):
        return Comparison(right.id, _MIRRORED[sign], _value(left, text))
    raise _refused(text, f"neither {ast.unparse(left)!r} nor {ast.unparse(right)!r} is a key")


def _value(node: ast.expr, text: str) -> Value:
    try:
        value = ast.literal_eval(node)
    except (ValueError, SyntaxError):
        hint = f"; write text in quotes: '{node.id}'" if isinstance(node, ast.Name) else ""
        raise _refused(text, f"{ast.unparse(node)!r} is no value{hint}") from None
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)):
        return float(value)
    raise _refused(text, f"{value!r} is neither a number nor a text")


def _refused(text: str, why: str) -> InvalidInputError:
    return InvalidInputError(
        f"The condition {text!r} is not understood: {why}. "
        "Write such as \"val_error < 0.1 and uq_type == 'faiss'\"."
    )
