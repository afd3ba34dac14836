"""The parameters of an algorithm: one pydantic model made from their declarations validates, fills and describes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

from workbench.algorithms.declarations import Findings, is_callable_name, read_tables, restored
from workbench.algorithms.kinds import KINDS, MisfitError, bounds, example, fit, shown
from workbench.algorithms.literals import literal
from workbench.errors import InvalidAlgorithmError, InvalidParameterError, did_you_mean
from workbench.models import ParameterSpec

if TYPE_CHECKING:
    from pydantic import BaseModel

_JSON_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", dict: "object"}


class Parameters:
    """The declared parameters of one algorithm.

    Parameters
    ----------
    specs : sequence of ParameterSpec
        The declarations, in the order in which forms show them.
    algorithm : str
        ``name@major.minor``, for messages.
    compox : bool
        Written for Compox: a parameter without a default may be left out, and then the Runner does not get it.
    what : str
        What declares them, for messages: ``algorithm`` or ``template``.

    >>> parameters = Parameters([ParameterSpec(name="sigma", type="float", default=1.0, min=0.0, unit="px")])
    >>> parameters.validate({"sigma": 2})
    {'sigma': 2.0}
    """

    def __init__(
        self,
        specs: Sequence[ParameterSpec],
        algorithm: str = "",
        compox: bool = False,
        what: str = "algorithm",
    ) -> None:
        self.specs = restored(specs)
        self.algorithm = algorithm
        self.compox = compox
        self.what = what

    @classmethod
    def from_tables(
        cls, tables: Sequence[Mapping[str, Any]], algorithm: str = "", compox: bool = False
    ) -> Parameters:
        """Read the tables of a ``pyproject.toml``: ``{name, description, config: {type, default, ...}}``.

        Raises
        ------
        InvalidAlgorithmError
            With every problem at once in ``problems``.
        """
        findings = Findings()
        return cls._checked(read_tables(list(tables), findings, compox=compox), findings, algorithm, compox)

    @classmethod
    def from_model(cls, model: type[BaseModel], algorithm: str = "") -> Parameters:
        """Read the fields of a pydantic model, such as the ``Parameters`` class inside a Runner.

        Raises
        ------
        InvalidAlgorithmError
            With every field that cannot be a parameter in ``problems``.
        """
        from workbench.algorithms.from_model import read_model

        findings = Findings()
        return cls._checked(read_model(model, findings), findings, algorithm, False)

    @classmethod
    def _checked(
        cls, specs: list[ParameterSpec], findings: Findings, algorithm: str, compox: bool
    ) -> Parameters:
        if findings.problems:
            raise InvalidAlgorithmError("\n".join(findings.problems), problems=tuple(findings.problems))
        return cls(specs, algorithm, compox)

    def __getstate__(self) -> dict[str, Any]:
        # a model made here is of no module that another process could import; it is made again
        return {key: value for key, value in self.__dict__.items() if key != "model"}

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names in the declared order."""
        return tuple(spec.name for spec in self.specs)

    def __getitem__(self, name: str) -> ParameterSpec:
        for spec in self.specs:
            if spec.name == name:
                return spec
        raise InvalidParameterError(self._unknown(name), problems={name: self._unknown(name)})

    def __len__(self) -> int:
        return len(self.specs)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def is_required(self, name: str) -> bool:
        """Tell whether a run must name a value."""
        spec = self[name]
        return spec.default is None and not spec.optional and not self.compox

    def defaults(self) -> dict[str, Any]:
        """Return the declared defaults; what has none is left out, what is optional is None."""
        return {
            spec.name: None if spec.default is None else fit(spec, spec.default)
            for spec in self.specs
            if spec.default is not None or spec.optional
        }

    @cached_property
    def model(self) -> type[BaseModel]:
        """Return the pydantic model that validates values and gives the JSON Schema; fields by alias are the names."""
        from pydantic import ConfigDict, Field, PlainValidator, WithJsonSchema, create_model

        fields: dict[str, Any] = {}
        for spec in self.specs:
            title = spec.name.replace("_", " ").strip().capitalize()
            arguments: dict[str, Any] = {
                "alias": spec.name,
                "title": title,
                "description": spec.description or None,
            }
            if spec.default is not None or spec.optional or self.compox:
                arguments["default"] = spec.default
            rule = Annotated[Any, PlainValidator(_validator(spec)), WithJsonSchema(_schema(spec))]
            fields[_field_name(spec.name)] = (rule, Field(**arguments))
        return create_model(
            "Parameters", __config__=ConfigDict(extra="forbid", populate_by_name=True), **fields
        )

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the values: types, bounds, options, defaults; units and steps as ``x-`` keys."""
        return self.model.model_json_schema(by_alias=True)

    def validate(self, values: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the values of a run: checked, in their exact Python types, with the defaults filled in.

        Parameters
        ----------
        values : mapping, optional
            Name to value; numpy scalars are as good as Python's, an int is as good as a float, text is no number.

        Raises
        ------
        InvalidParameterError
            With ``problems``: name to message, all of them at once.
        """
        from pydantic import ValidationError

        given = dict(values or {})
        problems: dict[str, tuple[str, str]] = {}
        try:
            filled = self.model(**{str(name): value for name, value in given.items()})
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                name = str(detail["loc"][0])
                problems[name] = self._explain(name, detail["type"], detail.get("ctx", {}))
            raise self._error(problems) from None
        by_field = {_field_name(spec.name): spec for spec in self.specs}
        return {
            by_field[field].name: fit(by_field[field], value)
            for field, value in ((f, getattr(filled, f)) for f in by_field)
            if value is not None or by_field[field].optional
        }

    def check(self, name: str, value: Any) -> str | None:
        """Return what is wrong with one value, or None.

        >>> Parameters([ParameterSpec(name="n", type="int", min=1)]).check("n", 0)
        "Parameter 'n' is 0, expected at least 1. Pass n=1 or larger."
        """
        if name not in self:
            return self._unknown(name)
        try:
            fit(self[name], value)
        except MisfitError as misfit:
            return ". ".join(_wrong(self[name], value, misfit)) + "."
        return None

    def parse(self, name: str, text: str) -> Any:
        """Return the value that a text names, for command lines: ``2.0``, ``true``, ``[1,2]``, ``1,2,3``, ``none``.

        Text parameters take the bare text; quotes around it are removed.

        Raises
        ------
        InvalidParameterError
            If the text is no such value or the value does not fit.
        """
        spec = self[name]
        value = literal(spec, text)
        try:
            return fit(spec, value)
        except MisfitError as misfit:
            raise self._error({name: _wrong(spec, value, misfit)}) from None

    def signature(self) -> list[inspect.Parameter]:
        """Return the parameters as keyword arguments, for ``__signature__`` and so for tab completion."""
        arguments = []
        for spec in self.specs:
            if not is_callable_name(spec.name):
                continue
            default = (
                inspect.Parameter.empty if self.is_required(spec.name) else self.defaults().get(spec.name)
            )
            arguments.append(inspect.Parameter(spec.name, inspect.Parameter.KEYWORD_ONLY, default=default))
        return arguments

    def rows(self) -> list[dict[str, Any]]:
        """Return one table row per parameter: name, type, default, what is allowed, description."""
        return [
            {
                "parameter": spec.name,
                "type": spec.type + (f" of {spec.length}" if spec.length else ""),
                "default": _default_text(spec, self.is_required(spec.name)),
                "allowed": allowed(spec),
                "unit": spec.unit,
                "description": spec.description,
            }
            for spec in self.specs
        ]

    def __repr__(self) -> str:
        from workbench.pages import text_table

        return text_table(self.rows(), "No parameters.")

    def _repr_html_(self) -> str:
        from workbench.pages import html_table

        return html_table(self.rows(), "No parameters.")

    def _unknown(self, name: str) -> str:
        return ". ".join(self._explain(name, "extra_forbidden", {})) + "."

    def _explain(self, name: str, kind: str, context: Mapping[str, Any]) -> tuple[str, str]:
        if kind == "misfit":
            return str(context["wrong"]), str(context["fix"])
        if kind == "missing":
            return f"Parameter {name!r} has no value and no default", f"Pass {name}={example(self[name])!r}"
        hint = did_you_mean(name, self.names).rstrip("?").strip()
        known = (
            f"Use one of {', '.join(self.names)}"
            if self.names
            else f"The {self.what} has no parameters: leave it out"
        )
        return f"Parameter {name!r} is not known", f"{hint}? {known}" if hint else known

    def _error(self, problems: Mapping[str, tuple[str, str]]) -> InvalidParameterError:
        is_described = self.algorithm and self.what == "algorithm"
        see = f"see ws.algorithms.describe({self.algorithm.split('@')[0]!r})" if is_described else ""
        if len(problems) == 1:
            [(wrong, fix)] = problems.values()
            of = f" {self.what.capitalize()} {self.algorithm!r}." if self.algorithm else ""
            message = f"{wrong}.{of} {fix}{see and '; ' + see}."
        else:
            of = f" of {self.what} {self.algorithm!r}" if self.algorithm else ""
            lines = "".join(f"\n- {wrong}. {fix}." for wrong, fix in problems.values())
            message = f"{len(problems)} parameters{of} are wrong{see and '; ' + see}:{lines}"
        return InvalidParameterError(
            message, problems={name: f"{wrong}. {fix}." for name, (wrong, fix) in problems.items()}
        )


def allowed(spec: ParameterSpec) -> str:
    """Return which values a parameter takes, in a few words: options or range."""
    if spec.options:
        return ", ".join(shown(list(o) if isinstance(o, tuple) else o) for o in spec.options)
    limits = bounds(spec)
    return f"{limits}, step {spec.step!r}" if limits and spec.step is not None else limits


def _default_text(spec: ParameterSpec, required: bool) -> str:
    if spec.default is None:
        return "required" if required else "None" if spec.optional else ""
    return shown(spec.default)


def _wrong(spec: ParameterSpec, value: Any, misfit: MisfitError) -> tuple[str, str]:
    return f"Parameter {spec.name!r} is {shown(value, spec.unit)}, expected {misfit.expected}", misfit.fix


def _validator(spec: ParameterSpec) -> Any:
    from pydantic_core import PydanticCustomError

    def validate(value: Any) -> Any:
        try:
            return fit(spec, value)
        except MisfitError as misfit:
            wrong, fix = _wrong(spec, value, misfit)
            raise PydanticCustomError("misfit", "{wrong}. {fix}.", {"wrong": wrong, "fix": fix}) from None

    return validate


def _field_name(name: str) -> str:
    """Return a field name that pydantic takes; the parameter's own name where it can."""
    from pydantic import BaseModel

    free = is_callable_name(name) and not name.startswith(("_", "model_")) and not hasattr(BaseModel, name)
    return name if free else f"field_{name.encode().hex()}"


def _schema(spec: ParameterSpec) -> dict[str, Any]:
    kind = KINDS[spec.type]
    item: dict[str, Any] = {"type": _JSON_TYPES[kind.item]} if kind.item in _JSON_TYPES else {}
    whole = bool(spec.options) and isinstance(spec.options[0], tuple)
    if spec.options and not whole:
        item["enum"] = list(spec.options)
    if spec.min is not None:
        item["exclusiveMinimum" if spec.min_excluded else "minimum"] = spec.min
    if spec.max is not None:
        item["exclusiveMaximum" if spec.max_excluded else "maximum"] = spec.max
    if spec.multiple_of is not None:
        item["multipleOf"] = spec.multiple_of
    schema: dict[str, Any] = item
    if kind.is_sequence:
        schema = {"type": "array", "items": item}
        if whole:
            schema["enum"] = [list(option) for option in spec.options]
        if kind.form == "tuple":
            schema |= {"minItems": spec.length, "maxItems": spec.length}
    if spec.optional and kind.item is not object:  # which says nothing, so None fits already
        schema = {"anyOf": [schema, {"type": "null"}]}
    extra = {
        "x-kind": spec.type,
        "x-adjustable": spec.adjustable,
        "x-step": spec.step,
        "x-unit": spec.unit or None,
    }
    return schema | {key: value for key, value in extra.items() if value is not None}
