"""The words of a line: inputs, parameters, and the line that repeats a run."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import (
    InvalidInputError,
    InvalidParameterError,
    NotFoundError,
    did_you_mean,
)
from workbench.library.input_folders import SOURCE

if TYPE_CHECKING:
    from workbench.algorithms.runnable import Runnable
    from workbench.workspace import Workspace

_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_EXPRESSION = re.compile(r"([A-Za-z_]\w*)\s*[\[.(]")


def split_words(words: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Split the words after an algorithm's name into inputs and ``key=value`` texts.

    >>> split_words(["volume", "sigma=2.0"])
    (['volume'], {'sigma': '2.0'})

    Raises
    ------
    InvalidInputError
        If a key is given twice.
    """
    inputs: list[str] = []
    assignments: dict[str, str] = {}
    for word in words:
        match = _ASSIGNMENT.fullmatch(word)
        if match is None:
            inputs.append(word)
            continue
        key, value = match.groups()
        if key in assignments:
            raise InvalidInputError(
                f"Parameter {key!r} is given twice: {assignments[key]!r} and {value!r}. Keep one."
            )
        assignments[key] = value
    return inputs, assignments


def read_parameters(
    algorithm: Runnable, assignments: Mapping[str, str], body: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return parameter values from ``key=value`` texts and a cell body; texts win.

    Raises
    ------
    InvalidParameterError
        With every problem found.
    """
    parameters = algorithm.parameters
    values: dict[str, Any] = dict(body or {})
    problems: dict[str, str] = {}
    for key, text in assignments.items():
        if key not in parameters.names:
            values[key] = text  # refused with its nearest name by `validate`
            continue
        try:
            values[key] = parameters.parse(key, text)
        except InvalidParameterError as error:
            problems.update(error.problems or {key: str(error)})
    if problems:
        raise InvalidParameterError("\n".join(problems.values()), problems=problems)
    return values


def read_inputs(
    workspace: Workspace, words: Sequence[str], namespace: Mapping[str, Any] | None = None
) -> list[Any]:
    """Return the inputs that words name: a variable, a dataset id or name, or a file, in this order; ``bundle:name@3`` is a bundle.

    Raises
    ------
    NotFoundError
        If a word names none of them.
    """
    return [_read_input(workspace, word, namespace or {}) for word in words]


def _read_input(workspace: Workspace, word: str, namespace: Mapping[str, Any]) -> Any:
    if word.isidentifier() and word in namespace:
        return namespace[word]
    if word.startswith(SOURCE):
        return workspace.bundles.get(word.removeprefix(SOURCE))
    path = Path(word).expanduser()
    expression = _EXPRESSION.match(word)
    if (
        expression and expression.group(1) in namespace and not path.exists()
    ):  # coins.png beside a variable coins
        try:
            ast.parse(word, mode="eval")
            return eval(word, dict(namespace))  # the user's own expression in the user's own namespace
        except Exception as error:
            raise InvalidInputError(
                f"Input {word!r} cannot be computed: {type(error).__name__}: {error}."
            ) from error
    try:
        return workspace.datasets.find(word)
    except (NotFoundError, InvalidInputError):
        if path.exists():
            return path
    arrays = [k for k, v in namespace.items() if hasattr(v, "shape") and not k.startswith("_")]
    known = [*arrays, *workspace.datasets.names()]
    raise NotFoundError(
        f"Input {word!r} is no variable, dataset or file.{did_you_mean(word, known)} "
        "Pass an array's name, a dataset's id or name, a path, or bundle:name@version."
    )


def write_call(algorithm: str, inputs: Sequence[str], values: Mapping[str, Any]) -> str:
    """Return the ``%algorun`` line that repeats a run.

    >>> write_call("denoise@1.0", ["volume"], {"sigma": 2.0, "mode": "a b"})
    "%algorun denoise@1.0 volume sigma=2.0 'mode=a b'"
    """
    import json
    import shlex

    words = [algorithm, *inputs]
    for key, value in values.items():
        text = value if isinstance(value, str) else json.dumps(value)
        words.append(f"{key}={text}")
    return "%algorun " + " ".join(shlex.quote(w) for w in words)
