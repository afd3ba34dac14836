"""What a function or a step means, as a digest: its code, what it calls beside it, and the values that it holds.

Line numbers, comments and docstrings do not count. Followed is what is not installed: functions and classes by their code, modules by
their sources with what they import. Of what is installed name and version count, as for algorithms. What code finds by a text, such
as ``importlib.import_module(name)``, is not followed. Digests differ between minor versions of Python.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from workbench.pipelines.compiled import SIMPLE, code_lines, names_of
from workbench.pipelines.held_data import HeldData
from workbench.pipelines.installed import is_installed, with_version
from workbench.pipelines.module_meaning import import_lines, module_lines

_DEEPEST = 50


class UnknownMeaningError(Exception):
    """Something that a digest cannot stand for, such as an open file."""


def meaning(what: Any) -> tuple[str, str]:
    """Return the digest of what a function or a step means; or an empty one, and what it is that nobody can tell.

    Parameters
    ----------
    what : callable, or object with ``execute``

    Examples
    --------
    >>> meaning(lambda x: x + 1)[0] == meaning(lambda x: x + 2)[0]
    False
    """
    from blake3 import blake3

    reader = _Reader()
    try:
        text = "\n".join([*reader.read(what, 0), *reader.held.lines()])
    except UnknownMeaningError as error:
        return "", str(error)
    return str(blake3(text.encode("utf-8", "surrogatepass")).hexdigest()[:40]), ""


def packages_of(what: Any) -> frozenset[str]:
    """Return the packages and modules whose code is followed, by the first part of their names: none that is installed."""
    reader = _Reader()
    with suppress(UnknownMeaningError):
        for _ in reader.read(what, 0):
            pass
    return frozenset(reader.packages)


def held_in_modules(what: Any) -> dict[str, str]:
    """Return the data that code looks up in modules that it names (``config.TABLE``), by digest; see `held_data`."""
    from blake3 import blake3

    reader = _Reader()
    with suppress(UnknownMeaningError):
        for _ in reader.read(what, 0):
            pass
    return {
        f"{where}.{name}": str(blake3(text.encode("utf-8", "surrogatepass")).hexdigest()[:16])
        for (where, name), text in reader.held.items()
    }


def home_of(what: Any) -> str:
    """Return the package that something is of, by the first part of its name; empty for what is installed."""
    while isinstance(what, (functools.partial, types.MethodType)):
        what = what.func if isinstance(what, functools.partial) else what.__self__
    name = str(getattr(what, "__module__", None) or type(what).__module__)
    return "" if is_installed(name) else name.partition(".")[0]


class _Reader:
    """Turns values into lines that are equal where they mean the same."""

    def __init__(self) -> None:
        self.packages: set[str] = set()  # those that are followed
        self.held = HeldData()  # of modules that are named
        self._modules: set[str] = set()  # that were told
        self._met: dict[int, int] = {}  # functions and classes may name each other
        self._alive: list[Any] = []  # an id is one only while its object lives

    def read(self, value: Any, depth: int) -> Iterator[str]:
        if depth > _DEEPEST:
            raise UnknownMeaningError("it holds values that are nested too deeply")
        if isinstance(value, SIMPLE):
            yield f"{type(value).__name__} {value!r}"
        elif isinstance(value, (list, tuple, set, frozenset)):
            yield f"{type(value).__name__} {len(value)}"
            members = sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value
            for member in members:
                yield from self.read(member, depth + 1)
        elif isinstance(value, Mapping) and isinstance(value, (dict, types.MappingProxyType)):
            yield f"dict {len(value)}"
            for key, member in value.items():
                yield from self.read(key, depth + 1)
                yield from self.read(member, depth + 1)
        elif isinstance(value, types.ModuleType):
            yield from self._module(value, frozenset())
        elif id(value) in self._met:
            yield f"again {self._met[id(value)]}"
        else:
            self._met[id(value)] = len(self._met)
            self._alive.append(value)
            yield from self._object(value, depth + 1)

    def _object(self, value: Any, depth: int) -> Iterator[str]:
        if isinstance(value, functools.partial):
            yield "partial"
            yield from self.read([value.func, value.args, value.keywords], depth)
        elif isinstance(value, types.MethodType):
            yield f"method {value.__name__}"
            yield from self.read(value.__self__, depth)
            yield from self.read(value.__func__, depth)
        elif isinstance(value, types.FunctionType):
            yield from self._function(value, depth)
        elif isinstance(value, type):
            yield from self._class(value, depth)
        elif isinstance(value, (staticmethod, classmethod)):
            yield type(value).__name__
            yield from self.read(value.__func__, depth)
        elif isinstance(value, property):
            yield "property"
            yield from self.read([value.fget, value.fset], depth)
        elif isinstance(value, types.CodeType):
            yield from code_lines(value)
        elif isinstance(
            value, (types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType)
        ):
            yield f"builtin {getattr(value, '__module__', '')}.{value.__qualname__}"
        elif hasattr(value, "dtype") and hasattr(value, "tobytes"):
            yield from self._array(value)
        elif hasattr(value, "dtype") and hasattr(value, "detach"):  # a tensor
            yield from self._array(value.detach().cpu().numpy())
        elif callable(value) and isinstance(inner := getattr(value, "__wrapped__", None), types.FunctionType):
            yield f"{type(value).__qualname__} around"  # functools.cache and the like
            yield from self.read(inner, depth)
        elif callable(value) and hasattr(value, "__qualname__"):  # numpy's functions and the like
            yield f"callable {getattr(value, '__module__', '')}.{value.__qualname__}"
        elif type(value).__module__ == "numpy" and type(value).__name__ == "ufunc":
            yield f"ufunc {value.__name__}"
        else:
            yield from self._instance(value, depth)

    def _function(self, function: types.FunctionType, depth: int) -> Iterator[str]:
        yield f"function {function.__name__ if function.__name__ != '<lambda>' else ''}"
        # what was executed from a text calls itself one of the built-in ones, which are not written in Python
        if function.__module__ not in ("builtins", None) and not self._is_ours(function.__module__):
            yield f"{function.__qualname__} of {with_version(function.__module__)}"
            return
        yield from code_lines(function.__code__)
        yield from self.read([function.__defaults__, function.__kwdefaults__], depth)
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            yield f"closure {name}"
            try:
                value = cell.cell_contents
            except ValueError:  # not given a value yet
                continue
            yield from self._named(name, value, depth)
        names = names_of(function.__code__)
        for name in sorted(names.globals):
            if name in function.__globals__:
                yield f"global {name}"
                value = function.__globals__[name]
                if isinstance(value, types.ModuleType):
                    yield from self._module(value, names.attributes)
                else:
                    yield from self._named(name, value, depth)
        if names.imports:
            package = str(function.__globals__.get("__package__") or "")
            yield from self._of_modules(import_lines(names.imports, package, names.attributes, self._modules))

    def _module(self, module: types.ModuleType, attributes: frozenset[str]) -> Iterator[str]:
        self.held.follow(module, attributes)
        yield from self._of_modules(module_lines(module, attributes, self._modules))

    def _of_modules(self, lines: Iterator[str]) -> Iterator[str]:
        try:
            yield from lines
        except OSError as error:
            raise UnknownMeaningError(f"a module whose source cannot be read ({error})") from error
        self.packages.update(name.partition(".")[0] for name in self._modules)

    def _named(self, name: str, value: Any, depth: int) -> Iterator[str]:
        try:
            yield from self.read(value, depth)
        except UnknownMeaningError as error:
            raise UnknownMeaningError(f"{name}: {error}") from None

    def _class(self, cls: type, depth: int) -> Iterator[str]:
        yield f"class {cls.__qualname__} of {with_version(cls.__module__)}"
        if not self._is_ours(cls.__module__):
            return
        yield from self.read(list(cls.__bases__), depth)
        for name, member in sorted(vars(cls).items()):
            if name.startswith("__") and not callable(member):
                continue  # __module__, __doc__, __dict__; the fields of a step count in its version
            if name == "_abc_impl" or name.startswith("_workbench_"):
                continue
            yield f"member {name}"
            if not inspect.isgetsetdescriptor(member) and not inspect.ismemberdescriptor(member):
                yield from self._named(name, member, depth)

    def _array(self, array: Any) -> Iterator[str]:
        import numpy as np
        from blake3 import blake3

        plain = np.asarray(array)
        if plain.dtype.hasobject:
            raise UnknownMeaningError("an array of objects")
        yield f"array {plain.dtype.str} {plain.shape} {blake3(np.ascontiguousarray(plain).view(np.uint8).data).hexdigest()}"

    def _instance(self, value: Any, depth: int) -> Iterator[str]:
        """Read an object by its class and what it holds."""
        yield f"object {type(value).__module__}.{type(value).__qualname__}"
        yield from self.read(type(value), depth)
        try:  # what pickle would keep is all there is to it
            parts = value.__reduce_ex__(2)
        except Exception as error:
            raise UnknownMeaningError(f"a {type(value).__name__}, whose state cannot be read") from error
        for part in parts if isinstance(parts, tuple) else (parts,):
            yield from self.read(part if not isinstance(part, Iterator) else list(part), depth)

    def _is_ours(self, module: str | None) -> bool:
        if is_installed(str(module)):
            return False
        self.packages.add(str(module).partition(".")[0])
        return True
