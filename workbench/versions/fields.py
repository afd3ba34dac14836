"""Fields of a class whose values count in its version."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from workbench.errors import InvalidInputError
from workbench.versions.version import Version, VersionKind

_OWN = "_workbench_own_fields"
_VERSION = "_workbench_version"


class VersionedField:
    """A class attribute whose value counts in the version of the class, and that reads as its plain value.

    An instance may set the attribute for itself: neither other instances nor the version see it.

    Parameters
    ----------
    value : object
        Its ``str`` must stand for it: numbers, texts, tuples and so on.
    kind : {"major", "minor", "patch"}
        What a change of it means. A major one makes whatever was trained with it worthless.

    Raises
    ------
    InvalidInputError
        For an unknown kind; where the class is made, for a value whose text does not stand for it.

    Examples
    --------
    >>> class Reduce(Versioned):
    ...     n_components = VersionedField(2, "major")
    >>> Reduce.n_components, Reduce().n_components
    (2, 2)
    """

    def __init__(self, value: Any, kind: VersionKind | str = VersionKind.MAJOR) -> None:
        if isinstance(value, (VersionedField, VersionedDict)):
            raise InvalidInputError(
                "A versioned field holds a versioned field. Give its plain value, or a VersionedDict."
            )
        self.kind = VersionKind.of(kind)
        self.value = value
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: object | None, owner: type) -> Any:
        return _read(self.name, self.value, instance)

    def of_value(self, value: object) -> VersionedField:
        """Return a field of this kind with another value."""
        return VersionedField(value, self.kind)

    def version(self, name: str) -> Version:
        """Return the version of this field alone."""
        return Version.of_value(name, self.value, self.kind)

    def __repr__(self) -> str:
        return f"VersionedField({self.value!r}, {self.kind.value!r})"


class VersionedDict:
    """A class attribute that reads as a dict, and each of whose keys counts in the version of the class.

    Parameters
    ----------
    values : mapping of str to object
        A value may be a `VersionedField`, to count by another kind than the others.
    kind : {"major", "minor", "patch"}
        What a change of the others means.

    Raises
    ------
    TypeError
        If a key is no text.

    Examples
    --------
    >>> class Fit(Versioned):
    ...     options = VersionedDict({"rate": 0.1, "verbose": VersionedField(True, "patch")}, "minor")
    >>> Fit.options
    {'rate': 0.1, 'verbose': True}
    """

    def __init__(self, values: Mapping[str, Any], kind: VersionKind | str = VersionKind.MAJOR) -> None:
        if not isinstance(values, Mapping):
            raise TypeError(f"A versioned dict needs a mapping, not {values!r}.")
        for key in values:
            if not isinstance(key, str):
                raise TypeError(
                    f"A versioned dict has the key {key!r}; keys are texts, so that their order is the same everywhere. "
                    f"Write {str(key)!r}."
                )
        self.kind = VersionKind.of(kind)
        self.fields = {
            key: value if isinstance(value, VersionedField) else VersionedField(value, self.kind)
            for key, value in values.items()
        }
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: object | None, owner: type) -> Any:
        return _read(self.name, {key: field.value for key, field in self.fields.items()}, instance)

    def of_value(self, value: object) -> VersionedDict:
        """Return a dict of these kinds with other values."""
        assert isinstance(value, Mapping)
        known = self.fields
        return VersionedDict(
            {k: known[k].of_value(v) if k in known else v for k, v in value.items()}, self.kind
        )

    def version(self, name: str) -> Version:
        """Return the sum over the keys, in their order."""
        total = Version()
        for key in sorted(self.fields):
            total += self.fields[key].version(f"{name}[{key!r}]")
        return total

    def __repr__(self) -> str:
        return f"VersionedDict({self.fields!r}, {self.kind.value!r})"


Field = VersionedField | VersionedDict


class Versioned:
    """Base of classes with versioned fields: what counts is read when the class is made, from all of its ancestors.

    A subclass that gives a field a plain value changes the value and keeps the kind.
    """

    __slots__ = ()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        own = _own(cls)
        for name, field in own.items():
            if cls.__dict__[name] is not field:  # a plain value in the place of an ancestor's field
                field.name = name
                setattr(cls, name, field)
        setattr(cls, _OWN, own)
        setattr(cls, _VERSION, _sum(fields_of(cls)))


def fields_of(cls: type) -> dict[str, Field]:
    """Return the versioned fields of a class and of all its ancestors, as they were when these were made."""
    return _merged(cls.__mro__)


def version_of(what: object) -> Version:
    """Return the version of a class, or of the class of an object.

    It is the sum of the versions of its fields in the order of their names. What is set after the class was made does
    not change it.

    Examples
    --------
    >>> class Step(Versioned):
    ...     size = VersionedField(3, "minor")
    >>> version_of(Step).short
    '94e72/36d3c/94e72'
    """
    cls = what if isinstance(what, type) else type(what)
    made: Version | None = cls.__dict__.get(_VERSION)
    return made if made is not None else _sum(fields_of(cls))


def _merged(classes: Iterable[type]) -> dict[str, Field]:
    found: dict[str, Field] = {}
    for cls in reversed(tuple(classes)):
        own: dict[str, Field] | None = cls.__dict__.get(_OWN)
        found |= _own(cls) if own is None else own
    return found


def _own(cls: type) -> dict[str, Field]:
    """Return what a class itself says of versioned fields, its own and those of its ancestors."""
    inherited = _merged(cls.__mro__[1:])
    found: dict[str, Field] = {}
    for name, value in cls.__dict__.items():
        if isinstance(value, (VersionedField, VersionedDict)):
            found[name] = value
        elif name in inherited:
            if isinstance(value, (property, staticmethod, classmethod)) or inspect.isroutine(value):
                raise InvalidInputError(
                    f"{cls.__name__}.{name} is a {type(value).__name__} in the place of a versioned field, so no value could "
                    "count. Give it another name."
                )
            if isinstance(inherited[name], VersionedDict) and not isinstance(value, Mapping):
                raise InvalidInputError(
                    f"{cls.__name__}.{name} is {value!r} in the place of a versioned dict. Give a dict."
                )
            found[name] = inherited[name].of_value(value)
    return found


def _sum(fields: Mapping[str, Field]) -> Version:
    total = Version()
    for name in sorted(fields):
        total += fields[name].version(name)
    return total


def _read(name: str, value: Any, instance: object | None) -> Any:
    """Return the value; a list, dict or set is the instance's own from its first reading on."""
    if not isinstance(value, (list, dict, set, bytearray)):
        return value
    own = copy.deepcopy(value)
    attributes = getattr(instance, "__dict__", None)
    return own if attributes is None else attributes.setdefault(name, own)
