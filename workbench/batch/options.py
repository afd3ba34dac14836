"""What is said of a sweep beside its points, checked before anything is stored or started."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import Any

from workbench.errors import InvalidInputError
from workbench.execution.executor import check_limits, check_listener, check_priority, check_tags
from workbench.execution.reuse import checked_word
from workbench.names import check_name


def check_options(
    *,
    jobs: Any,
    executor: Any,
    device: Any,
    timeout_s: Any,
    retries: Any,
    reuse: Any,
    name: Any,
    tags: Any,
    priority: Any,
    on_event: Any,
    **flags: Any,
) -> tuple[str, tuple[str, ...]]:
    """Return the name and the tags, if all options of `Sweeps.run` are what they may be.

    Parameters
    ----------
    jobs, executor, device, timeout_s, retries, reuse, name, tags, priority, on_event
    **flags
        By name, what is True or False.

    Raises
    ------
    InvalidInputError
        With the option, its value, and what is expected.
    """
    check_jobs(jobs)
    for option, value, example in (("executor", executor, "process"), ("device", device, "cpu")):
        if value is not None and (not isinstance(value, str) or not value):
            raise InvalidInputError(
                f"{option} is {value!r}, expected text such as {example!r}, or None for the default."
            )
    check_limits(timeout_s, retries)
    if reuse is not None:
        checked_word(reuse)
    check_priority(priority)
    check_listener(on_event)
    check_flags(**flags)
    return "" if name is None else check_name(name, "Sweep name"), check_tags(tags)


def check_jobs(jobs: Any) -> None:
    """Refuse a number of jobs that is none.

    Raises
    ------
    InvalidInputError
    """
    if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1:
        raise InvalidInputError(f"jobs is {jobs!r}, expected a whole number of 1 or more.")


def check_flags(**flags: Any) -> None:
    """Refuse what is neither True nor False: any text would count as true.

    Raises
    ------
    InvalidInputError
    """
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise InvalidInputError(f"{name} is {value!r}, expected True or False.")


def check_points_options(*, grid: Any, zip: Any, sample: Any, samples: Any, seed: Any, fixed: Any) -> None:
    """Refuse what no points can be made of.

    Raises
    ------
    InvalidInputError
        With the argument, its value, and what is expected.
    """
    examples = {
        "grid": (grid, "{'sigma': [1, 2, 3]}"),
        "zip": (zip, "{'sigma': [1, 2], 'mode': ['a', 'b']}"),
        "sample": (sample, "{'sigma': (0.5, 4.0)}"),
        "fixed": (fixed, "{'sigma': 2.0}"),
    }
    for name, (value, example) in examples.items():
        if value is not None and not isinstance(value, Mapping):
            raise InvalidInputError(f"{name} is {value!r}, expected values by name, such as {example}.")
    if isinstance(seed, bool) or not isinstance(seed, Integral):
        raise InvalidInputError(f"seed is {seed!r}, expected a whole number; equal ones draw equal points.")
    if samples is not None and (isinstance(samples, bool) or not isinstance(samples, int) or samples < 1):
        raise InvalidInputError(f"samples is {samples!r}, expected a whole number of 1 or more.")
    if samples is not None and not sample:
        raise InvalidInputError(
            f"samples is {samples}, but nothing says what is drawn. "
            "Pass sample= too, such as sample={'sigma': (0.5, 4.0)}, or leave samples out."
        )
