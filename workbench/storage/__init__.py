"""Bytes: the store contract, its one implementation over any fsspec URL, ETags, and datasets in HDF5."""

from workbench.storage.fsspec_store import FsspecStore
from workbench.storage.store import Store

__all__ = ["FsspecStore", "Store"]
