"""Parameter tables of a ``pyproject.toml`` → checked `ParameterSpec` records, with every problem at once."""

from __future__ import annotations

import keyword
from collections.abc import Mapping, Sequence
from typing import Any

from workbench.algorithms.kinds import KINDS, Kind, MisfitError, bounds, fit, fit_item, shown
from workbench.errors import did_you_mean
from workbench.models import ParameterSpec

_OUTER = ("name", "description", "config")
_INNER = (
    *("type", "default", "adjustable", "options", "min", "max", "step"),
    *("unit", "optional", "length", "min_excluded", "max_excluded", "multiple_of"),
)


class Findings:
    """Problems and warnings met while reading declarations."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.warnings: list[str] = []

    def problem(self, text: str) -> None:
        """Add what makes the declaration unusable."""
        self.problems.append(text)

    def warn(self, text: str) -> None:
        """Add what is worth saying."""
        self.warnings.append(text)


def read_tables(tables: Any, findings: Findings, *, compox: bool = False) -> list[ParameterSpec]:
    """Return the specs of the tables that are right; what is wrong goes to ``findings``.

    Parameters
    ----------
    tables : list of dict
        ``{name, description, config: {type, default, ...}}``; the keys of ``config`` may also stand beside ``name``.
    findings : Findings
        Takes the problems and warnings; each names the parameter and the next step.
    compox : bool
        Written for Compox: unknown keys warn, ``adjustable`` is false unless said.
    """
    if not isinstance(tables, list) or not all(isinstance(t, Mapping) for t in tables):
        findings.problem(
            f"The parameters are {shown(tables)}, expected tables. Write [[tool.workbench.parameters]]."
        )
        return []
    specs: dict[str, ParameterSpec] = {}
    for number, table in enumerate(tables, 1):
        spec = _read_table(table, number, findings, compox)
        if spec is None:
            continue
        if spec.name in specs:
            findings.problem(f"Parameter {spec.name!r} is declared twice. Rename or remove one.")
        specs[spec.name] = spec
    return list(specs.values())


def _read_table(
    table: Mapping[str, Any], number: int, findings: Findings, compox: bool
) -> ParameterSpec | None:
    name = table.get("name")
    if not isinstance(name, str) or not name.strip():
        findings.problem(f'Parameter number {number} has no name. Add name = "sigma" to its table.')
        return None
    if not compox and (not name.isidentifier() or name.startswith("_") or len(name) > 100):
        findings.problem(
            f"Parameter {name[:40]!r} is no Python name. Use letters, digits and '_', such as 'sigma_px'."
        )
        return None
    config = table.get("config")
    if config is None:
        fields = {k: v for k, v in table.items() if k not in _OUTER}
        unknown_outer: list[str] = []
    elif isinstance(config, Mapping):
        fields = dict(config)
        unknown_outer = [k for k in table if k not in _OUTER]
    else:
        findings.problem(
            f'Parameter {name!r}: config is {shown(config)}, expected a table such as {{type = "float"}}.'
        )
        return None
    for key in [*(k for k in fields if k not in _INNER), *unknown_outer]:
        if key in unknown_outer and key in _INNER:
            text = f"Parameter {name!r} has {key!r} beside config. Move it into config = {{...}}."
        else:
            text = f"Parameter {name!r} has the unknown key {key!r}.{did_you_mean(key, _OUTER + _INNER)}"
        if compox:
            findings.warn(f"{text} It is ignored.")
        else:
            findings.problem(f"{text} Known: {', '.join(_INNER)}.")
    description = table.get("description", "")
    if not isinstance(description, str):
        findings.problem(f"Parameter {name!r}: description is {shown(description)}, expected text.")
        description = ""
    if not description.strip():
        findings.warn(f'Parameter {name!r} has no description. Add description = "...".')
    known = {k: v for k, v in fields.items() if k in _INNER}
    return check_declaration(
        {"adjustable": not compox, **known, "name": name, "description": description}, findings
    )


def check_declaration(fields: dict[str, Any], findings: Findings) -> ParameterSpec | None:
    """Return the spec of one declared parameter with its default, options and bounds in their exact types.

    Parameters
    ----------
    fields : dict
        Fields of `ParameterSpec`, unchecked.
    findings : Findings
        Takes what is wrong.
    """
    name = fields["name"]
    before = len(findings.problems)
    type_ = fields.get("type")
    if not isinstance(type_, str) or type_ not in KINDS:
        near = did_you_mean(type_, KINDS) if isinstance(type_, str) else ""
        what = f"has type {shown(type_)}" if "type" in fields else "has no type"
        findings.problem(f"Parameter {name!r} {what}.{near} Use one of {', '.join(KINDS)}.")
        return None
    kind = KINDS[type_]
    for flag in ("adjustable", "optional", "min_excluded", "max_excluded"):
        if not isinstance(fields.get(flag, False), bool):
            findings.problem(f"Parameter {name!r}: {flag} is {shown(fields[flag])}, expected true or false.")
    if not isinstance(fields.get("unit", ""), str):
        findings.problem(f'Parameter {name!r}: unit is {shown(fields["unit"])}, expected text such as "px".')
    _check_numbers(fields, kind, findings)
    _check_options(fields, kind, findings)
    _check_length(fields, kind, findings)
    if len(findings.problems) > before:
        return None
    default = fields.pop("default", None)
    spec = ParameterSpec(**fields)
    if default is None:
        if kind.form == "enum" and not spec.optional:
            return spec.model_copy(update={"default": spec.options[0]})
        return spec
    try:
        return spec.model_copy(update={"default": fit(spec, default)})
    except MisfitError as misfit:
        findings.problem(
            f"Parameter {name!r}: default is {shown(default, spec.unit)}, expected {misfit.expected}. "
            f"Change the default or the declared {'range' if bounds(spec) else 'type or options'}."
        )
        return None


def _check_numbers(fields: dict[str, Any], kind: Kind, findings: Findings) -> None:
    name = fields["name"]
    for key in ("min", "max", "step", "multiple_of"):
        value = fields.get(key)
        if value is None:
            fields.pop(key, None)
            if kind.form == "range" and key != "multiple_of":
                findings.problem(
                    f"Parameter {name!r} is a {kind.name} without {key}. Add {key} = {_NUMBER[key]}."
                )
            continue
        if not kind.is_number or kind.form == "enum":
            findings.warn(f"Parameter {name!r}: {key} means nothing for type {kind.name} and is ignored.")
            fields.pop(key)
            continue
        try:
            number = fit_item(kind.item, value)
        except TypeError as error:
            findings.problem(
                f"Parameter {name!r}: {key} is {shown(value)}, expected {error} for type {kind.name}."
            )
            fields.pop(key)
            continue
        if number != number or number in (float("inf"), float("-inf")):
            findings.problem(f"Parameter {name!r}: {key} is {shown(value)}, expected a finite number.")
        elif key in {"step", "multiple_of"} and number <= 0:
            findings.problem(f"Parameter {name!r}: {key} is {shown(value)}, expected more than 0.")
        fields[key] = number
    low, high = fields.get("min"), fields.get("max")
    if low is not None and high is not None and not low < high:
        findings.problem(
            f"Parameter {name!r}: min is {low!r} and max is {high!r}, expected min less than max."
        )


_NUMBER = {"min": 0, "max": 10, "step": 1}


def _check_options(fields: dict[str, Any], kind: Kind, findings: Findings) -> None:
    name, options = fields["name"], fields.get("options") or ()
    fields["options"] = ()
    if not isinstance(options, (list, tuple)):
        findings.problem(f"Parameter {name!r}: options is {shown(options)}, expected a list.")
        return
    if kind.form == "enum" and not options:
        findings.problem(f"Parameter {name!r} is a {kind.name} without options. Add options = [...].")
    if options and (kind.form in {"range", "tuple"} or (kind.item is bool and not kind.is_sequence)):
        findings.warn(f"Parameter {name!r}: options mean nothing for type {kind.name} and are ignored.")
        return
    # Compox declares options of lists as whole lists; a flat list names the allowed items.
    whole = kind.is_sequence and bool(options) and all(isinstance(o, (list, tuple)) for o in options)
    checked = []
    for option in options:
        try:
            checked.append(
                tuple(fit_item(kind.item, o) for o in option) if whole else fit_item(kind.item, option)
            )
        except TypeError as error:
            findings.problem(
                f"Parameter {name!r}: option {shown(option)} does not fit type {kind.name}, expected {error}."
            )
    fields["options"] = tuple(checked)


def _check_length(fields: dict[str, Any], kind: Kind, findings: Findings) -> None:
    name, length = fields["name"], fields.get("length")
    if kind.form != "tuple":
        if length is not None:
            findings.warn(f"Parameter {name!r}: length means nothing for type {kind.name} and is ignored.")
            fields.pop("length")
    elif isinstance(length, bool) or not isinstance(length, int) or not 1 <= length <= 1000:
        what = "has no length" if length is None else f"has length {shown(length)}"
        findings.problem(f"Parameter {name!r} is a {kind.name} and {what}. Add length = 2.")


def is_callable_name(name: str) -> bool:
    """Tell whether the name can be written as a keyword argument."""
    return name.isidentifier() and not keyword.iskeyword(name)


def restored(specs: Sequence[ParameterSpec]) -> tuple[ParameterSpec, ...]:
    """Return specs read back from JSON with tuples and floats as they were declared."""
    out = []
    for spec in specs:
        options = tuple(tuple(o) if isinstance(o, list) else o for o in spec.options)
        spec = spec.model_copy(update={"options": options})
        if spec.default is not None:
            spec = spec.model_copy(update={"default": fit(spec, spec.default)})
        out.append(spec)
    return tuple(out)
