"""What changed between two versions as a table."""

from __future__ import annotations

from workbench.pages import Page
from workbench.versions.changes import FieldChange, changes
from workbench.versions.version import Version


def change_table(before: Version, after: Version) -> Page[FieldChange]:
    """Return what differs between two versions, field by field, the greatest changes first."""
    return Page(
        changes(before, after),
        lambda change: {
            "change": change.kind.value,
            "field": f"{change.name} (now {change.renamed})" if change.renamed else change.name,
            "before": change.before,
            "after": change.after,
        },
        None,
        "changes",
        "The two versions are the same.",
    )
