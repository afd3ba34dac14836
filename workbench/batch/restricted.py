"""Annotations and defaults of a parameters cell, read from its syntax tree: nothing of the cell is executed."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Annotated, Any, Literal, Optional, Union

_NUMBERS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_MAX_POWER = 64  # 2 ** 64 is a number that people write; 9 ** 9 ** 9 would never end
_TYPES: dict[str, Any] = {
    "int": int, "float": float, "str": str, "bool": bool, "dict": dict, "list": list, "tuple": tuple,
    "Dict": dict, "List": list, "Tuple": tuple, "Mapping": dict, "Sequence": list, "Any": Any, "object": Any,
    "None": None, "Optional": Optional, "Union": Union, "Literal": Literal, "Annotated": Annotated,
}  # fmt: skip


class UnreadableError(Exception):
    """The expression cannot be known without executing it; the message is the expression."""


def read_value(node: ast.expr, enums: Mapping[str, type[Enum]] | None = None) -> Any:
    """Return the value of an expression: literals, arithmetic with numbers, members of enums in the cell.

    Raises
    ------
    UnreadableError
        For anything else.
    """
    enums = enums or {}
    if isinstance(node, ast.Constant):
        if isinstance(node.value, (str, int, float, bool, type(None))):
            return node.value
    elif isinstance(node, (ast.List, ast.Tuple)):
        items = [read_value(item, enums) for item in node.elts]
        return items if isinstance(node, ast.List) else tuple(items)
    elif isinstance(node, ast.Dict) and None not in node.keys:
        keys = [read_value(key, enums) for key in node.keys if key is not None]
        if all(isinstance(key, str) for key in keys):
            return dict(zip(keys, [read_value(value, enums) for value in node.values], strict=True))
    elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in enums:
        if node.attr in enums[node.value.id].__members__:
            return enums[node.value.id][node.attr]
    elif isinstance(node, (ast.UnaryOp, ast.BinOp)):
        return _computed(node, enums)
    elif (  # float("inf")
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "float"
        and len(node.args) == 1
        and not node.keywords
    ):
        try:
            return float(read_value(node.args[0], enums))
        except (TypeError, ValueError):
            pass
    raise UnreadableError(ast.unparse(node))


def _computed(node: ast.UnaryOp | ast.BinOp, enums: Mapping[str, type[Enum]]) -> Any:
    values = [read_value(node.operand, enums)] if isinstance(node, ast.UnaryOp) else []
    if isinstance(node, ast.BinOp):
        values = [read_value(node.left, enums), read_value(node.right, enums)]
    if not all(isinstance(value, (int, float)) for value in values):
        raise UnreadableError(ast.unparse(node))
    try:
        if isinstance(node, ast.UnaryOp):
            if isinstance(node.op, ast.Not):
                return not values[0]
            if isinstance(node.op, (ast.USub, ast.UAdd)):
                return -values[0] if isinstance(node.op, ast.USub) else values[0]
        elif type(node.op) in _NUMBERS:
            return _NUMBERS[type(node.op)](*values)
        elif isinstance(node.op, ast.Pow) and abs(values[1]) <= _MAX_POWER and 0 < values[0] <= 1000:
            return values[0] ** values[1]
    except ArithmeticError:  # 1 / 0
        pass
    raise UnreadableError(ast.unparse(node))


def read_annotation(node: ast.expr, enums: Mapping[str, type[Enum]] | None = None) -> Any:
    """Return the type that an annotation means, such as ``Annotated[float | None, Field(ge=0)]``.

    Raises
    ------
    UnreadableError
        For names other than those of the built-in types, ``typing``, and the enums in the cell.
    """
    enums = enums or {}
    if isinstance(node, ast.Constant):
        if node.value is None:
            return None
        if isinstance(node.value, str):  # a forward reference
            try:
                return read_annotation(ast.parse(node.value, mode="eval").body, enums)
            except SyntaxError:
                raise UnreadableError(node.value) from None
    elif isinstance(node, ast.Name):
        if node.id in enums:
            return enums[node.id]
        if node.id in _TYPES:
            return _TYPES[node.id]
    elif isinstance(node, ast.Attribute) and node.attr in _TYPES:  # typing.Literal, t.Optional
        return _TYPES[node.attr]
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return Union[read_annotation(node.left, enums), read_annotation(node.right, enums)]  # noqa: UP007
    elif isinstance(node, ast.Subscript):
        return _subscripted(node, enums)
    raise UnreadableError(ast.unparse(node))


def _subscripted(node: ast.Subscript, enums: Mapping[str, type[Enum]]) -> Any:
    outer = read_annotation(node.value, enums)
    inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    arguments: list[Any]
    if outer is Literal:
        arguments = [read_value(item, enums) for item in inner]
    elif outer is Annotated:
        arguments = [read_annotation(inner[0], enums), *(read_constraint(item, enums) for item in inner[1:])]
    else:
        arguments = [
            ... if isinstance(item, ast.Constant) and item.value is ... else read_annotation(item, enums)
            for item in inner
        ]
    try:
        return outer[tuple(arguments) if len(arguments) > 1 else arguments[0]]
    except TypeError:
        raise UnreadableError(ast.unparse(node)) from None


def read_constraint(node: ast.expr, enums: Mapping[str, type[Enum]] | None = None) -> Any:
    """Return what stands beside a type: a text, or ``Field(...)``, ``Ge(0)``, ``Interval(ge=0, le=10)`` as a FieldInfo.

    Raises
    ------
    UnreadableError
        For anything else.
    """
    from pydantic import Field

    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if not isinstance(node, ast.Call):
        raise UnreadableError(ast.unparse(node))
    name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
    keywords = {k.arg: k.value for k in node.keywords if k.arg is not None}
    if len(keywords) < len(node.keywords):
        raise UnreadableError(ast.unparse(node))
    values = {key: read_value(value, enums) for key, value in keywords.items() if key != "default_factory"}
    if "default_factory" in keywords:
        values["default"] = _made(keywords["default_factory"])
    if name in {"Ge", "Gt", "Le", "Lt", "MultipleOf"} and len(node.args) == 1:
        key = "multiple_of" if name == "MultipleOf" else name.lower()
        return Field(**{key: read_value(node.args[0], enums)})
    if name in {"Interval", "Field"} and len(node.args) <= (name == "Field"):
        required = node.args and isinstance(node.args[0], ast.Constant) and node.args[0].value is ...
        given = {} if required or not node.args else {"default": read_value(node.args[0], enums)}
        try:
            return Field(**given, **values)
        except TypeError as error:
            raise UnreadableError(f"{ast.unparse(node)} ({error})") from None
    raise UnreadableError(ast.unparse(node))


def _made(factory: ast.expr) -> Any:
    """Return what a default factory makes, if it is list, dict or a lambda over a readable value."""
    if isinstance(factory, ast.Name) and factory.id in {"list", "dict"}:
        return [] if factory.id == "list" else {}
    if isinstance(factory, ast.Lambda):
        return read_value(factory.body)
    raise UnreadableError(ast.unparse(factory))
