"""Facts: which datasets, algorithms and runs there are, and how they hang together."""

from workbench.catalog.catalog import Catalog

__all__ = ["Catalog"]
