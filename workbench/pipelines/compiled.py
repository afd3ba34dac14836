"""What compiled code says, without docstrings and line numbers, and which names it looks up."""

from __future__ import annotations

import dis
import functools
import inspect
import sys
import types
from collections.abc import Iterator
from typing import Any, NamedTuple

SIMPLE = (bool, int, float, complex, str, bytes, type(None), type(...))
_HAS_DOCSTRING = 0x4000000  # CO_HAS_DOCSTRING


class Names(NamedTuple):
    """The names that code looks up, in the functions inside it too.

    Parameters
    ----------
    globals : frozenset of str
        In its module. An attribute of the same name is another one.
    attributes : frozenset of str
        Of anything.
    imports : frozenset of (str, int, tuple)
        Modules that it imports when it runs: name, level, and the names that are taken from it.
    """

    globals: frozenset[str]
    attributes: frozenset[str]
    imports: frozenset[tuple[str, int, tuple[str, ...]]]


def code_lines(code: types.CodeType) -> Iterator[str]:
    """Yield lines that are equal for code that does the same."""
    consts = list(code.co_consts)
    # until Python 3.12 a function's first constant is its docstring or None, since then a flag tells
    has_docstring = code.co_flags & _HAS_DOCSTRING or sys.version_info < (3, 13)
    if has_docstring and consts and isinstance(consts[0], str) and code.co_flags & inspect.CO_NEWLOCALS:
        consts[0] = None
    flags = code.co_flags & ~_HAS_DOCSTRING
    yield f"code {code.co_code.hex()} {code.co_names} {code.co_varnames} {code.co_argcount} {flags}"
    for const in consts:
        yield from _const_lines(const)


def _const_lines(const: Any) -> Iterator[str]:
    if isinstance(const, types.CodeType):
        yield from code_lines(const)
    elif isinstance(const, (tuple, frozenset)):
        yield f"{type(const).__name__} {len(const)}"
        for member in sorted(const, key=repr) if isinstance(const, frozenset) else const:
            yield from _const_lines(member)
    else:
        yield f"{type(const).__name__} {const!r}"


@functools.lru_cache(maxsize=4096)
def names_of(code: types.CodeType) -> Names:
    """Return the names that code looks up."""
    globals_, attributes, imports = set(), set(), set()
    steps = list(dis.get_instructions(code))
    for position, step in enumerate(steps):
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            globals_.add(step.argval)
        elif step.opname in ("LOAD_ATTR", "LOAD_METHOD"):
            attributes.add(step.argval)
        elif step.opname == "IMPORT_NAME":  # the level and the names were put on the stack just before
            level, taken = (before.argval for before in steps[position - 2 : position])
            imports.add((step.argval, level, tuple(taken or ())))
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            inner = names_of(const)
            globals_ |= inner.globals
            attributes |= inner.attributes
            imports |= inner.imports
    return Names(frozenset(globals_), frozenset(attributes), frozenset(imports))


@functools.lru_cache(maxsize=16384)
def code_digest(code: types.CodeType) -> str:
    """Return the digest of what code does."""
    from blake3 import blake3

    text = "\n".join(code_lines(code))
    return str(blake3(text.encode("utf-8", "surrogatepass")).hexdigest()[:40])
