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
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from workbench.pipelines.compiled import SIMPLE, code_lines
from workbench.pipelines.installed import is_installed, is_installed_file, with_version

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
        Plain values that it gives to names, for good.
    """

    digest: str
    imports: tuple[Import, ...]
    attributes: frozenset[str]
    code: frozenset[str]
    constants: dict[str, Any]


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
        return _Source(digest, (), frozenset(), frozenset(), {})
    imports: list[Import] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports += [(alias.name, 0, ()) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            imports.append((node.module or "", node.level, tuple(alias.name for alias in node.names)))
    attributes = frozenset(node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    return _Source(digest, tuple(imports), attributes, frozenset(_codes(code)), _constants(tree))


def _codes(code: types.CodeType) -> Iterator[str]:
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            yield _code_digest(const)
            yield from _codes(const)


def _constants(tree: ast.Module) -> dict[str, Any]:
    """Return the plain values that names are given once, and that no function gives another."""
    found: dict[str, Any] = {}
    given = [n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
    changed = {name for n in ast.walk(tree) if isinstance(n, ast.Global) for name in n.names}
    for node in tree.body:
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ):
                if given.count(name) == 1 and name not in changed:
                    try:
                        plain = ast.literal_eval(value)
                    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
                        continue
                    if isinstance(plain, SIMPLE):
                        found[name] = plain
    return found


def _unlike(module: types.ModuleType, path: str, source: _Source) -> Iterator[str]:
    """Yield what a loaded module holds that its file does not say: nothing, unless it was edited since."""
    for digest, file in _functions(module):
        if digest not in source.code and file == path:
            yield f"holds {digest}"
    for name, value in source.constants.items():
        held = vars(module).get(name)
        if isinstance(held, SIMPLE) and (type(held), repr(held)) != (type(value), repr(value)):
            yield f"holds {name} {held!r}"


def _functions(module: types.ModuleType) -> Iterator[tuple[str, str]]:
    """Yield the digest and the file of the functions that a module defines, in its classes too."""
    for value in list(vars(module).values()):
        if getattr(value, "__module__", None) != module.__name__:
            continue
        for member in vars(value).values() if isinstance(value, type) else [value]:
            function = getattr(member, "__func__", getattr(member, "fget", member))
            code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
            if isinstance(code, types.CodeType):
                yield _code_digest(code), code.co_filename


@functools.lru_cache(maxsize=16384)
def _code_digest(code: types.CodeType) -> str:
    from blake3 import blake3

    text = "\n".join(code_lines(code))
    return str(blake3(text.encode("utf-8", "surrogatepass")).hexdigest()[:40])
