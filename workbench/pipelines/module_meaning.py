"""What modules mean that are not installed: their sources by syntax tree, and those of the modules that they import in turn.

A kernel may hold a module as it was before its file was edited. Where its code, or a constant, is not what the file says, that
counts too: what the one computes must never stand for the other.
"""

from __future__ import annotations

import ast
import functools
import inspect
import sys
import types
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from workbench.pipelines.compiled import code_digest
from workbench.pipelines.data_text import data_text
from workbench.pipelines.installed import is_installed, is_installed_file, with_version

#: methods of lists, dicts, sets and arrays that change them
_CHANGING = frozenset(
    [
        "add",
        "append",
        "appendleft",
        "clear",
        "discard",
        "extend",
        "fill",
        "insert",
        "pop",
        "popitem",
        "popleft",
        "put",
        "remove",
        "reverse",
        "setdefault",
        "sort",
        "update",
    ]
)
Import = tuple[str, int, tuple[str, ...]]  # name, level, and the names that are taken from it


@dataclass(frozen=True, slots=True)
class _Source:
    """What a source file says.

    Parameters
    ----------
    digest : str
        Of its meaning.
    imports : tuple of (str, int, tuple)
        Name, level, and the names that are taken from it.
    attributes : frozenset of str
        All that it looks up by a dot.
    code : frozenset of str
        Digests of all functions in it.
    constants : dict
        Values that are written out in it and given to names, for good: their texts.
    changes : dict
        For each function in it, the names of the module whose values it changes.
    """

    digest: str
    imports: tuple[Import, ...]
    attributes: frozenset[str]
    code: frozenset[str]
    constants: dict[str, str]
    changes: dict[str, frozenset[str]]


def module_lines(module: types.ModuleType, attributes: Collection[str], told: set[str]) -> Iterator[str]:
    """Yield what a module means.

    Parameters
    ----------
    module : module
    attributes : collection of str
        What is looked up by a dot where the module is named: such a module of a package is meant too.
    told : set of str
        Modules that were told before; added to.

    Raises
    ------
    OSError
        If a source is not there any more.
    """
    name = module.__name__
    if is_installed(name):
        yield f"module {with_version(name)}"
        return
    yield f"module {name}"
    if sys.modules.get(name) is module:
        yield from _followed([name, *_inside(name, attributes)], told)
    else:  # made on the fly: nothing but what it holds can be told
        yield from (f"{name} holds {found}" for found, _ in _functions(module))


def import_lines(
    imports: Iterable[Import], package: str, attributes: Collection[str], told: set[str]
) -> Iterator[str]:
    """Yield what the modules mean that code of a package imports when it runs; see `module_lines`."""
    names = [name for found in imports for name in _named(found, package)]
    yield from _followed([n for name in names for n in (name, *_inside(name, attributes))], told)


def _followed(names: Iterable[str], told: set[str]) -> Iterator[str]:
    """Yield what modules mean, and those that they import, in an order that does not depend on what was loaded when."""
    waiting, found = list(names), dict[str, tuple[str, _Source]]()
    while waiting:
        name = waiting.pop()
        path = None if name in told or name in found or is_installed(name) else _path_of(name)
        if path is None:  # known, installed, an attribute of a module, a package without a file, or not here
            continue
        stat = Path(path).stat()
        source = _read(path, stat.st_mtime_ns, stat.st_size)
        found[name] = path, source
        package = name if Path(path).name == "__init__.py" else name.rpartition(".")[0]
        for imported in source.imports:
            for other in _named(imported, package):
                waiting += [other, *_inside(other, source.attributes)]
    told.update(found)
    for name, (path, source) in sorted(found.items()):
        yield f"source of {name} {source.digest}"
        if name in sys.modules:
            yield from _unlike(sys.modules[name], path, source)


def _named(imported: Import, package: str) -> Iterator[str]:
    """Yield the modules that an import may mean: ``from a.b import c`` names a, a.b, and perhaps a.b.c."""
    name, level, taken = imported
    if level:
        base = package.split(".")
        name = ".".join([*base[: len(base) - level + 1], *([name] if name else [])])
        yield name
    else:
        parts = name.split(".")
        yield from (".".join(parts[: i + 1]) for i in range(len(parts)))
    yield from (f"{name}.{item}" for item in taken if item != "*")


def _inside(name: str, attributes: Collection[str]) -> Iterator[str]:
    """Yield the modules of a package that are named by a dot: ``package.part.smooth`` means ``package.part``."""
    if not hasattr(sys.modules.get(name), "__path__") or is_installed(name):
        return
    for attribute in attributes:
        inner = f"{name}.{attribute}"
        if inner in sys.modules:
            yield inner
            yield from _inside(inner, attributes)


def _path_of(name: str) -> str | None:
    """Return the source file of a module that is not installed; None if it has none."""
    if name in sys.modules:
        return getattr(sys.modules[name], "__file__", None)
    spec = _spec(name)
    file = spec.origin if spec is not None and spec.has_location else None
    return None if file is None or is_installed_file(file) else file


def _spec(name: str) -> ModuleSpec | None:
    """Find a module without importing it, or the packages around it."""
    package, where = name.rpartition(".")[0], None
    if package in sys.modules:
        where = getattr(sys.modules[package], "__path__", None)
    elif package and (around := _spec(package)) is not None:
        where = around.submodule_search_locations
    if package and where is None:  # its package is not here, or is no package
        return None
    for finder in sys.meta_path:
        with suppress(Exception):  # a finder of others
            if (found := finder.find_spec(name, where)) is not None:
                return found
    return None


@functools.lru_cache(maxsize=4096)
def _read(path: str, mtime_ns: int, size: int) -> _Source:
    """Read a source file, once as long as it stays as it is."""
    from workbench.algorithms.code_digest import code_of

    source = Path(path).read_bytes()
    digest = code_of({Path(path).name: source}).digest
    try:
        tree = ast.parse(source)
        code = compile(source, path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError):  # it counts byte by byte
        return _Source(digest, (), frozenset(), frozenset(), {}, {})
    imports: list[Import] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports += [(alias.name, 0, ()) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            imports.append((node.module or "", node.level, tuple(alias.name for alias in node.names)))
    attributes = frozenset(node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    changed = dict(_changes(tree.body))
    constants = _constants(tree, frozenset().union(*changed.values()))
    return _Source(digest, tuple(imports), attributes, frozenset(_codes(code)), constants, changed)


def _codes(code: types.CodeType) -> Iterator[str]:
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            yield code_digest(const)
            yield from _codes(const)


def _constants(tree: ast.Module, changed: Collection[str]) -> dict[str, str]:
    """Return the values that are written out and given to names once, and that no function changes."""
    found: dict[str, str] = {}
    given = [n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
    for node in tree.body:
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ):
                if given.count(name) == 1 and name not in changed:
                    with suppress(ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
                        found[name] = _said(ast.literal_eval(value))
    return found


def _changes(body: Iterable[ast.stmt], within: str = "") -> Iterator[tuple[str, frozenset[str]]]:
    """Yield the functions of a module, also those in its classes, with the names outside of them whose values they change."""
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield from _changes(node.body, f"{within}{node.name}.")
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield f"{within}{node.name}", frozenset(_changed_in(node))


def _changed_in(function: ast.AST) -> Iterator[str]:
    for node in ast.walk(function):
        target: ast.expr | None = None
        match node:
            case ast.Global(names=names):
                yield from names
            case ast.Subscript(ctx=ast.Store() | ast.Del()) | ast.Attribute(ctx=ast.Store() | ast.Del()):
                target = node.value
            case ast.Call(func=ast.Attribute(value=value, attr=method)) if method in _CHANGING:
                target = value
        while isinstance(target, (ast.Subscript, ast.Attribute)):
            target = target.value
        if isinstance(target, ast.Name):
            yield target.id


def changes(module: str) -> Mapping[str, frozenset[str]]:
    """Return for each function in a module the names of it whose values the function changes, such as a cache."""
    path = _path_of(module) if module in sys.modules else None
    try:
        stat = Path(path or "").stat()
        return _read(str(path), stat.st_mtime_ns, stat.st_size).changes if path else {}
    except OSError:
        return {}


def _unlike(module: types.ModuleType, path: str, source: _Source) -> Iterator[str]:
    """Yield what a loaded module holds that its file does not say: nothing, unless it was edited since."""
    for digest, file in _functions(module):
        if digest not in source.code and file == path:
            yield f"holds {digest}"
    for name, value in source.constants.items():
        held = _said(vars(module)[name]) if name in vars(module) else value
        if held != value:
            yield f"holds {name} {held}"


def _said(value: Any) -> str:
    return data_text(value) or f"a {type(value).__name__}"


def _functions(module: types.ModuleType) -> Iterator[tuple[str, str]]:
    """Yield the digest and the file of the functions that a module defines, in its classes too."""
    for value in list(vars(module).values()):
        with suppress(Exception):  # a stand-in for something that is not there fails at whatever it is asked
            if getattr(value, "__module__", None) == module.__name__:
                yield from list(_functions_of(value))


def _functions_of(value: Any) -> Iterator[tuple[str, str]]:
    for member in vars(value).values() if isinstance(value, type) else [value]:
        function = getattr(member, "__func__", getattr(member, "fget", member))
        code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
        if isinstance(code, types.CodeType):
            yield code_digest(code), code.co_filename
