"""The comment behind a parameter: what it means, its unit and its range."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

#: what may stand alone between commas as a unit; any other one goes in brackets: ``Dose [Gy], 0..10``
UNITS = frozenset(
    [
        "px",
        "pixel",
        "pixels",
        "voxel",
        "voxels",
        "m",
        "km",
        "cm",
        "mm",
        "um",
        "µm",
        "μm",
        "nm",
        "pm",
        "Å",
        "inch",
        "in",
        "s",
        "ms",
        "us",
        "µs",
        "μs",
        "ns",
        "min",
        "h",
        "d",
        "days",
        "Hz",
        "kHz",
        "MHz",
        "GHz",
        "THz",
        "K",
        "°C",
        "C",
        "°F",
        "deg",
        "°",
        "rad",
        "mrad",
        "%",
        "ppm",
        "ppb",
        "eV",
        "meV",
        "keV",
        "MeV",
        "GeV",
        "J",
        "mJ",
        "kJ",
        "W",
        "mW",
        "kW",
        "V",
        "mV",
        "kV",
        "A",
        "mA",
        "µA",
        "nA",
        "Ω",
        "ohm",
        "T",
        "mT",
        "G",
        "N",
        "mN",
        "Pa",
        "kPa",
        "MPa",
        "bar",
        "mbar",
        "g",
        "kg",
        "mg",
        "µg",
        "ug",
        "ng",
        "l",
        "L",
        "ml",
        "mL",
        "µl",
        "uL",
        "mol",
        "mmol",
        "M",
        "mM",
        "µM",
        "uM",
        "nM",
        "counts",
        "count",
        "ADU",
        "e-",
        "electrons",
        "photons",
        "dB",
        "B",
        "kB",
        "MB",
        "GB",
        "TB",
        "KiB",
        "MiB",
        "GiB",
        "arcsec",
        "arcmin",
        "mas",
        "pc",
        "kpc",
        "Mpc",
        "AU",
        "ly",
        "mag",
        "frames",
        "slices",
        "iterations",
    ]
)
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\s*(?:\.\.\.?|…)\s*({_NUMBER})")
_BOUND = re.compile(rf"(>=|≥|>|<=|≤|<)\s*({_NUMBER})")
_BRACKETS = re.compile(r"\s*\[([^\[\]]{1,20})\]")
_LOW = {">=": "ge", "≥": "ge", ">": "gt", "<=": "le", "≤": "le", "<": "lt"}
_TYPE = re.compile(r"type:\s*(\S+)\s*(.*)", re.DOTALL)


@dataclass
class Comment:
    """What a comment says of a parameter; ``bounds`` has the keys of pydantic's ``Field``: ge, gt, le, lt."""

    description: str = ""
    unit: str = ""
    bounds: dict[str, Any] = field(default_factory=dict)
    type: str = ""


def read_comment(text: str, *, is_number: bool = True) -> Comment:
    """Return what the comment of a parameter says.

    The first part is the description; the parts after commas may be a unit and a range. A type comment
    (``# type: float  Width``) comes first.

    Parameters
    ----------
    text : str
        Without the ``#``.
    is_number : bool
        Only numbers have units and ranges; of others the whole text is the description.

    >>> read_comment("Width of the blur, px, 0..10")
    Comment(description='Width of the blur', unit='px', bounds={'ge': 0, 'le': 10}, type='')
    """
    found = Comment()
    text = text.strip()
    if match := _TYPE.fullmatch(text):
        found.type, text = match.groups()
    if not is_number:
        found.description = text.strip()
        return found
    if match := _BRACKETS.search(text):
        found.unit = match.group(1).strip()
        text = text[: match.start()] + text[match.end() :]
    kept = []
    parts = text.split(",")
    for part in parts:
        rest = _without_range(part, found.bounds).strip()
        has_range = rest != part.strip()
        if rest in UNITS and not found.unit and (has_range or len(parts) > 1):
            found.unit = rest
        elif rest or not has_range:
            kept.append(rest if has_range else part)
    found.description = ",".join(kept).strip()
    return found


def _without_range(part: str, bounds: dict[str, Any]) -> str:
    """Return the part without a range that fills it, but for a unit; the range goes to ``bounds``."""
    for pattern in (_RANGE, _BOUND):
        while match := pattern.search(part):
            rest = f"{part[: match.start()]} {part[match.end() :]}".strip()
            if rest and rest not in UNITS and not _BOUND.fullmatch(rest):
                return part  # "the first 3..5 frames of it" is prose
            if pattern is _RANGE:
                bounds |= {"ge": _number(match.group(1)), "le": _number(match.group(2))}
            else:
                bounds[_LOW[match.group(1)]] = _number(match.group(2))
            part = rest
    return part


def _number(text: str) -> int | float:
    return int(text) if re.fullmatch(r"[-+]?\d+", text) else float(text)
