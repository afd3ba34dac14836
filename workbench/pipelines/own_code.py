"""The source of code that is the user's own: where it stands, and whether it is that of the code that runs."""

from __future__ import annotations
import __future__

import ast
import copy
import dis
import functools
import linecache
import sys
import sysconfig
import types
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

_FUTURE = functools.reduce(
    lambda found, name: found | getattr(__future__, name).compiler_flag, __future__.all_feature_names, 0
)
_IGNORED = _FUTURE | 0x10 | 0x4000000  # whether it is inside of another one, and has a docstring

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


class NoSourceError(Exception):
    """What it is that no source text can stand for."""


def is_own(module: str | None) -> bool:
    """Tell whether a module is the user's, so that its code is not found again by its name and version."""
    name = str(module)
    if module is None or name == "builtins" or name.partition(".")[0] == "workbench":
        return False
    found = sys.modules.get(name)
    file = getattr(found, "__file__", None)
    if name == "__main__":  # of a notebook or script; of an installed program, what it has defined there
        return True
    return file is not None and not _is_installed(file) if found is not None else True


@functools.lru_cache(maxsize=4096)
def _is_installed(file: str) -> bool:
    paths = sysconfig.get_paths()
    return any(
        Path(file).is_relative_to(paths[key]) for key in ("stdlib", "platstdlib", "purelib", "platlib")
    )


def own_modules(module: types.ModuleType) -> dict[str, str]:
    """Return a module of the user's and those of the user's that it names, with the digests of their files."""
    found: dict[str, str] = {}
    waiting = [module.__name__]
    while waiting:
        name = waiting.pop()
        known = sys.modules.get(name)
        if name in found or name == "__main__" or known is None or not is_own(name):
            continue
        found[name] = file_digest(name, str(known.__file__))
        for value in list(vars(known).values()):
            with suppress(
                Exception
            ):  # a stand-in for something that is not there fails at whatever it is asked
                if isinstance(value, types.ModuleType):
                    waiting.append(value.__name__)
                elif callable(value):
                    waiting.append(str(getattr(value, "__module__", "")))
    return found


def file_digest(module: str, file: str) -> str:
    """Return the digest of a module's file.

    Raises
    ------
    NoSourceError
        If it cannot be read.
    """
    from blake3 import blake3

    try:
        return str(blake3(Path(file).read_bytes()).hexdigest())
    except OSError as error:
        raise NoSourceError(f"the file of module {module!r} cannot be read ({error})") from None


def nodes_of_function(function: types.FunctionType, told: str) -> Iterator[Function]:
    """Yield what a function's code may have been made of: on a line there may be several lambdas.

    Raises
    ------
    NoSourceError
        If its source is not to be had.
    """
    code = function.__code__
    for node in _nodes(code.co_filename, function.__globals__, told):
        if isinstance(node, ast.Lambda):
            if code.co_name == "<lambda>" and node.lineno == code.co_firstlineno:
                yield node
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == code.co_name:
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            if first == code.co_firstlineno:
                yield node


def node_of_class(cls: type, told: str) -> ast.ClassDef:
    """Return the statement that has made a class.

    Raises
    ------
    NoSourceError
        If its source is not to be had.
    """
    module = vars(sys.modules[cls.__module__])
    codes = [function.__code__ for function in methods_of(cls)]
    first = codes[0].co_firstlineno if codes else None
    files = [codes[0].co_filename] if codes else _files_with(cls, module)
    for file in files:
        for node in _nodes(file, module, told):
            if not isinstance(node, ast.ClassDef) or node.name != cls.__name__:
                continue
            if first is None or node.lineno <= first <= (node.end_lineno or first):
                return node
    raise NoSourceError(f"the source of {told}, {cls.__name__}, is not to be had")


def methods_of(cls: type) -> list[types.FunctionType]:
    """Return the functions that are written in a class, not those that a decorator has made."""
    found = []
    for member in vars(cls).values():
        function = getattr(member, "__func__", None) or getattr(member, "fget", None) or member
        if isinstance(function, types.FunctionType):
            code = function.__code__
            if code.co_qualname == f"{cls.__name__}.{code.co_name}":
                found.append(function)
    return found


def _files_with(cls: type, module: dict[str, Any]) -> list[str]:
    """Return where a class without methods may be written: in the file of its module, or in the newest cell of a notebook."""
    if module.get(cls.__name__) is not cls:  # it was defined anew since
        return []
    if module.get("__file__"):
        return [module["__file__"]]
    return [
        name
        for name in reversed(list(linecache.cache))
        if "ipykernel" in name or name.startswith("<ipython-")
    ]


def bare(node: Function) -> Function:
    """Return a function without decorators, defaults and annotations, which are no part of its code."""
    made = copy.deepcopy(node)
    arguments = made.args
    # that there are defaults is part of the signature; what they are is set afterwards
    arguments.defaults = [ast.Constant(None) for _ in arguments.defaults]
    arguments.kw_defaults = [
        None if default is None else ast.Constant(None) for default in arguments.kw_defaults
    ]
    _forget_annotations(made)
    if not isinstance(made, ast.Lambda):
        made.decorator_list = []
    return made


def bare_class(node: ast.ClassDef) -> ast.ClassDef:
    """Return a class whose methods have no annotations."""
    made = copy.deepcopy(node)
    for member in made.body:
        if isinstance(member, (ast.FunctionDef, ast.AsyncFunctionDef)):
            _forget_annotations(member)
    return made


def holds(text: str, code: types.CodeType) -> bool:
    """Tell whether a text compiles to some code, beside the imports of the file where that stands."""
    flags = code.co_flags & _FUTURE
    wanted = _shape(code)
    # what is called on a name that the file imports is compiled otherwise than a method; notebooks compile each statement by itself
    imports = [f"import {name}" for name in _imported(linecache.getlines(code.co_filename))]
    waiting = [
        compile("\n".join([*before, text]), "<kept>", "exec", flags=flags, dont_inherit=True)
        for before in (imports, [])
    ]
    while waiting:
        found = waiting.pop()
        if _shape(found) == wanted:
            return True
        waiting += [const for const in found.co_consts if isinstance(const, types.CodeType)]
    return False


@functools.lru_cache(maxsize=4096)
def global_names(code: types.CodeType) -> frozenset[str]:
    """Return the names that code looks up in its module, in the functions inside it too."""
    found = {
        step.argval for step in dis.get_instructions(code) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")
    }
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            found |= global_names(const)
    return frozenset(found)


def _forget_annotations(node: Function) -> None:
    arguments = node.args
    every = [
        *arguments.posonlyargs,
        *arguments.args,
        *arguments.kwonlyargs,
        arguments.vararg,
        arguments.kwarg,
    ]
    for argument in filter(None, every):
        argument.annotation = None
    if not isinstance(node, ast.Lambda):
        node.returns = None


def _shape(code: types.CodeType) -> tuple[Any, ...]:
    """Return what of code counts: no names of files, no line numbers."""
    return (
        code.co_code,
        code.co_names,
        code.co_varnames,
        code.co_freevars,
        code.co_cellvars,
        (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & ~_IGNORED),
        tuple(map(_const, code.co_consts)),
    )


def _const(value: Any) -> Any:
    if isinstance(value, types.CodeType):
        return _shape(value)
    if isinstance(value, frozenset):
        return "frozenset", tuple(sorted(map(repr, value)))
    return type(value).__name__, repr(value)


def _nodes(file: str, module: dict[str, Any], told: str) -> Iterator[ast.AST]:
    lines = linecache.getlines(file, module)
    if not lines:
        raise NoSourceError(f"the source of {told} is not to be had ({file})")
    try:
        return iter(_parsed("".join(lines)))
    except SyntaxError:
        raise NoSourceError(f"the source of {told} is not to be had: {file} is no Python any more") from None


@functools.lru_cache(maxsize=32)
def _parsed(text: str) -> tuple[ast.AST, ...]:
    return tuple(
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef))
    )


def _imported(lines: Sequence[str]) -> Sequence[str]:
    """Return the names that a file imports outside of its functions."""
    return _imported_by("".join(lines))


@functools.lru_cache(maxsize=32)
def _imported_by(text: str) -> Sequence[str]:
    found: dict[str, None] = {}
    waiting: list[ast.AST] = [ast.parse(text)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.asname or alias.name.partition(".")[0] for alias in node.names]
            found.update(dict.fromkeys(name for name in names if name != "*"))
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            waiting += ast.iter_child_nodes(node)
    return tuple(found)
