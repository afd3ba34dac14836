"""Versions of code: fields that count, their digests, and what changed between two versions."""

from __future__ import annotations

from workbench.versions.changes import FieldChange, changed_kind, changes, is_compatible, what_changed
from workbench.versions.fields import Versioned, VersionedDict, VersionedField, version_of
from workbench.versions.version import FieldFacts, Version, VersionKind

__all__ = [
    "FieldChange",
    "FieldFacts",
    "Version",
    "VersionKind",
    "Versioned",
    "VersionedDict",
    "VersionedField",
    "changed_kind",
    "changes",
    "is_compatible",
    "version_of",
    "what_changed",
]
