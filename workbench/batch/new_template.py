"""A template made from an algorithm: load inputs, run, show, record."""

from __future__ import annotations

import keyword
from typing import TYPE_CHECKING, Any

from workbench.algorithms.declarations import Findings
from workbench.algorithms.kinds import KINDS
from workbench.batch.parameter_cell import read_cell
from workbench.models import ParameterSpec

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from workbench.algorithms.algorithm import Algorithm

_ITEMS = {str: "str", int: "int", float: "float", bool: "bool", dict: "dict", object: "Any"}
_FACTS = (
    *("type", "default", "description", "unit", "min", "max", "min_excluded", "max_excluded"),
    *("options", "optional", "length", "multiple_of"),
)
_OWN = {"inputs", "run", "ws", "workbench", "display"}  # names that the cells below use


def new_template(algorithm: Algorithm) -> NotebookNode:
    """Return a notebook that runs an algorithm, with its parameters in a cell tagged ``parameters``.

    Types, defaults, units, ranges and options are written into that cell, so it says by itself what it takes; the metadata
    name the algorithm, whose declarations go first wherever a workspace is at hand.
    """
    from nbformat import v4

    specs = algorithm.parameters.specs
    needs_input = algorithm.revision.type.input_key != "data"  # others may do without
    names = {spec.name: _variable(spec.name) for spec in specs}
    values = "".join(f"    {_written(name)}: {variable},\n" for name, variable in names.items())
    given = f"{{\n{values}}}" if values else "{}"
    cells = [
        v4.new_markdown_cell(f"# {algorithm.name}\n\n{algorithm.description}".rstrip()),
        v4.new_code_cell(parameters_cell(specs, needs_input=needs_input), metadata={"tags": ["parameters"]}),
        v4.new_markdown_cell("## Run"),
        v4.new_code_cell(
            "import workbench\n\n"
            "ws = workbench.current()\n"
            f'run = ws.run("{algorithm.ref}", inputs, {given}, executor="kernel")\n'
            "run.result()  # raises what went wrong, and so ends this notebook\n"
            "run"
        ),
        v4.new_markdown_cell("## Look"),
        v4.new_code_cell("for output in run.outputs:\n    display(output)"),
        v4.new_markdown_cell("## Record\n\nWhat is recorded is a column of the sweep's table."),
        v4.new_code_cell(
            'workbench.record("run", run.id)\n'
            'workbench.record("seconds", run.record.seconds)\n'
            "for output in run.datasets:\n"
            '    workbench.record("outputs", output, append=True)'
        ),
    ]
    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata: dict[str, Any] = {"kernelspec": spec}
    if all(name == variable for name, variable in names.items()):
        metadata["workbench"] = {"algorithm": algorithm.ref}
    return v4.new_notebook(cells=cells, metadata=metadata)


def parameters_cell(specs: tuple[ParameterSpec, ...], *, needs_input: bool = True) -> str:
    """Return the source of a parameters cell that declares the inputs, required if the algorithm needs some, and these parameters."""
    default = "" if needs_input else " = []"
    lines = [f"inputs: list[str]{default}  # Ids or names of datasets, or files", *map(_line, specs)]
    text = "\n".join(lines)
    typing = [name for name in ("Annotated", "Any", "Literal") if f"{name}[" in text or f": {name} " in text]
    imports = [f"from typing import {', '.join(typing)}"] if typing else []
    imports += ["from pydantic import Field"] if "Field(" in text else []
    blank = [""] if imports else []
    # apart, as formatters put packages of others
    return "\n".join([*"\n\n".join(imports).split("\n"), *blank, *lines] if imports else lines)


def _line(spec: ParameterSpec) -> str:
    """Return the line that declares a parameter: with a comment where that says all, else with a ``Field``."""
    name, type_ = _variable(spec.name), _type(spec)
    default = _default(spec)
    comment = _comment(spec)
    line = f"{name}: {type_}{default}" + (f"  # {comment}" if comment else "")
    return line if _says_all(line, spec) else f"{name}: Annotated[{type_}, {_field(spec)}]{default}"


def _says_all(line: str, spec: ParameterSpec) -> bool:
    findings = Findings()
    read = read_cell(line, findings).specs
    if findings.problems or len(read) != 1:
        return False
    said = read[0].model_copy(update={"description": read[0].description.rstrip(".")})
    meant = spec.model_copy(update={"description": spec.description.rstrip(".")})
    return all(getattr(said, fact) == getattr(meant, fact) for fact in _FACTS)


def _type(spec: ParameterSpec) -> str:
    kind = KINDS[spec.type]
    item = _ITEMS[kind.item]
    if kind.form == "enum" or (spec.options and not kind.is_sequence):
        item = f"Literal[{', '.join(map(_written, spec.options))}]"
    text = item
    if kind.form == "list":
        inner = spec.options and not isinstance(spec.options[0], tuple)
        text = f"list[Literal[{', '.join(map(_written, spec.options))}]]" if inner else f"list[{item}]"
    elif kind.form == "tuple":
        text = f"tuple[{', '.join([item] * (spec.length or 1))}]"
    return f"{text} | None" if spec.optional and kind.item is not object else text


def _default(spec: ParameterSpec) -> str:
    if spec.default is None:
        return " = None" if spec.optional else ""
    text = _written(spec.default)
    if isinstance(spec.default, float) and text in {"inf", "-inf", "nan"}:
        text = f'float("{text}")'
    return f" = {text}"


def _comment(spec: ParameterSpec) -> str:
    parts = [" ".join(spec.description.split())] if spec.description else []
    low, high = spec.min, spec.max
    if parts and (spec.unit or low is not None or high is not None):
        parts[0] = parts[0].rstrip(".")
    if spec.unit:
        parts = [f"{parts[0]} [{spec.unit}]" if parts else f"[{spec.unit}]"]
    if low is not None and high is not None and not (spec.min_excluded or spec.max_excluded):
        parts.append(f"{low!r}..{high!r}")
    else:
        parts += [f"{'>' if spec.min_excluded else '>='} {low!r}"] if low is not None else []
        parts += [f"{'<' if spec.max_excluded else '<='} {high!r}"] if high is not None else []
    return ", ".join(parts)


def _field(spec: ParameterSpec) -> str:
    said = {
        "gt" if spec.min_excluded else "ge": spec.min,
        "lt" if spec.max_excluded else "le": spec.max,
        "multiple_of": spec.multiple_of,
        "description": spec.description or None,
    }
    extra = {"unit": spec.unit or None, "step": spec.step}
    kept = {key: value for key, value in extra.items() if value is not None}
    if kept:
        said["json_schema_extra"] = kept  # type: ignore[assignment]
    return f"Field({', '.join(f'{key}={value!r}' for key, value in said.items() if value is not None)})"


def _written(value: Any) -> str:
    """Return a literal with double quotes, as formatters write it."""
    is_simple = isinstance(value, str) and value.isprintable() and not set(value) & set("'\"\\")
    return f'"{value}"' if is_simple else repr(value)


def _variable(name: str) -> str:
    """Return the name of the variable that holds a parameter: its own where that is free and a Python name."""
    free = (
        name.isidentifier() and not keyword.iskeyword(name) and name not in _OWN and not name.startswith("_")
    )
    cleaned = "".join(c if c.isalnum() else "_" for c in name).strip("_")
    return name if free else f"p_{cleaned}"
