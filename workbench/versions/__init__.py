"""Versions of code: fields that count, their digests, and what changed between two versions."""

from __future__ import annotations

from workbench.versions.changes import (
    FieldChange,
    change_note,
    changed_kind,
    changes,
    is_compatible,
    what_changed,
)
from workbench.versions.fields import Versioned, VersionedDict, VersionedField, fields_of, version_of
from workbench.versions.table import change_table
from workbench.versions.version import FieldFacts, Version, VersionKind

__all__ = [
    "FieldChange",
    "FieldFacts",
    "Version",
    "VersionKind",
    "Versioned",
    "VersionedDict",
    "VersionedField",
    "change_note",
    "change_table",
    "changed_kind",
    "changes",
    "fields_of",
    "is_compatible",
    "version_of",
    "what_changed",
]
