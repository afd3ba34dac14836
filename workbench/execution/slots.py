"""What a background run needs of the machine beside a free worker: memory and a GPU of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.errors import InvalidInputError

if TYPE_CHECKING:
    from workbench.models import Revision
    from workbench.settings import Settings

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


@dataclass(frozen=True, slots=True)
class Needs:
    """What a run takes while it runs.

    Parameters
    ----------
    memory : int
        Bytes; 0 where nothing was declared.
    gpu : str or None
        The device that no other run may have meanwhile.
    """

    memory: int = 0
    gpu: str | None = None


def needs_of(revision: Revision, device: str, settings: Settings) -> Needs:
    """Return what a run of a revision on a device needs, as declared in its ``[tool.workbench]``."""
    declared = revision.settings.get("memory", 0)
    shares = settings.share_gpu or bool(revision.settings.get("shares_gpu"))
    return Needs(
        memory=parse_size(declared, "memory") if declared else 0,
        gpu=None if device == "cpu" or shares else device,
    )


def parse_size(value: object, what: str) -> int:
    """Return bytes from a number or a text such as ``"4 GB"``.

    >>> parse_size("4 GB", "memory"), parse_size("512 MiB", "memory"), parse_size(1000, "memory")
    (4000000000, 536870912, 1000)

    Raises
    ------
    InvalidInputError
        If it is neither.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise InvalidInputError(f'{what} is {value!r}, expected bytes or a text such as "4 GB".')
    number, prefix, binary = match.groups()
    return int(float(number) * (1024 if binary else 1000) ** _POWERS[prefix.lower()])
