"""The version of code that a revision of an algorithm has: its ``major.minor``, its Runner's fields, its code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from workbench.models import FieldRecord, Revision
from workbench.pages import Page, Row
from workbench.versions import FieldFacts, Version, VersionKind, what_changed

_SHOWN = 12  # characters of a digest that tell two contents apart


def version_of_revision(revision: Revision, fields: Mapping[str, FieldRecord] | None = None) -> Version:
    """Return the version of a revision.

    What its author promises by ``major.minor`` counts as major and minor, the versioned fields of the Runner by their own kinds,
    and code and assets as a patch: only what somebody declared can ask for training again.

    Parameters
    ----------
    revision : Revision
    fields : mapping, optional
        Of the Runner class; default: those that the deploy gate found.
    """
    total = _sum(fields_of(revision) if fields is None else fields)
    total += Version.of_value("algorithm major", revision.major, "major")
    total += Version.of_value("algorithm minor", revision.minor, "minor")
    total += Version.of_value("code", revision.package[:_SHOWN], "patch")
    for path, digest in sorted(revision.assets.items()):
        if path != "pyproject.toml":  # what it says counts above
            total += Version.of_value(path, digest[:_SHOWN], "patch")
    return replace(total, created=revision.created.timestamp())


def fields_of(revision: Revision) -> dict[str, FieldRecord]:
    """Return the versioned fields of a revision's Runner; none where nobody has looked."""
    return (revision.verdict.fields if revision.verdict else None) or {}


def fields_version(revision: Revision) -> Version:
    """Return the version of the fields alone, which is that of the Runner class."""
    return _sum(fields_of(revision))


def _sum(fields: Mapping[str, FieldRecord]) -> Version:
    total = Version()
    for name, field in sorted(fields.items()):
        total += Version.of_facts(name, FieldFacts(VersionKind(field.kind), field.digest, field.shown))
    return total


def revision_table(revisions: Sequence[Revision]) -> Page[Revision]:
    """Return revisions, newest first, as a table that says of each what changed since the one before."""
    before = {new.id: old for new, old in pairwise(revisions)}

    def row(revision: Revision) -> Row:
        version, older = version_of_revision(revision), before.get(revision.id)
        return {
            "number": revision.version,
            "digest": version.short,
            "time": revision.created,
            "changed": what_changed(version_of_revision(older), version) if older else "first version",
            "revision": revision.id,
        }

    return Page(revisions, row, None, "revisions", "Deploy the algorithm first: %algodeploy FOLDER.")
