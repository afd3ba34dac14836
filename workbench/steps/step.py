"""Step: something that is done to data, with hooks before and after it and a version of its own."""

from __future__ import annotations

import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from workbench.errors import InvalidNameError
from workbench.names import check_name
from workbench.versions import Version, Versioned, version_of


class StepCallback:
    """Told before and after each execution of the steps it is given to. Override what is of interest."""

    def before_execution(self, step: Step, args: Sequence[Any]) -> None:
        """Called after the step's own ``before_execution``."""

    def after_execution(self, step: Step, args: Sequence[Any], output: Any) -> None:
        """Called after the step's own ``after_execution``; not when the step has raised."""


class Step(Versioned, ABC):
    """Something that is done to data. Implement ``execute``.

    Parameters
    ----------
    name : str, optional
        What its versions are found by. Default: ``name`` of the class, which is the name of the class in small letters
        unless the class says ``name = "..."``. A class with an explicit name can be renamed and keeps its versions.
    callbacks : sequence of StepCallback

    Examples
    --------
    >>> from workbench.versions import VersionedField
    >>> class Scale(Step):
    ...     factor = VersionedField(2.0, "major")
    ...
    ...     def execute(self, values):
    ...         return [value * self.factor for value in values]
    >>> Scale()([1, 2])
    [2.0, 4.0]
    """

    name: str = "step"
    callbacks: Sequence[StepCallback] = ()
    #: the class says its name itself
    has_own_name: ClassVar[bool] = False

    def __init__(self, name: str | None = None, callbacks: Sequence[StepCallback] = ()) -> None:
        if name is not None:
            self.name = check_name(name, "Step name")
        if callbacks:
            self.callbacks = tuple(callbacks)

    def __init_subclass__(cls, **options: Any) -> None:
        cls.has_own_name = isinstance(cls.__dict__.get("name"), str)
        cls.name = check_name(cls.name, "Step name") if cls.has_own_name else _default_name(cls.__name__)
        super().__init_subclass__(**options)

    @property
    def version(self) -> Version:
        """The version of what it does now."""
        return version_of(type(self))

    @property
    def origin(self) -> str:
        """Where its class is defined: ``module:Class``."""
        return f"{type(self).__module__}:{type(self).__qualname__}"

    @property
    def is_named(self) -> bool:
        """Tell whether its name was chosen by hand, so that it does not depend on the class."""
        return type(self).has_own_name or "name" in vars(self)

    @abstractmethod
    def execute(self, *args: Any, **parameters: Any) -> Any:
        """Do it and return the result; a tuple where there are several."""

    def before_execution(self, args: Sequence[Any]) -> None:
        """Called before ``execute``, and before all callbacks."""

    def after_execution(self, args: Sequence[Any], output: Any) -> None:
        """Called after ``execute`` and before the callbacks; not when it has raised."""

    def __call__(self, *args: Any, **parameters: Any) -> Any:
        """Execute, with the hooks: own before, callbacks' before, ``execute``, own after, callbacks' after."""
        self.before_execution(args)
        for callback in self.callbacks:
            callback.before_execution(self, args)
        output = self.execute(*args, **parameters)
        self.after_execution(args, output)
        for callback in self.callbacks:
            callback.after_execution(self, args, output)
        return output

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self.version.short})"


def _default_name(cls_name: str) -> str:
    """Return the name of a step whose class says none: that of the class in small letters, without accents.

    >>> _default_name("Größe")
    'grosse'
    """
    plain = unicodedata.normalize("NFKD", cls_name.strip("_").casefold()).encode("ascii", "ignore").decode()
    if not plain[:1].isalnum():
        raise InvalidNameError(
            f"The step {cls_name!r} cannot be called after its class: names are made of letters a to z, digits, '.', '_' and '-'. "
            "Write in its class, for example: name = 'denoise'."
        )
    return check_name(plain, "Step name")


class LoadableStep(Step):
    """A step with a state that can be kept as bytes and loaded again."""

    @property
    def has_state(self) -> bool:
        """Tell whether it does its work with a state that it was given: it cannot be saved or used without."""
        return True

    @property
    def needs_state(self) -> bool:
        """Tell whether it cannot be executed before a state was loaded."""
        return False

    def version_with(self, kept: Version) -> Version:
        """Return the version that it would have with the state of a version that is kept."""
        return self.version

    @abstractmethod
    def serialize(self) -> bytes:
        """Return the state."""

    @abstractmethod
    def load(self, data: bytes) -> None:
        """Take the state from bytes that ``serialize`` has made."""
