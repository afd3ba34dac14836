"""A pydantic model written by an algorithm's author → `ParameterSpec` records."""

from __future__ import annotations

import types
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from workbench.algorithms.declarations import Findings, check_declaration
from workbench.models import ParameterSpec

_KINDS: dict[Any, str] = {str: "string", int: "int", float: "float", bool: "bool"}
_EXTRA = ("unit", "step", "adjustable")
_SUPPORTED = "int, float, bool, str, Literal, Enum, list[...], tuple[int, int] or one of these with | None"


class UnsupportedFieldError(Exception):
    """A field that cannot be a parameter; the message says why and what can."""


def read_model(model: type[BaseModel], findings: Findings) -> list[ParameterSpec]:
    """Return one spec per field of the model; what cannot be a parameter goes to ``findings``.

    Parameters
    ----------
    model : pydantic model class
        Fields of int, float, bool, str, Literal, Enum, list, tuple of fixed length, each possibly ``| None``, with
        ``Field(ge=, gt=, le=, lt=, multiple_of=, description=, json_schema_extra={"unit": "px", "step": 0.1})``.
    findings : Findings
        Takes problems and warnings.
    """
    specs = []
    for name, field in model.model_fields.items():
        try:
            declared = read_field(name, field)
        except UnsupportedFieldError as error:
            findings.problem(f"Parameter {name!r} of {model.__name__}: {error}.")
            continue
        if not declared["description"]:
            findings.warn(f'Parameter {name!r} has no description. Add Field(description="...").')
        spec = check_declaration(declared, findings)
        if spec is not None:
            specs.append(spec)
    decorators = model.__pydantic_decorators__
    if decorators.field_validators or decorators.model_validators or decorators.validators:
        findings.warn(
            f"The validators of {model.__name__} are not asked before a run; types, ranges and options are."
        )
    return specs


def read_field(name: str, field: FieldInfo) -> dict[str, Any]:
    """Return the fields of a `ParameterSpec`, unchecked, that a field of a model declares.

    Raises
    ------
    UnsupportedFieldError
        If it cannot be a parameter.
    """
    declared = _annotation(field.annotation)
    _constraints(declared, field.metadata)
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    declared.update({key: extra[key] for key in _EXTRA if key in extra})
    try:
        default = field.get_default(call_default_factory=True, validated_data={})
    except Exception as error:
        raise UnsupportedFieldError(f"its default cannot be made: {type(error).__name__}: {error}") from error
    declared["default"] = None if default is PydanticUndefined else _plain_default(default)
    declared |= {"name": name, "description": field.description or ""}
    low, high, type_ = declared.get("min"), declared.get("max"), declared["type"]
    excluded = declared.get("min_excluded") or declared.get("max_excluded")
    if type_ in {"int", "float"} and low is not None and high is not None and not excluded:
        declared["type"] = f"{type_}_range"
        declared.setdefault(
            "step", declared.get("multiple_of") or (1 if type_ == "int" else (high - low) / 100)
        )
    return declared


def _annotation(annotation: Any) -> dict[str, Any]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        declared = _annotation(arguments[0])
        _constraints(declared, arguments[1:])
        return declared
    if origin in (Union, types.UnionType):
        members = [a for a in arguments if a is not type(None)]
        if len(members) == 1 and len(members) < len(arguments):
            return _annotation(members[0]) | {"optional": True}
        raise UnsupportedFieldError(f"a union of several types is no parameter. Use {_SUPPORTED}")
    if annotation in _KINDS:
        return {"type": _KINDS[annotation]}
    if annotation in (dict, Any) or (
        origin is dict and arguments == (str, Any)
    ):  # what it holds is not checked
        return {"type": "any", "optional": True} if annotation is Any else {"type": "dict"}
    if origin is Literal:
        return _options(arguments)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return _options(tuple(member.value for member in annotation))
    if annotation is list or annotation is tuple:
        raise UnsupportedFieldError(f"{annotation.__name__} needs the type of its items, such as list[float]")
    if origin is list or (origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis):
        return _sequence(arguments[0], "list")
    if origin is tuple and arguments:
        items = [_annotation(a) for a in arguments]
        if any(item != items[0] for item in items):
            raise UnsupportedFieldError("the items of a tuple must be of one type, such as tuple[int, int]")
        return _sequence(arguments[0], "tuple") | {"length": len(arguments)}
    name = getattr(annotation, "__name__", str(annotation))
    raise UnsupportedFieldError(f"type {name} is no parameter. Use {_SUPPORTED}")


def _sequence(item: Any, form: str) -> dict[str, Any]:
    declared = _annotation(item)
    base = declared["type"].removesuffix("_enum")
    if (
        declared.get("optional")
        or base not in _KINDS.values()
        or (form == "tuple" and base not in {"int", "float"})
    ):
        raise UnsupportedFieldError(f"a {form} of {declared['type']} items is no parameter. Use {_SUPPORTED}")
    return declared | {"type": f"{base}_{form}"}


def _options(values: tuple[Any, ...]) -> dict[str, Any]:
    kinds = {type(value) for value in values}
    if len(kinds) == 1 and next(iter(kinds)) in (str, int, float):
        return {"type": f"{_KINDS[kinds.pop()]}_enum", "options": list(values)}
    raise UnsupportedFieldError("options must all be text, all whole numbers or all numbers")


def _constraints(declared: dict[str, Any], metadata: Any) -> None:
    for constraint in metadata:
        if isinstance(constraint, FieldInfo):
            _constraints(declared, constraint.metadata)
            continue
        found = False
        for attribute, key in (
            ("ge", "min"),
            ("gt", "min"),
            ("le", "max"),
            ("lt", "max"),
            ("multiple_of",) * 2,
        ):
            bound = getattr(constraint, attribute, None)
            if bound is not None:
                declared[key] = bound
                declared |= {f"{key}_excluded": True} if attribute in {"gt", "lt"} else {}
                found = True
        if not found:
            raise UnsupportedFieldError(
                f"the constraint {constraint!r} is not known. Use ge, gt, le, lt or multiple_of, and check the rest in "
                "preprocess"
            )


def _plain_default(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (list, tuple)):
        return [_plain_default(v) for v in value]
    return value
