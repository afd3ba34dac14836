"""What modules that are not installed hold as data now, under the names that code looks up in them.

A table that a notebook has changed, or that was edited in a file that nobody loaded again, is not what the file says. What the code
itself changes while it runs (a cache, a counter) is its memory, not its meaning, and does not count. Nor does what is no data (an open
file, a model) or is large: hashing it at each run would cost more than it is worth. These count by the source of their module.
"""

from __future__ import annotations

import types
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from workbench.pipelines.compiled import names_of
from workbench.pipelines.data_text import data_text
from workbench.pipelines.installed import is_installed
from workbench.pipelines.module_meaning import changes

#: methods that Python calls where none is named
_IMPLICIT = frozenset(
    [
        "__call__",
        "__getitem__",
        "__getattr__",
        "__enter__",
        "__exit__",
        "__iter__",
        "__next__",
        "__contains__",
    ]
)
Place = tuple[str, str]  # a module, or a class in it, and a name


class HeldData:
    """The data that modules hold for what one function or step looks up."""

    def __init__(self) -> None:
        self._found: dict[Place, str] = {}
        self._changed: set[Place] = set()
        self._classes: dict[Place, type] = {}  # of those that are objects of classes that are not installed
        self._attributes: set[str] = set()  # all that is looked up by a dot
        self._met: set[Any] = set()
        self._waiting: list[Any] = []  # functions and classes: one that calls the next may be long chains
        self._alive: list[Any] = []  # an id is one only while its object lives
        self._installed: dict[str, bool] = {}
        self._changes: dict[str, Mapping[str, frozenset[str]]] = {}  # by module, as its file says now

    def follow(self, module: types.ModuleType, attributes: frozenset[str]) -> None:
        """Follow what code looks up by a dot where it names a module, and the code that it finds there."""
        self._attributes |= attributes
        self._in_module(module, attributes)
        for method in self._methods(self._classes.values()):
            self._note(method)
        while self._waiting:
            code = self._waiting.pop()
            if isinstance(code, type):
                self._class(code)
            else:
                self._function(code)
            if not self._waiting:
                for method in self._methods(self._classes.values()):
                    self._note(method)

    def lines(self) -> Iterator[str]:
        """Yield what is held, in an order that does not depend on what was followed first."""
        for (where, name), text in self.items():
            yield f"{where} holds {name} {text}"

    def items(self) -> Iterator[tuple[Place, str]]:
        """Yield the places in that order, with the texts of what they hold."""
        yield from (item for item in sorted(self._found.items()) if not self._is_memory(item[0]))

    def _is_memory(self, place: Place) -> bool:
        """Tell whether the code that is followed changes what is there: a cache, a counter, an object that counts its calls."""
        module, _, name = place[0].rpartition(".")
        if place in self._changed or (module, name) in self._changed:  # of a class
            return True
        classes = [self._classes[place]] if place in self._classes else []
        return any(
            # a method that changes its first argument, the object itself
            self._changes_of(str(m.__module__))
            .get(m.__qualname__, frozenset())
            .intersection(m.__code__.co_varnames[:1])
            for m in self._methods(classes)
        )

    def _methods(self, classes: Iterable[type]) -> Iterator[types.FunctionType]:
        """Yield the methods of classes that are called, as far as names tell."""
        for base in {base for cls in classes for base in cls.__mro__}:
            for name, member in vars(base).items():
                if name in self._attributes or name in _IMPLICIT:
                    method = getattr(member, "__func__", getattr(member, "fget", member))
                    if isinstance(method, types.FunctionType):
                        yield method

    def _in_module(self, module: types.ModuleType, attributes: frozenset[str]) -> None:
        key = id(module), attributes
        if key in self._met or self._is_installed(module.__name__):
            return
        self._met.add(key)
        self._named(module.__name__, vars(module), attributes, attributes)

    def _named(
        self, where: str, space: Mapping[str, Any], names: Collection[str], attributes: frozenset[str]
    ) -> None:
        for name in names:
            if name in space and not name.startswith("__"):
                with suppress(
                    Exception
                ):  # a stand-in for something that is not there fails at whatever it is asked
                    self._value(where, name, space[name], attributes)

    def _value(self, where: str, name: str, value: Any, attributes: frozenset[str]) -> None:
        if isinstance(value, types.ModuleType):
            self._in_module(value, attributes)
        elif not (callable(value) and self._code(value)) and (where, name) not in self._found:
            text = data_text(value)
            if text is not None:
                self._found[where, name] = text
                if not self._is_installed(type(value).__module__):
                    self._classes[where, name] = type(value)

    def _code(self, value: Any) -> bool:
        """Note a function or class to be followed; tell whether it is one, which is told by its source."""
        function = getattr(value, "__func__", value)
        while isinstance(inner := getattr(function, "__wrapped__", None), types.FunctionType):
            self._note(function)
            function = inner
        self._note(function)
        return isinstance(function, (types.FunctionType, type))

    def _note(self, code: Any) -> None:
        is_code = isinstance(code, (types.FunctionType, type))
        if is_code and id(code) not in self._met and not self._is_installed(str(code.__module__)):
            self._met.add(id(code))
            self._alive.append(code)
            self._waiting.append(code)

    def _function(self, function: types.FunctionType) -> None:
        names, where = names_of(function.__code__), str(function.__module__)
        self._attributes |= names.attributes
        for name in self._changes_of(where).get(function.__qualname__, ()):
            self._changed.add((where, name))
        self._named(where, function.__globals__, names.globals, names.attributes)
        for cell in function.__closure__ or ():
            try:
                value = cell.cell_contents
            except ValueError:  # not given a value yet
                continue
            if callable(value):
                self._code(value)

    def _class(self, cls: type) -> None:
        where = f"{cls.__module__}.{cls.__qualname__}"
        for base in cls.__bases__:
            self._note(base)
        for name, member in list(vars(cls).items()):
            with suppress(Exception):
                inner = getattr(member, "__func__", getattr(member, "fget", member))
                if callable(inner):
                    self._code(inner)
                elif not name.startswith(("__", "_abc_", "_workbench_")):
                    self._value(where, name, member, frozenset())

    def _is_installed(self, module: str) -> bool:
        found = self._installed.get(module)
        if found is None:
            found = self._installed[module] = is_installed(module)
        return found

    def _changes_of(self, module: str) -> Mapping[str, frozenset[str]]:
        if module not in self._changes:
            self._changes[module] = {} if self._is_installed(module) else changes(module)
        return self._changes[module]
