"""What changed between two versions, and what that asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workbench.versions.version import TRAINED, FieldFacts, Version, VersionKind

_ORDER = list(VersionKind)


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One difference between two versions.

    Parameters
    ----------
    name : str
        Of the field; where only digests are known, ``"(digest)"``.
    kind : VersionKind
    before, after : str or None
        The texts of its values; None where there was, or is, no such field.
    renamed : str
        The new name of a field that only has another name; its value stayed.
    """

    name: str
    kind: VersionKind
    before: str | None
    after: str | None
    renamed: str = ""

    def __str__(self) -> str:
        if self.name.endswith(TRAINED):
            words = "trained" if self.before is None else "trained again"
            return self.name.removesuffix(TRAINED).replace(".", " ") + words
        if self.renamed:
            return f"{self.name} is now called {self.renamed}"
        if self.before is None:
            return f"{self.name} added: {self.after}"
        if self.after is None:
            return f"{self.name} removed: {self.before}"
        return f"{self.name} {self.before} -> {self.after}"


def changes(before: Version, after: Version) -> list[FieldChange]:
    """Return what differs, field by field, the greatest changes first; where fields are not known, by digest.

    A field that has another name and kept its value and kind was renamed, which is a patch.
    """
    if before.fields is None or after.fields is None:
        pairs = ((kind, getattr(before, kind), getattr(after, kind)) for kind in _ORDER)
        return [FieldChange("(digest)", kind, a[:7], b[:7]) for kind, a, b in pairs if a != b]
    old, new = dict(before.fields), dict(after.fields)
    found: list[FieldChange] = []
    for name in sorted(old.keys() & new.keys()):
        a, b = old.pop(name), new.pop(name)
        if (a.kind, a.digest) != (b.kind, b.digest):
            found.append(FieldChange(name, min(a.kind, b.kind, key=_ORDER.index), *_texts(a, b)))
    for name, facts in sorted(old.items()):
        same = [other for other, b in new.items() if (b.kind, b.digest) == (facts.kind, facts.digest)]
        if len(same) == 1:
            del new[same[0]]
            found.append(FieldChange(name, VersionKind.PATCH, facts.shown, facts.shown, renamed=same[0]))
        else:
            found.append(FieldChange(name, facts.kind, facts.shown, None))
    found += [FieldChange(name, facts.kind, None, facts.shown) for name, facts in sorted(new.items())]
    return sorted(found, key=lambda change: _ORDER.index(change.kind))


def changed_kind(before: Version, after: Version) -> VersionKind | None:
    """Return what the greatest change between two versions means; None if there is none."""
    found = changes(before, after)
    return found[0].kind if found else None


def what_changed(before: Version, after: Version) -> str:
    """Return the changes between two versions in words: ``major: n_components 2 -> 3; patch: verbose False -> True``."""
    by_kind: dict[VersionKind, list[str]] = {}
    for change in changes(before, after):
        by_kind.setdefault(change.kind, []).append(str(change))
    return "; ".join(f"{kind.value}: {', '.join(found)}" for kind, found in by_kind.items())


def change_note(name: str, before: Version, after: Version, outdated: Sequence[str] = ()) -> str:
    """Return a sentence about a new version of something; nothing if nothing changed.

    Parameters
    ----------
    name : str
    before, after : Version
    outdated : sequence of str
        What has to be trained again for it.

    >>> a, b = Version.of_value("n", 2, "major"), Version.of_value("n", 3, "major")
    >>> change_note("reduce", a, b, ["classify"])
    'reduce: major change: n 2 -> 3, downstream classify needs retraining'
    """
    found = changes(before, after)
    if not found:
        return ""
    needs = (
        f", downstream {' and '.join(outdated)} need{'s' if len(outdated) == 1 else ''} retraining"
        if outdated
        else ""
    )
    return f"{name}: {found[0].kind.value} change: {', '.join(map(str, found))}{needs}"


def is_compatible(before: Version, after: Version) -> bool:
    """Tell whether what worked with one version works with the other: nothing major changed.

    That only one of them has been trained is no change.

    >>> a, b = Version.of_value("n", 2, "major"), Version.of_value("n", 3, "major")
    >>> is_compatible(a, b), is_compatible(a, a + Version.of_value("verbose", 1, "patch"))
    (False, True)
    """
    major = [change for change in changes(before, after) if change.kind is VersionKind.MAJOR]
    return all(change.name == TRAINED and None in (change.before, change.after) for change in major)


def _texts(a: FieldFacts, b: FieldFacts) -> tuple[str, str]:
    if a.kind != b.kind:
        return f"{a.shown} ({a.kind})", f"{b.shown} ({b.kind})"
    if a.shown == b.shown:  # they differ after the part that is kept
        return f"{a.shown} ({a.digest[:7]})", f"{b.shown} ({b.digest[:7]})"
    return a.shown, b.shown
