"""What code means, as digests: of a package, of its modules, of what they define.

The digests are over the syntax trees. Comments, line breaks and the spelling of literals are not in a tree; docstrings are
taken out of it, unless something in the package asks for ``__doc__``. Trees differ between minor versions of Python, and
so may the digests.
"""

from __future__ import annotations

import ast
import io
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from workbench.algorithms.package import digest

#: a constant is shown with its value up to this length
SHOWN = 60
_ASKS_FOR_DOCSTRINGS = frozenset({"__doc__", "getdoc"})
_ASKS_FOR_SOURCE = frozenset({"getsource", "getsourcelines", "findsource"})
_FILE = "<code of a package>"
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_HAS_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, slots=True)
class ModuleCode:
    """What one module means.

    Parameters
    ----------
    digest : str
    definitions : dict of str to str
        What it defines (``function smooth``, ``method Runner.inference``, ``imports``) to a digest.
    constants : dict of str to str
        Short assignments (``constant ITERATIONS``) to the source of their value.
    """

    digest: str
    definitions: dict[str, str]
    constants: dict[str, str]


@dataclass(frozen=True, slots=True)
class Code:
    """What a package means: one digest, and its modules by path."""

    digest: str
    modules: dict[str, ModuleCode]


def read_code(package: bytes) -> Code:
    """Return what the code of a package means; see `code_of`."""
    with zipfile.ZipFile(io.BytesIO(package)) as file:
        return code_of({name: file.read(name) for name in file.namelist()})


def code_of(sources: Mapping[str, bytes]) -> Code:
    """Return what modules mean, given by path and source.

    What cannot be parsed, or asks for its own source, counts byte by byte.

    >>> code_of({"m.py": b"x = 1  # one"}).digest == code_of({"m.py": b"x  =  1"}).digest
    True
    """
    trees = {path: _parse(source) for path, source in sources.items()}
    names = {name for tree in trees.values() if tree is not None for name in _names(tree)}
    if names & _ASKS_FOR_SOURCE:
        trees = dict.fromkeys(trees)
    keep_docstrings = bool(names & _ASKS_FOR_DOCSTRINGS)
    modules = {}
    for path in sorted(sources):
        module = None if (tree := trees[path]) is None else _module(tree, keep_docstrings)
        # such a digest is never that of a tree
        modules[path] = module or ModuleCode(digest(b"bytes " + sources[path]), {}, {})
    whole = "\n".join(f"{path}\0{module.digest}" for path, module in modules.items())
    return Code(digest(whole.encode("utf-8", "surrogatepass")), modules)


def differences(old: Code, new: Code) -> list[str]:
    """Name what differs, one line each: ``filters.py: function smooth changed``."""
    lines = [f"{path}: added" for path in new.modules if path not in old.modules]
    lines += [f"{path}: gone" for path in old.modules if path not in new.modules]
    for path in old.modules.keys() & new.modules.keys():
        before, after = old.modules[path], new.modules[path]
        if before.digest != after.digest:
            lines += [f"{path}: {what}" for what in _changes(before, after) or ["changed"]]
    return sorted(lines)


def _changes(old: ModuleCode, new: ModuleCode) -> list[str]:
    before = {**old.definitions, **old.constants}
    after = {**new.definitions, **new.constants}
    lines = []
    for name in dict.fromkeys([*before, *after]):
        if name not in after:
            lines.append(f"{name} gone")
        elif name not in before:
            lines.append(f"{name} added" + (f", {after[name]}" if name in new.constants else ""))
        elif before[name] != after[name]:
            shown = name in old.constants and name in new.constants
            lines.append(f"{name} {before[name]} -> {after[name]}" if shown else f"{name} changed")
    if not lines and before:
        return ["order of its statements changed"]
    return lines


# -- trees


def _parse(source: bytes) -> ast.Module | None:
    import warnings

    # Invalid escape sequences are their author's to see. `catch_warnings` would put back what a run in another thread, whose
    # warnings are captured, has hooked meanwhile.
    warnings.filterwarnings("ignore", module=_FILE)
    try:
        return ast.parse(source, filename=_FILE)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield node.name
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value  # getattr(function, "__doc__")


def _module(tree: ast.Module, keep_docstrings: bool) -> ModuleCode | None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant):
            node.kind = None  # u"text" is "text"
        elif isinstance(node, _HAS_DOCSTRING) and not keep_docstrings:
            _drop_docstring(node)
    outline = _Outline()
    try:
        outline.read(tree.body, "")
    except RecursionError:
        return None
    return ModuleCode(outline.digest(), _joined(outline.definitions), _joined(outline.constants))


def _drop_docstring(node: ast.Module | ast.ClassDef | _Function) -> None:
    first = node.body[0] if node.body else None
    if (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    ):
        del node.body[0]


class _Outline:
    """Reads the statements of a module in their order, classes with their members."""

    def __init__(self) -> None:
        self.definitions: dict[str, list[str]] = {}
        self.constants: dict[str, list[str]] = {}
        self._sequence: list[str] = []

    def digest(self) -> str:
        """Return the digest of all that was read; the order counts, for statements may build on each other."""
        return digest("\n".join(self._sequence).encode())

    def read(self, body: Sequence[ast.stmt], owner: str) -> None:
        for node in body:
            if isinstance(node, ast.ClassDef):
                members, node.body = node.body, []
                self._add(self.definitions, f"class {owner}{node.name}", _digest(node))
                self.read(members, f"{owner}{node.name}.")
                self._sequence.append("end")
            elif isinstance(node, _Function):
                kind = "method" if owner else "function"
                self._add(self.definitions, f"{kind} {owner}{node.name}", _digest(node))
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                self._add(self.definitions, "imports", _digest(node))
            elif (name := _assigned(node)) is not None:
                self._assignment(f"constant {owner}{name}", node)
            elif not isinstance(node, ast.Pass):
                where = f"statements of class {owner[:-1]}" if owner else "statements"
                self._add(self.definitions, where, _digest(node))

    def _assignment(self, name: str, node: ast.stmt) -> None:
        value = getattr(node, "value", None)
        text = ast.unparse(value) if value is not None else ""
        if 0 < len(text) <= SHOWN:
            self._add(self.constants, name, text, _digest(node))
        else:
            self._add(self.definitions, name, _digest(node))
        if isinstance(node, ast.AnnAssign):
            self._add(self.definitions, f"annotation of {name.partition(' ')[2]}", _digest(node.annotation))

    def _add(self, where: dict[str, list[str]], name: str, shown: str, exact: str = "") -> None:
        where.setdefault(name, []).append(shown)
        self._sequence.append(f"{name} {exact or shown}")


def _assigned(node: ast.stmt) -> str | None:
    """Return the one name that a statement gives a value to."""
    targets = node.targets if isinstance(node, ast.Assign) else []
    if isinstance(node, ast.AnnAssign):
        targets = [node.target]
    [target] = targets if len(targets) == 1 else [None]
    return target.id if isinstance(target, ast.Name) else None


def _digest(node: ast.AST) -> str:
    return digest(ast.dump(node, annotate_fields=False).encode("utf-8", "surrogatepass"))


def _joined(found: Mapping[str, list[str]]) -> dict[str, str]:
    """Return one text per name: a name that is defined several times has changed if any of them has."""
    return {name: ", then ".join(texts) for name, texts in found.items()}
