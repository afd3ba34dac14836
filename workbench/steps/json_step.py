"""JsonStep: a step whose state is a few attributes that JSON can hold."""

from __future__ import annotations

import json
from typing import ClassVar

from workbench.errors import InvalidDataError, InvalidInputError, NotFoundError
from workbench.steps.step import LoadableStep


class JsonStep(LoadableStep):
    """A step that keeps some of its attributes: numbers, texts, lists and dicts.

    Examples
    --------
    >>> class Centre(JsonStep):
    ...     state = ("mean",)
    ...
    ...     def execute(self, values):
    ...         self.mean = sum(values) / len(values)
    ...         return [value - self.mean for value in values]
    >>> step, other = Centre(), Centre()
    >>> _ = step([1.0, 3.0])
    >>> other.load(step.serialize())
    >>> other.mean
    2.0
    """

    #: names of the attributes that are kept
    state: ClassVar[tuple[str, ...]] = ()

    def serialize(self) -> bytes:
        """Return the attributes as JSON.

        Raises
        ------
        NotFoundError
            If one of them is not set yet.
        InvalidInputError
            If JSON cannot hold one.
        """
        missing = [name for name in self.state if not hasattr(self, name)]
        if missing:
            raise NotFoundError(
                f"Step {self.name!r} has no {', '.join(missing)} yet. Execute it before it is saved."
            )
        try:
            return json.dumps({name: getattr(self, name) for name in self.state}).encode()
        except (TypeError, ValueError) as error:
            raise InvalidInputError(
                f"The state of step {self.name!r} does not go into JSON: {error}. Convert arrays with .tolist()."
            ) from None

    def load(self, data: bytes) -> None:
        """Take the attributes from JSON."""
        try:
            values = json.loads(data)
            found = {name: values[name] for name in self.state}
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidDataError(
                f"The bytes of step {self.name!r} are not its state ({', '.join(self.state)}): {error!r}."
            ) from None
        for name, value in found.items():
            setattr(self, name, value)
