"""Facts: which datasets, algorithms and runs there are, and how they hang together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.catalog.version import is_current

if TYPE_CHECKING:
    from workbench.catalog.catalog import Catalog as Catalog

__all__ = ["Catalog", "is_current"]


def __getattr__(name: str) -> Any:
    # is_current() is for those who want to know without the half second that SQLAlchemy takes to import
    if name == "Catalog":
        from workbench.catalog.catalog import Catalog

        return Catalog
    raise AttributeError(f"module 'workbench.catalog' has no attribute {name!r}; it has {', '.join(__all__)}")
