"""Whether two values are the same: bit by bit, within a tolerance, or where they differ first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

IDENTICAL, CLOSE, DIFFERENT, GONE = "identical", "within tolerance", "different", "gone"
NOT_REPLAYED = "not replayed"  # a node of a pipeline that cannot be computed again
NOT_COMPARED = "not compared"  # an object that is kept nowhere
_WORST_FIRST = (DIFFERENT, GONE, NOT_REPLAYED, CLOSE, IDENTICAL, NOT_COMPARED)
BLOCK = 1 << 20  # elements that are compared at once: large arrays are mapped, and stay so


@dataclass(frozen=True, slots=True)
class Match:
    """How one value compares: the verdict, the largest difference of numbers, and what is to be said of it."""

    verdict: str
    largest: float | None = None
    text: str = ""


def worst(verdicts: Iterable[str]) -> str:
    """Return the verdict on a whole: the worst of its parts. What cannot be compared counts only where nothing else was."""
    found = set(verdicts)
    return next((verdict for verdict in _WORST_FIRST if verdict in found), IDENTICAL)


def match_values(old: Any, new: Any, rtol: float = 0.0, atol: float = 0.0) -> Match:
    """Compare two values of a dataset: arrays, numbers or texts.

    Parameters
    ----------
    old, new : array, number or text
    rtol, atol : float
        Numbers are within tolerance where ``|new - old| <= atol + rtol * |old|``; NaN is equal to NaN.
    """
    import numpy as np

    if isinstance(old, str) or isinstance(new, str):
        same = type(old) is type(new) and old == new
        return Match(IDENTICAL) if same else Match(DIFFERENT, text=f"{_short(old)} -> {_short(new)}")
    a, b = np.asarray(old), np.asarray(new)
    if a.shape != b.shape or a.dtype != b.dtype:
        return Match(DIFFERENT, text=f"{a.shape} {a.dtype} -> {b.shape} {b.dtype}")
    differing, outside, largest, first = 0, 0, 0.0, None
    flat_a, flat_b = a.reshape(-1), b.reshape(-1)
    is_number = a.dtype.kind in "biufc"
    for begin in range(0, a.size, BLOCK):
        x, y = flat_a[begin : begin + BLOCK], flat_b[begin : begin + BLOCK]
        if not a.dtype.hasobject and x.tobytes() == y.tobytes():
            continue
        if not is_number:
            wrong = x != y
        else:
            changed, wrong, most = _numbers(x, y, rtol, atol)
            differing += changed
            largest = max(largest, most)
        found = np.flatnonzero(wrong)
        outside += len(found)
        if first is None and len(found):
            first = begin + int(found[0])
    if first is not None:
        where = [int(i) for i in np.unravel_index(first, a.shape)]
        at = f" at {where}" if where else ""
        by = f", by at most {largest:.3g}" if is_number else ""
        text = (
            f"{outside} of {a.size} values{by}; first{at}: {_short(flat_a[first])} -> {_short(flat_b[first])}"
        )
        return Match(DIFFERENT, largest if is_number else None, text)
    if differing:
        return Match(CLOSE, largest, f"{differing} of {a.size} values, by at most {largest:.3g}")
    return Match(IDENTICAL)


def leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield the values of a tree with their names: ``mask``, ``points/0``, ``model/weights``."""
    if isinstance(value, Mapping):
        for key, member in value.items():
            yield from leaves(member, f"{name}/{key}" if name else str(key))
    elif isinstance(value, (list, tuple)):
        for number, member in enumerate(value):
            yield from leaves(member, f"{name}/{number}")
    else:
        yield name, value


def match_trees(
    old: Mapping[str, Any], new: Mapping[str, Any], rtol: float, atol: float
) -> Sequence[tuple[str, Match]]:
    """Compare two datasets, key by key."""
    before, after = dict(leaves(old, "")), dict(leaves(new, ""))
    return [
        (
            name,
            match_values(before[name], after[name], rtol, atol)
            if name in before and name in after
            else Match(DIFFERENT, text="new" if name in after else "no longer there"),
        )
        for name in dict.fromkeys([*before, *after])
    ]


def _numbers(x: np.ndarray, y: np.ndarray, rtol: float, atol: float) -> tuple[int, np.ndarray, float]:
    """Return how many numbers differ in bits, which are outside of the tolerance, and the largest difference."""
    import numpy as np

    wide: Any = np.complex128 if x.dtype.kind == "c" else np.longdouble
    p: np.ndarray = x.astype(wide)
    q: np.ndarray = y.astype(wide)
    unlike = ~((p == q) | (np.isnan(p) & np.isnan(q)))
    bits = (x.view(np.uint8).reshape(x.size, -1) != y.view(np.uint8).reshape(y.size, -1)).any(axis=1)
    with np.errstate(all="ignore"):
        distance = np.abs(q - p)
        outside = unlike & ~(distance <= atol + rtol * np.abs(p))  # not "greater": NaN is outside
    finite = distance[np.isfinite(distance)]
    infinite = bool((unlike & ~np.isfinite(distance)).any())
    return int(bits.sum()), outside, float("inf") if infinite else float(finite.max(initial=0.0))


def _short(value: Any) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
