"""Sweeps at fixed times, by the system's own cron: lines of the user's crontab that end in a mark of ours.

Nothing of ours has to run in between, and a restart of the machine loses nothing.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.errors import InvalidInputError, NotFoundError, StorageError, UnsupportedError, did_you_mean
from workbench.names import new_id
from workbench.pages import Page, Row

_MARK = re.compile(r"^(?P<when>@\w+|(?:\S+\s+){4}\S+)\s+(?P<command>.*) # workbench:(?P<id>[0-9a-z]{20})$")
_EVERY = re.compile(r"(\d+)\s*(m|min|h|d|w)", re.IGNORECASE)
_NAMED = ("@reboot", "@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
#: what each field of a time may be, and the names it may use instead of numbers
_FIELDS = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("weekday", 0, 7, _DAYS),
)


@dataclass(frozen=True, slots=True)
class Schedule:
    """A command that cron starts at fixed times."""

    id: str
    when: str  # in cron's words
    command: str

    def __repr__(self) -> str:
        return f"Schedule {self.id}  {self.when}  {self.command}"


def every(text: str) -> str:
    """Return the time in cron's words for an interval: ``15m``, ``1h``, ``1d``, ``1w``.

    >>> every("15m"), every("2h"), every("1d")
    ('*/15 * * * *', '0 */2 * * *', '0 0 * * *')

    Raises
    ------
    InvalidInputError
        If cron has no such interval: only what divides an hour or a day comes round evenly.
    """
    match = _EVERY.fullmatch(text.strip())
    number, unit = (int(match[1]), match[2][0].lower()) if match else (0, "")
    if unit == "m" and number and 60 % number == 0:
        return "0 * * * *" if number == 60 else f"*/{number} * * * *" if number > 1 else "* * * * *"
    if unit == "h" and number and 24 % number == 0:
        return "0 0 * * *" if number == 24 else f"0 */{number} * * *" if number > 1 else "0 * * * *"
    if (number, unit) == (1, "d"):
        return "0 0 * * *"
    if (number, unit) == (1, "w"):
        return "0 0 * * 0"
    raise InvalidInputError(
        f"--every {text!r} is no interval that cron knows: minutes that divide an hour (5m, 15m), hours that divide a day "
        '(1h, 6h), 1d or 1w. For other times give --cron "0 2 * * 1-5".'
    )


def check_when(when: str) -> str:
    """Return a time in cron's words if it is one.

    Raises
    ------
    InvalidInputError
        With the field that is wrong.
    """
    text = " ".join(when.split())
    if text in _NAMED:
        return text
    parts = text.split(" ")
    if len(parts) != len(_FIELDS):
        raise InvalidInputError(
            f"--cron {when!r} has {len(parts)} fields, expected five (minute hour day month weekday), such as "
            f"'0 2 * * *', or one of {', '.join(_NAMED)}.{did_you_mean(text, _NAMED)}"
        )
    for part, (name, low, high, names) in zip(parts, _FIELDS, strict=True):
        if not all(_is_item(item, low, high, names) for item in part.split(",")):
            raise InvalidInputError(
                f"--cron {when!r}: the {name} is {part!r}, expected {low} to {high}, *, */n, a-b or a list of them."
            )
    return text


def _is_item(item: str, low: int, high: int, names: Sequence[str]) -> bool:
    span, slash, step = item.partition("/")
    if slash and not (step.isdecimal() and int(step) > 0):
        return False
    if span == "*":
        return True
    ends = [str(names.index(e.lower()) + low) if e.lower() in names else e for e in span.split("-")]
    if len(ends) > 2 or not all(e.isdecimal() and low <= int(e) <= high for e in ends):
        return False
    return int(ends[0]) <= int(ends[-1])


def add(when: str, command: Sequence[str], folder: Path | None = None) -> Schedule:
    """Let cron start a command at a time, in a folder (default: the current one); what it says goes to a log file.

    Raises
    ------
    InvalidInputError
        If the time is none.
    UnsupportedError
        If there is no cron.
    StorageError
        If cron refuses, with what it said.
    """
    time = check_when(when)
    id = new_id()
    log = log_of(id)
    words = f"cd {shlex.quote(str(folder or Path.cwd()))} && {shlex.join(command)} >> {shlex.quote(str(log))} 2>&1"
    if "\n" in words:
        raise InvalidInputError("A line of crontab holds no line breaks. Leave them out of the values.")
    lines = _read()
    log.parent.mkdir(parents=True, exist_ok=True)
    escaped = words.replace("%", r"\%")  # cron takes a bare one for a line break
    _write([*lines, f"{time} {escaped} # workbench:{id}"])
    return Schedule(id, time, words)


def schedules() -> Page[Schedule]:
    """Return what cron starts for us; lines of others are left alone."""
    found = [schedule for schedule in map(_parsed, _read()) if schedule is not None]
    hint = 'Add one: workbench batch ALGORITHM sigma=1,2 --cron "0 2 * * *".'
    return Page(found, _row, None, "schedules", hint)


def remove(id: str) -> Schedule:
    """Take a schedule away and return it.

    Raises
    ------
    NotFoundError
        If there is none of that id.
    """
    lines = _read()
    parsed = [(line, _parsed(line)) for line in lines]
    found = next((schedule for _, schedule in parsed if schedule is not None and schedule.id == id), None)
    if found is None:
        raise NotFoundError(f"There is no schedule {id!r}. See: workbench batch --list.")
    _write([line for line, schedule in parsed if schedule is None or schedule.id != id])
    return found


def log_of(id: str) -> Path:
    """Return the file that what a scheduled command says goes to."""
    import platformdirs

    return Path(platformdirs.user_state_dir("workbench", appauthor=False)) / "schedules" / f"{id}.log"


def _parsed(line: str) -> Schedule | None:
    match = _MARK.match(line)
    return Schedule(match["id"], match["when"], match["command"].replace(r"\%", "%")) if match else None


def _row(schedule: Schedule) -> Row:
    return {
        "id": schedule.id,
        "when": schedule.when,
        "command": schedule.command,
        "log": str(log_of(schedule.id)),
    }


def _crontab(*arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    program = shutil.which("crontab")
    if program is None:
        raise UnsupportedError(
            "There is no crontab on this machine, and it keeps the times. Install cron (apt-get install cron), or let another "
            "scheduler run the same line without --every and --cron."
        )
    return subprocess.run([program, *arguments], input=text, capture_output=True, text=True, check=False)


def _read() -> list[str]:
    done = _crontab("-l")
    if done.returncode != 0:
        # what cron says of a user who has no table yet, in the words of its several makers
        if "no crontab" in done.stderr.casefold() or not done.stderr.strip():
            return []
        raise StorageError(f"The crontab cannot be read: {done.stderr.strip()}")
    return done.stdout.splitlines()


def _write(lines: Sequence[str]) -> None:
    done = _crontab("-", text="".join(f"{line}\n" for line in lines))
    if done.returncode != 0:
        raise StorageError(f"The crontab was not changed: {done.stderr.strip() or done.stdout.strip()}")
