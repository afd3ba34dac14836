"""What ``%algobatch`` and ``workbench batch`` share: words of a line become a sweep, or a schedule of one."""

from __future__ import annotations

import glob
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workbench.batch.axis_text import is_draw, read_axis
from workbench.commands.words import read_inputs, split_words
from workbench.errors import InvalidInputError

if TYPE_CHECKING:
    from workbench.algorithms.parameters import Parameters
    from workbench.batch.schedule import Schedule
    from workbench.batch.sweep import Sweep
    from workbench.workspace import Workspace

#: of ``Sweeps.run``: how the points are made
POINTS = ("grid", "zip", "table", "sample", "samples", "seed", "fixed")


def read_points(
    parameters: Parameters,
    assignments: Mapping[str, str],
    *,
    body: Mapping[str, Any] | None = None,
    zip: bool = False,
    table: str | None = None,
    samples: int | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Return the options for `Sweeps.run` that ``key=values`` texts mean.

    Several values vary, one value is the same for all points. ``sigma=1,2,3`` and ``sigma=1:3:0.5`` are values; with
    ``samples``, ``sigma=0.5:4`` and ``sigma=log:0.01:1`` are drawn from, and so is a list.

    Parameters
    ----------
    parameters : Parameters
    assignments : mapping
    body : mapping, optional
        Values from a cell's body; a list varies, unless the parameter is one. Texts win.
    zip : bool
        Lists side by side instead of each with each.
    table : str, optional
        A CSV file.
    samples : int, optional
        How many points are drawn.
    seed : int

    Raises
    ------
    InvalidInputError
        If the texts do not go together.
    """
    from workbench.algorithms.kinds import KINDS

    varied: dict[str, Any] = {}
    fixed: dict[str, Any] = {}
    for name, value in (body or {}).items():
        is_list = name in parameters and KINDS[parameters[name].type].is_sequence
        values = value if isinstance(value, list) and not is_list else [value]
        (varied if len(values) != 1 else fixed)[name] = values if len(values) != 1 else values[0]
    for name, text in assignments.items():
        varied.pop(name, None)
        fixed.pop(name, None)
        if samples is not None and is_draw(parameters, name, text):
            varied[name] = text
            continue
        values = read_axis(parameters, name, text)
        (varied if len(values) > 1 else fixed)[name] = values if len(values) > 1 else values[0]
    if samples is not None and zip:
        raise InvalidInputError("--zip and --sample are two ways to make points. Keep one.")
    if samples is not None:
        if not varied:
            raise InvalidInputError(
                "--sample has nothing to draw from. Give an interval, such as sigma=0.5:4, or values, such as mode=a,b."
            )
        return {"sample": varied, "samples": samples, "seed": seed, "table": table, "fixed": fixed}
    if not varied and table is None:
        return {"table": [{}], "fixed": fixed}  # one point
    return {"zip" if zip else "grid": varied, "table": table, "fixed": fixed}


def batch_words(
    workspace: Workspace,
    what: str,
    words: Sequence[str],
    *,
    namespace: Mapping[str, Any] | None = None,
    body: Mapping[str, Any] | None = None,
    zip: bool = False,
    table: str | None = None,
    samples: int | None = None,
    seed: int = 0,
    **options: Any,
) -> Sweep:
    """Run a sweep as written on a line: ``denoise volume sigma=1,2,3 mode=a,b``.

    Parameters
    ----------
    workspace : Workspace
    what : str
        An algorithm's reference or folder, or a notebook.
    words : sequence of str
        Inputs and ``key=values``.
    namespace : mapping, optional
        Variables that inputs may name; also ``table`` may name one.
    body, zip, table, samples, seed
        As for `read_points`.
    **options
        As for `Sweeps.run`.
    """
    target = workspace.sweeps.target(what)
    inputs, assignments = split_words(words)
    points = read_points(
        target.parameters, assignments, body=body, zip=zip, table=table, samples=samples, seed=seed
    )
    if table is not None and table.isidentifier() and table in (namespace or {}):
        points["table"] = (namespace or {})[table]
    given = read_inputs(workspace, _expanded(inputs), namespace)
    return workspace.sweeps.run(
        target, inputs=given[0] if len(given) == 1 else tuple(given), **points, **options
    )


def write_sweep_report(sweep: Sweep, place: str) -> str:
    """Write the pages of a sweep to a folder, in whose name ``{id}`` is the sweep's, and say where they are."""
    return f"report: {sweep.report(place.replace('{id}', sweep.id))}"


def _expanded(words: Sequence[str]) -> list[str]:
    """Return words with the files that a pattern such as ``images/*.tif`` means; no shell has done it for a magic or cron."""
    return [found for word in words for found in (sorted(glob.glob(word)) or [word])]  # noqa: PTH207  absolute ones too


def schedule_words(
    workspace: Workspace, what: str, words: Sequence[str], *, when: str, options: Mapping[str, Any]
) -> Schedule:
    """Let the system's cron run a sweep again and again, after a look whether it could be run now.

    Parameters
    ----------
    workspace : Workspace
    what, words
        As for `batch_words`.
    when : str
        Five fields of cron, such as ``0 2 * * *``.
    options : mapping
        Options of ``workbench batch`` by their long names, such as ``{"jobs": 2, "fail-fast": True}``.

    Raises
    ------
    InvalidInputError, NotFoundError
        If the line means nothing now, or the time is no time of cron.
    UnsupportedError
        If there is no cron here.
    """
    from workbench.batch.schedule import add

    target = workspace.sweeps.target(what)
    inputs, assignments = split_words(words)
    samples = options.get("sample")
    points = read_points(
        target.parameters,
        assignments,
        zip=bool(options.get("zip")),
        table=options.get("table"),
        samples=samples,
        seed=options.get("seed") or 0,
    )
    workspace.sweeps.points(target, **{k: v for k, v in points.items() if k in POINTS})
    read_inputs(workspace, _expanded(inputs))
    command = [sys.executable, "-m", "workbench", "-w", workspace.url, "batch", what, *words]
    for name, value in options.items():
        if value is True:
            command.append(f"--{name}")
        elif value is not None and value is not False:
            command += [f"--{name}", str(value)]
    return add(when, command)
