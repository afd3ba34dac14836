"""The cell tagged ``parameters`` → `ParameterSpec` records, read from its syntax tree."""

from __future__ import annotations

import ast
import contextlib
import io
import re
import sys
import tokenize
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import Enum
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Annotated, Any, cast, get_args

from pydantic.fields import FieldInfo

from workbench.algorithms.declarations import Findings, check_declaration
from workbench.algorithms.from_model import UnsupportedFieldError, read_field
from workbench.batch.comments import Comment, read_comment
from workbench.batch.restricted import UnreadableError, read_annotation, read_constraint, read_value
from workbench.models import ParameterSpec

_MISSING: Any = object()
_NUMBERS = ("int", "float")


@dataclass
class ParameterCell:
    """What a parameters cell declares.

    ``computed`` names the parameters whose default only the cell itself knows (``folder = os.getcwd()``): they need no value,
    and without one the cell's own stands. ``model_variable`` is what the cell calls an instance of its pydantic model;
    ``enums`` names the class of each parameter that is a member of an enum in the cell. ``is_unread``: it may declare more, in
    a language that is not read here.
    """

    specs: list[ParameterSpec] = field(default_factory=list)
    computed: frozenset[str] = frozenset()
    model: str = ""
    model_variable: str = ""
    enums: dict[str, str] = field(default_factory=dict)
    is_unread: bool = False


def read_cell(source: str, findings: Findings, model: str = "", folder: str = "") -> ParameterCell:
    """Return what the source of a parameters cell declares; what is wrong goes to ``findings``.

    Parameters
    ----------
    source : str
        Python: ``sigma: float = 2.0  # Width of the blur, px, 0..10`` on lines of their own, or a pydantic model.
    findings : Findings
    model : str
        The class that declares the parameters; default: the one class in the cell that derives from ``BaseModel``. One that the
        cell imports, or ``module:Class``, is read in the source of its module.
    folder : str
        Where the notebook lies: its modules may lie there too.
    """
    try:
        source = _without_magics(source)
        tree = ast.parse(source)
    except SyntaxError as error:
        findings.problem(
            f"The parameters cell is not Python: {error.msg}, line {error.lineno}: {(error.text or '').strip()!r}."
        )
        return ParameterCell()
    except (ValueError, RecursionError, MemoryError) as error:  # null bytes, brackets without end
        findings.problem(
            f"The parameters cell is not Python that can be read: {error or type(error).__name__}."
        )
        return ParameterCell()
    enums = _enums(tree)
    models = [n for n in tree.body if isinstance(n, ast.ClassDef) and _bases(n) & {"BaseModel", model}]
    module, name = _imported(tree, model)
    if module:
        return _read_imported(module, name, tree, folder, findings)
    if model:
        models = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == model]
        if not models:
            findings.problem(
                f"The metadata name {model!r} as the class of the parameters, and the parameters cell has none. "
                f"Define it there, import it there (from mymodule import {model}), or take workbench.parameters out of the notebook's metadata."
            )
            return ParameterCell()
    if len(models) > 1:
        names = ", ".join(n.name for n in models)
        findings.problem(
            f"The parameters cell has several models: {names}. Name one in the notebook's metadata: "
            f'"workbench": {{"parameters": "{models[0].name}"}}.'
        )
        return ParameterCell()
    reader = _Reader(_comments(source), enums, findings)
    if models:
        specs = reader.read(models[0].body, in_model=True)
        variable = _variable_of(tree, models[0].name)
        return ParameterCell(specs, frozenset(reader.computed), models[0].name, variable)
    specs = reader.read(tree.body, in_model=False)
    return ParameterCell(specs, frozenset(reader.computed), enums=reader.members)


def _imported(tree: ast.Module, model: str) -> tuple[str, str]:
    """Return the module that has the class of the parameters, and its name there; empty for one that is not imported."""
    if ":" in model:
        module, _, name = model.partition(":")
        return module, name
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                if model and model == (alias.asname or alias.name):
                    return node.module, alias.name
    return "", ""


def _read_imported(
    module: str, name: str, tree: ast.Module, folder: str, findings: Findings
) -> ParameterCell:
    """Return the parameters of a class in a module; the module is read, and not imported."""
    source = _module_source(module, folder)
    if source is None:
        findings.problem(
            f"The parameters are those of the class {name!r} in the module {module!r}, and no source of that module is beside the "
            "notebook or among what Python imports here. Write the class into the parameters cell."
        )
        return ParameterCell()
    cell = ParameterCell()
    if re.search(rf"^class {re.escape(name)}\b", source, re.MULTILINE):
        cell = read_cell(source, findings, name)
    else:
        findings.problem(
            f"The parameters are those of the class {name!r} in the module {module!r}, which defines none of that name. Name the "
            "module that does, or write the class into the parameters cell."
        )
    names = (
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module == module
        for alias in node.names
        if alias.name == name
    )
    local = next(names, name)
    return replace(cell, model=local, model_variable=_variable_of(tree, local))


def _module_source(module: str, folder: str) -> str | None:
    """Return the source of a module that lies in a folder or where Python looks; packages above it are not executed."""
    places = [*([folder] if folder else []), str(Path.cwd()), *sys.path]
    spec = None
    for part in module.split("."):
        spec = PathFinder.find_spec(part, places)
        if spec is None:
            return None
        places = list(spec.submodule_search_locations or ())
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        return None
    return Path(spec.origin).read_text(encoding="utf-8", errors="replace")


class _Reader:
    """Reads assignments, in order."""

    def __init__(self, comments: dict[int, str], enums: dict[str, type[Enum]], findings: Findings) -> None:
        self._comments, self._enums, self._findings = comments, enums, findings
        self.computed: set[str] = set()
        self.members: dict[str, str] = {}

    def read(self, statements: Iterable[ast.stmt], *, in_model: bool) -> list[ParameterSpec]:
        specs: list[ParameterSpec] = []
        lines: dict[str, int] = {}
        for statement in statements:
            target, annotation, value = _assignment(statement)
            if target is None or (in_model and (annotation is None or target == "model_config")):
                continue
            if target in lines:
                self._findings.problem(
                    f"Parameter {target!r} is assigned twice, in lines {lines[target]} and {statement.lineno} of the "
                    "parameters cell. Keep one, and compute in another cell."
                )
                continue
            lines[target] = statement.lineno
            text = self._comments.get(statement.end_lineno or 0, "")
            spec = self._spec(target, annotation, value, text)
            if spec is not None:
                specs.append(spec)
        return specs

    def _spec(
        self, name: str, annotation: ast.expr | None, value: ast.expr | None, text: str
    ) -> ParameterSpec | None:
        if annotation is None and (type_comment := read_comment(text).type):
            try:
                annotation = ast.parse(type_comment, mode="eval").body
            except SyntaxError:
                self._findings.warn(f"Parameter {name!r}: {type_comment!r} is no type.")
        default = self._default(name, value)
        declared = self._declared(name, annotation, default)
        # without an annotation any value will do, unless the comment speaks as one does of numbers
        is_bare_number = declared["type"] == "any" and type(default) in (int, float)
        comment = read_comment(text, is_number=is_bare_number or declared["type"].startswith(_NUMBERS))
        if is_bare_number and (comment.bounds or comment.unit):
            declared["type"] = "float" if type(default) is float else "int"
            declared["optional"] = False
        if default is None or name in self.computed:
            declared["optional"] = True
        return check_declaration(_with_comment(declared, comment), self._findings)

    def _declared(self, name: str, annotation: ast.expr | None, default: Any) -> dict[str, Any]:
        """Return the declaration of an annotation; a type that says nothing to us takes any value, with a word about it."""
        meant: Any = Any
        if annotation is not None:
            try:
                meant = read_annotation(annotation, self._enums)
            except UnreadableError as error:
                self._unchecked(name, annotation, error)
        if isinstance(meant, type) and issubclass(meant, Enum):
            self.members[name] = meant.__name__
        unit = next((m for m in getattr(meant, "__metadata__", ()) if isinstance(m, str)), "")
        try:
            declared = read_field(name, _field(_without_texts(meant), default))
        except UnsupportedFieldError as error:
            assert annotation is not None
            self._unchecked(name, annotation, error)
            declared = read_field(name, _field(Any, default))
        declared["unit"] = declared.get("unit") or unit
        return {key: value for key, value in declared.items() if value is not None}

    def _unchecked(self, name: str, annotation: ast.expr, why: Exception) -> None:
        self._findings.warn(
            f"Parameter {name!r}: the type {ast.unparse(annotation)} is not checked before a run ({why})."
        )

    def _default(self, name: str, value: ast.expr | None) -> Any:
        """Return the default, a FieldInfo, or that there is none; one that only executing would tell is noted."""
        if value is None:
            return _MISSING
        called = getattr(value, "func", None)
        is_field = getattr(called, "id", getattr(called, "attr", "")) == "Field"
        try:
            return read_constraint(value, self._enums) if is_field else read_value(value, self._enums)
        except UnreadableError as error:
            self.computed.add(name)
            self._findings.warn(f"Parameter {name!r}: its default {error} is computed by the cell.")
            return _MISSING


def _field(annotation: Any, default: Any) -> FieldInfo:
    if default is _MISSING:
        return FieldInfo.from_annotation(annotation)
    made: FieldInfo = FieldInfo.from_annotated_attribute(annotation, default)
    return made


def _with_comment(declared: dict[str, Any], comment: Comment) -> dict[str, Any]:
    """Return the declaration with what the comment adds; what the annotation says goes first."""
    for key, bound in (("ge", "min"), ("gt", "min"), ("le", "max"), ("lt", "max")):
        if key in comment.bounds and bound not in declared:
            declared[bound] = comment.bounds[key]
            if key in ("gt", "lt"):
                declared[f"{bound}_excluded"] = True
    declared["unit"] = declared.get("unit") or comment.unit
    declared["description"] = declared.get("description") or comment.description
    type_ = declared["type"]
    is_open = declared.get("min_excluded") or declared.get("max_excluded")
    if type_ in _NUMBERS and None not in (declared.get("min"), declared.get("max")) and not is_open:
        declared["type"] = f"{type_}_range"
        step = 1 if type_ == "int" else (declared["max"] - declared["min"]) / 100
        declared.setdefault("step", declared.get("multiple_of") or step)
    return declared


def _without_texts(meant: Any) -> Any:
    """Return the type without texts beside it (``Annotated[float, "px"]``), which are units."""
    if not hasattr(meant, "__metadata__"):
        return meant
    kept = [m for m in meant.__metadata__ if not isinstance(m, str)]
    inner = get_args(meant)[0]
    return Annotated[(inner, *kept)] if kept else inner


def _assignment(statement: ast.stmt) -> tuple[str | None, ast.expr | None, ast.expr | None]:
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        return statement.target.id, statement.annotation, statement.value
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target = statement.targets[0]
        if isinstance(target, ast.Name) and not target.id.startswith("_"):
            return target.id, None, statement.value
    return None, None, None


def _bases(node: ast.ClassDef) -> set[str]:
    return {base.id if isinstance(base, ast.Name) else getattr(base, "attr", "") for base in node.bases}


def _enums(tree: ast.Module) -> dict[str, type[Enum]]:
    """Return the enums that the cell defines, made anew from their members."""
    found: dict[str, type[Enum]] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and _bases(node) & {"Enum", "StrEnum", "IntEnum"}:
            members = {}
            for statement in node.body:
                name, _, value = _assignment(statement)
                if name is not None and isinstance(value, ast.Constant):
                    members[name] = value.value
            if members:
                found[node.name] = cast(type[Enum], Enum(node.name, members))
    return found


def _variable_of(tree: ast.Module, model: str) -> str:
    """Return the name that the cell gives an instance of the model: ``p = Params()``."""
    for node in tree.body:
        name, _, value = _assignment(node)
        if (
            name
            and isinstance(value, ast.Call)
            and isinstance(value.func, ast.Name)
            and value.func.id == model
        ):
            return name
    return ""


def _comments(source: str) -> dict[int, str]:
    """Return the comment at the end of each line that has one."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    except (tokenize.TokenError, SyntaxError):
        return {}
    return {t.start[0]: t.string.lstrip("# ") for t in tokens if t.type == tokenize.COMMENT}


def _without_magics(source: str) -> str:
    """Return the source with the lines of magics and shell commands made comments: they keep their line numbers."""
    lines = source.split("\n")
    plain = "\n".join(f"# {line}" if line.lstrip().startswith(("%", "!")) else line for line in lines)
    try:
        ast.parse(plain)
    except SyntaxError:
        from IPython.core.inputtransformer2 import TransformerManager

        with contextlib.suppress(SyntaxError):  # files = !ls is Python for IPython
            made = str(TransformerManager().transform_cell(plain))
            ast.parse(made)
            return made
    return plain
