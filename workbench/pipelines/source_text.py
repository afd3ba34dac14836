"""A function or step with all that it names, as the text of one Python module that stands alone.

What is installed is imported, what is not is written out: functions and classes by their source, values by expressions that give
them back exactly. That a source is the one of the code that ran is checked, for a file may have been edited since it was imported.
"""

from __future__ import annotations
import __future__

import ast
import enum
import functools
import pathlib
import re
import sys
import types
from collections.abc import Iterator
from typing import Any

from workbench.pipelines.own_code import (
    NoSourceError,
    bare,
    bare_class,
    global_names,
    holds,
    is_own,
    methods_of,
    node_of_class,
    nodes_of_function,
    own_modules,
)

RESULT = "__result__"
NEEDS = "# needs "  # a module of the user's, and the digest of its file
_SIMPLE = (bool, int, str, bytes, type(None), type(...))
_DEEPEST = 50
_LARGEST_ARRAY = 64 << 10  # bytes
_SECRET = re.compile(r"passw|secret|token|credential|api_?key", re.IGNORECASE)


def source_text(what: Any, attributes: dict[str, Any] | None = None) -> str:
    """Return the text of a module whose ``__result__`` is a function, or a step with some attributes.

    Parameters
    ----------
    what : callable, or object with ``execute``
    attributes : dict, optional
        Of a step: what it holds but for what it has learned.

    Raises
    ------
    NoSourceError
        With what it is that no text can stand for.
    """
    writer = _Writer()
    for name, value in (attributes or {}).items():
        _refuse_secret(name, value, f"its attribute {name!r}")
    if attributes is None:
        result = writer.expression(what, "it")
    else:
        cls = writer.expression(type(what), "its class")
        held = ", ".join(
            f"{name!r}: {writer.expression(value, f'its attribute {name!r}')}"
            for name, value in attributes.items()
        )
        writer.lines += [f"_step = object.__new__({cls})", f"_step.__dict__.update({{{held}}})"]
        result = "_step"
    head = [f"{NEEDS}{name} {digest}" for name, digest in sorted(writer.needs.items())]
    head += ["from __future__ import annotations"] if writer.has_future else []
    return "\n".join([*head, *writer.lines, f"{RESULT} = {result}", ""])


class _Writer:
    """Definitions in the order in which they can be executed."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.needs: dict[str, str] = {}
        self.has_future = False  # annotations are not evaluated
        self._names: dict[str, Any] = {}  # what each name of the module stands for
        self._known: dict[int, str] = {}  # functions and classes that were written out, by identity
        self._busy: set[int] = set()
        self._alive: list[Any] = []  # an id is one only while its object lives

    def expression(self, value: Any, told: str, depth: int = 0) -> str:
        """Return an expression for a value, after the definitions that it needs; ``told`` says what it is in an error."""
        if depth > _DEEPEST:
            raise NoSourceError(f"{told} holds values that are nested too deeply")
        if type(value) in _SIMPLE:
            return repr(value)
        if type(value) is float:
            return repr(value) if value - value == 0 else f"float({str(value)!r})"
        if type(value) is complex:
            return f"complex({self.expression(value.real, told)}, {self.expression(value.imag, told)})"
        if type(value) in (list, tuple, set, frozenset):
            parts = [f"{self.expression(member, told, depth + 1)}, " for member in value]
            members = "".join(parts if type(value) in (list, tuple) else sorted(parts))
            return f"{type(value).__name__}([{members}])"
        if type(value) is dict:
            pairs = (
                f"{self.expression(k, told, depth + 1)}: {self.expression(v, told, depth + 1)}"
                for k, v in value.items()
            )
            return f"{{{', '.join(pairs)}}}"
        if id(value) in self._known:
            return self._known[id(value)]
        self._alive.append(value)
        return self._object(value, told, depth)

    def _object(self, value: Any, told: str, depth: int) -> str:
        if isinstance(value, types.ModuleType):
            return f"__import__('importlib').import_module({self._module(value)!r})"
        if isinstance(value, enum.Enum):
            return f"{self.expression(type(value), told)}[{value.name!r}]"
        if isinstance(value, functools.partial):
            parts = (value.func, value.args, value.keywords)
            func, args, keywords = (self.expression(part, told, depth + 1) for part in parts)
            return f"__import__('functools').partial({func}, *{args}, **{keywords})"
        if isinstance(value, types.FunctionType) and is_own(value.__module__):
            return self._function(value, told)
        if isinstance(value, type) and is_own(value.__module__):
            return self._class(value, told)
        place = _import_of(value)
        if place is not None:
            module, name = place
            return (
                name if module == "builtins" else f"__import__('importlib').import_module({module!r}).{name}"
            )
        if isinstance(value, pathlib.PurePath):
            return f"__import__('pathlib').{type(value).__name__}({str(value)!r})"
        if isinstance(value, re.Pattern):
            return f"__import__('re').compile({value.pattern!r}, {value.flags})"
        if type(value).__module__ == "numpy" and hasattr(value, "tobytes"):
            return self._array(value, told)
        raise NoSourceError(f"{told} is a {type(value).__name__}, an object that no source text stands for")

    def _array(self, value: Any, told: str) -> str:
        if value.nbytes > _LARGEST_ARRAY or value.dtype.hasobject:
            raise NoSourceError(
                f"{told} is an array of {value.nbytes} bytes: pass it as an input or a parameter instead"
            )
        made = (
            f"__import__('numpy').frombuffer(bytes.fromhex({value.tobytes().hex()!r}), {value.dtype.str!r})"
        )
        return f"{made}.reshape({value.shape!r}){'.copy()' if type(value).__name__ == 'ndarray' else '[()]'}"

    # -- names of the module

    def _bind(self, name: str, value: Any) -> None:
        """Let a name of the module stand for a value."""
        if name in self._names:
            if self._names[name] is not value:
                raise NoSourceError(f"two modules call different things {name!r}")
            return
        _refuse_secret(name, value, f"global {name!r}")
        self._names[name] = value
        self._alive.append(value)
        if isinstance(value, types.ModuleType):
            module = self._module(value)
            self.lines.append(f"import {module}" if module == name else f"import {module} as {name}")
            return
        place = _import_of(value)
        if place is not None and place[0] != "builtins" and place[1].isidentifier():
            module, inner = place
            self.lines.append(f"from {module} import {inner}{'' if inner == name else f' as {name}'}")
            return
        made = self.expression(value, f"global {name!r}")
        if made != name:
            self.lines.append(f"{name} = {made}")

    def _bind_globals(self, code: types.CodeType, module: dict[str, Any]) -> None:
        for name in sorted(global_names(code)):
            if name in module:
                self._bind(name, module[name])

    def _module(self, module: types.ModuleType) -> str:
        """Return the name of a module to be imported; one of the user's must then be as it is now."""
        if is_own(module.__name__):
            if module.__name__ == "__main__":
                raise NoSourceError("it names the module __main__ itself")
            self.needs.update(own_modules(module))
        return module.__name__

    # -- functions and classes

    def _function(self, function: types.FunctionType, told: str) -> str:
        """Write out a function and return its name; what it closes over is given to a function around it."""
        code = function.__code__
        self.has_future |= bool(code.co_flags & __future__.annotations.compiler_flag)
        if id(function) in self._busy:
            raise NoSourceError(f"{told} and what it closes over hold each other")
        self._busy.add(id(function))
        name = code.co_name
        if function.__globals__.get(name) is not function:  # it has no name of its own in its module
            name = f"_{len(self._known)}_{name.strip('<>')}"
        cells = self._cells(function, told)
        given = {
            free: self.expression(value, f"what {told} closes over, {free!r},")
            for free, value in cells.items()
        }
        if self._names.setdefault(name, function) is not function:
            raise NoSourceError(f"two modules call different things {name!r}")
        text = self._written(function, name, tuple(given), told)
        defaults = function.__defaults__, function.__kwdefaults__
        after = [
            f"{name}.{attribute} = {self.expression(value, f'a default of {told}')}"
            for attribute, value in zip(("__defaults__", "__kwdefaults__"), defaults, strict=True)
            if value
        ]
        self._known[id(function)] = name
        call = [f"{name} = _make_{name}({', '.join(given.values())})"] if code.co_freevars else []
        self.lines += [text, *call, *after]
        self._busy.discard(id(function))
        self._bind_globals(code, function.__globals__)
        return name

    def _cells(self, function: types.FunctionType, told: str) -> dict[str, Any]:
        """Return what a function closes over, but for itself."""
        cells = {}
        for free, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            try:
                value = cell.cell_contents
            except ValueError:
                raise NoSourceError(f"{told} closes over {free!r}, which has no value yet") from None
            if value is not function:
                _refuse_secret(free, value, f"what {told} closes over, {free!r},")
                cells[free] = value
        return cells

    def _written(self, function: types.FunctionType, name: str, given: tuple[str, ...], told: str) -> str:
        """Return the source of a function under a name, checked to be that of its code."""
        code = function.__code__
        own = next((free for free in code.co_freevars if free not in given), "")
        for node in nodes_of_function(function, told):
            made = bare(node)
            if isinstance(made, ast.Lambda):
                text = f"{own or name} = {ast.unparse(made)}"
            else:
                made.name = own or name
                text = ast.unparse(made)
            if code.co_freevars:
                text = _factory(name, given, text, own or name)
            if holds(text, code):
                return text
        raise NoSourceError(
            f"the source of {told} is not the one it was made of: {code.co_filename} was edited since"
        )

    def _class(self, cls: type, told: str) -> str:
        """Write out a class and return its name."""
        if "<locals>" in cls.__qualname__ or "." in cls.__qualname__:
            raise NoSourceError(
                f"{told}, {cls.__qualname__}, is defined inside of a function or another class"
            )
        module = vars(sys.modules[cls.__module__])
        node = node_of_class(cls, told)
        if self._names.setdefault(cls.__name__, cls) is not cls:
            raise NoSourceError(f"two modules call different things {cls.__name__!r}")
        self._known[id(cls)] = cls.__name__
        for name in _needed_to_define(node):
            if name in module and module[name] is not cls:
                self._bind(name, module[name])
        text = ast.unparse(bare_class(node))
        functions = methods_of(cls)
        if not all(holds(text, function.__code__) for function in functions):
            raise NoSourceError(
                f"the source of {told}, {cls.__name__}, is not the one it was made of: its file was edited since"
            )
        self.lines.append(text)
        for function in functions:
            self.has_future |= bool(function.__code__.co_flags & __future__.annotations.compiler_flag)
            self._bind_globals(function.__code__, function.__globals__)
        return str(cls.__name__)


def _refuse_secret(name: str, value: Any, told: str) -> None:
    """Refuse what must not lie in a store that others may read."""
    if isinstance(value, (str, bytes)) and _SECRET.search(name):
        raise NoSourceError(f"{told} looks like a secret, and those are not written down")


def _factory(name: str, given: tuple[str, ...], text: str, returned: str) -> str:
    """Return a function that makes a function which closes over what it is given."""
    made = ast.parse(f"def _make_{name}({', '.join(given)}):\n    return {returned}")
    outer = made.body[0]
    assert isinstance(outer, ast.FunctionDef)
    outer.body[:0] = ast.parse(text).body
    return ast.unparse(ast.fix_missing_locations(made))


def _import_of(value: Any) -> tuple[str, str] | None:
    """Return the module and name by which something installed is imported; None where it is not."""
    if not (callable(value) or isinstance(value, type)):
        return None
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", "")
    module = getattr(value, "__module__", None)
    if module is None and type(value).__module__ == "numpy":  # a ufunc
        module = "numpy"
    if not module or not name or is_own(module) or "<" in name:
        return None
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return (module, name) if found is value else None


def _needed_to_define(node: ast.ClassDef) -> list[str]:
    """Return the names that executing a class statement looks up; in its methods only decorators and defaults."""
    found: dict[str, None] = {}

    def visit(part: ast.AST) -> None:
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load):
            found[part.id] = None
        children: Iterator[ast.AST] = ast.iter_child_nodes(part)
        if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef)):
            children = iter([*part.decorator_list, *part.args.defaults, *filter(None, part.args.kw_defaults)])
        elif isinstance(part, ast.Lambda):
            children = iter([*part.args.defaults, *filter(None, part.args.kw_defaults)])
        for child in children:
            visit(child)

    visit(node)
    return list(found)
