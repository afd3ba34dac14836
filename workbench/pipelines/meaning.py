"""What a function or a step means, as a digest: its code, what it calls beside it, and the values that it holds.

Line numbers, comments and docstrings do not count. What is followed are functions and classes of the same package or notebook;
of other packages the names count, as for algorithms. Digests differ between minor versions of Python.
"""

from __future__ import annotations

import dis
import functools
import inspect
import sys
import sysconfig
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_SIMPLE = (bool, int, float, complex, str, bytes, type(None), type(...))
_DEEPEST = 50
_HAS_DOCSTRING = 0x4000000  # CO_HAS_DOCSTRING


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

    try:
        reader = _Reader(home_of(what))
        text = "\n".join(reader.read(what, 0))
    except UnknownMeaningError as error:
        return "", str(error)
    return str(blake3(text.encode("utf-8", "surrogatepass")).hexdigest()[:40]), ""


def home_of(what: Any) -> str:
    """Return the package whose code is followed; none for what was installed, whose name and version say enough."""
    while isinstance(what, (functools.partial, types.MethodType)):
        what = what.func if isinstance(what, functools.partial) else what.__self__
    name = str(getattr(what, "__module__", None) or type(what).__module__)
    file = getattr(sys.modules.get(name), "__file__", None)
    if name == "builtins" or (file is not None and _is_installed(file)):
        return ""
    return name.partition(".")[0]


@functools.lru_cache(maxsize=4096)
def _is_installed(file: str) -> bool:
    paths = sysconfig.get_paths()
    return any(
        Path(file).is_relative_to(paths[key]) for key in ("stdlib", "platstdlib", "purelib", "platlib")
    )


def _installed(module: str | None) -> str:
    """Return the name of an installed module, with the version of its package where it tells one."""
    package = str(module).partition(".")[0]
    return f"{module} {getattr(sys.modules.get(package), '__version__', '')}"


class _Reader:
    """Turns values into lines that are equal where they mean the same."""

    def __init__(self, home: str) -> None:
        self._home = home
        self._met: dict[int, int] = {}  # functions and classes may name each other
        self._alive: list[Any] = []  # an id is one only while its object lives

    def read(self, value: Any, depth: int) -> Iterator[str]:
        if depth > _DEEPEST:
            raise UnknownMeaningError("it holds values that are nested too deeply")
        if isinstance(value, _SIMPLE):
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
            yield f"module {value.__name__}"
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
            yield from self._code(value, depth)
        elif isinstance(
            value, (types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType)
        ):
            yield f"builtin {getattr(value, '__module__', '')}.{value.__qualname__}"
        elif hasattr(value, "dtype") and hasattr(value, "tobytes"):
            yield from self._array(value)
        elif hasattr(value, "dtype") and hasattr(value, "detach"):  # a tensor
            yield from self._array(value.detach().cpu().numpy())
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
            yield f"{function.__qualname__} of {_installed(function.__module__)}"
            return
        yield from self._code(function.__code__, depth)
        yield from self.read([function.__defaults__, function.__kwdefaults__], depth)
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            yield f"closure {name}"
            try:
                value = cell.cell_contents
            except ValueError:  # not given a value yet
                continue
            yield from self._named(name, value, depth)
        for name in sorted(_globals_of(function.__code__)):
            if name in function.__globals__:
                yield f"global {name}"
                yield from self._named(name, function.__globals__[name], depth)

    def _named(self, name: str, value: Any, depth: int) -> Iterator[str]:
        try:
            yield from self.read(value, depth)
        except UnknownMeaningError as error:
            raise UnknownMeaningError(f"{name}: {error}") from None

    def _class(self, cls: type, depth: int) -> Iterator[str]:
        yield f"class {cls.__qualname__} of {_installed(cls.__module__)}"
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

    def _code(self, code: types.CodeType, depth: int) -> Iterator[str]:
        consts = list(code.co_consts)
        # until Python 3.12 a function's first constant is its docstring or None, since then a flag tells
        has_docstring = code.co_flags & _HAS_DOCSTRING or sys.version_info < (3, 13)
        if has_docstring and consts and isinstance(consts[0], str) and code.co_flags & inspect.CO_NEWLOCALS:
            consts[0] = None
        flags = code.co_flags & ~_HAS_DOCSTRING
        yield f"code {code.co_code.hex()} {code.co_names} {code.co_varnames} {code.co_argcount} {flags}"
        for const in consts:
            if isinstance(const, types.CodeType):
                yield from self._code(const, depth)
            else:
                yield from self.read(const, depth)

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
        return bool(self._home) and str(module).partition(".")[0] == self._home


@functools.lru_cache(maxsize=4096)
def _globals_of(code: types.CodeType) -> frozenset[str]:
    """Return the names that code looks up in its module, in the functions inside it too; attributes of the same name are others."""
    found = {
        step.argval for step in dis.get_instructions(code) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")
    }
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            found |= _globals_of(const)
    return frozenset(found)
