"""The tables of the catalog. A change here is a new step in ``migrations/versions`` and a new ``version.HEAD``.

Each record is kept whole, as JSON text in ``record``; the columns beside it are what lists are filtered and sorted
by. What may be absent in a record is the empty text in its column, so that no comparison meets NULL. Times are whole
microseconds since 1970 (UTC): they sort the same everywhere and lose nothing.

Every index that serves a list holds ``created, id`` after what is filtered: the database walks it in the order of the
list and stops after one page, whatever the size of the table.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    text,
)

from workbench.catalog.version import WORKSPACE_TABLE

metadata = MetaData()

# Text that is compared: by code point, as SQLite does, whatever the locale of a PostgreSQL server.
Word = String().with_variant(String(collation="C"), "postgresql")
# SQLite counts up only what is called INTEGER, which has 64 bits there
Number = BigInteger().with_variant(Integer, "sqlite")


def _link(name: str, owner: str, owner_column: str, value_column: str) -> Table:
    """Return a table (owner, value, created): what many records have many of.

    ``created`` repeats the owner's, so that the records with one value are found in the order of the list.
    """
    return Table(
        name,
        metadata,
        Column(owner_column, Word, ForeignKey(f"{owner}.id", ondelete="CASCADE"), primary_key=True),
        Column(value_column, Word, primary_key=True),
        Column("created", BigInteger, nullable=False),
        # the records that have this value, newest first; and how many records have it
        Index(f"ix_{name}_{value_column}", value_column, "created", owner_column),
        sqlite_with_rowid=False,
    )


def _partial(name: str, *columns: str, where: str) -> Index:
    """Return an index that holds some rows only on SQLite, where each index of a row costs most."""
    return Index(name, *columns, sqlite_where=text(where))


# The workspace whose store the catalog was filled from. There is no row before that, and never a second one.
workspace = Table(
    WORKSPACE_TABLE,
    metadata,
    Column("id", Word, primary_key=True),  # empty where a catalog is older than this table
    Column("url", Text, nullable=False),  # where it was then
)

datasets = Table(
    "datasets",
    metadata,
    Column("id", Word, primary_key=True),
    Column("name", Word, nullable=False),
    Column("schema_name", Word, nullable=False),
    Column("digest", Word, nullable=False),
    Column("run_id", Word, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("record", Text, nullable=False),
    # list_datasets(), also with name="*text*": the name is there so that rows that do not match are never read
    Index("ix_datasets_created", "created", "id", "name"),
    # list_datasets(name=...), order="name", newest_dataset, dataset_names
    Index("ix_datasets_name", "name", "created", "id"),
    # list_datasets(schema=...)
    Index("ix_datasets_schema", "schema_name", "created", "id"),
    # list_datasets(digest=...), objects_in_use
    Index("ix_datasets_digest", "digest", "created", "id"),
    # list_datasets(run_id=...)
    Index("ix_datasets_run", "run_id", "created", "id"),
)
dataset_tags = _link("dataset_tags", "datasets", "dataset_id", "tag")
# referrers
dataset_parents = _link("dataset_parents", "datasets", "dataset_id", "parent")

revisions = Table(
    "revisions",
    metadata,
    Column("id", Word, primary_key=True),
    Column("name", Word, nullable=False),
    Column("major", Integer, nullable=False),
    Column("minor", Integer, nullable=False),
    Column("newest", Integer, nullable=False),  # 1 for the newest revision of each name@major.minor, else 0
    Column("type", Word, nullable=False),
    Column("devices", Word, nullable=False),  # " cpu cuda "
    Column("created", BigInteger, nullable=False),
    Column("record", Text, nullable=False),
    # list_revisions(); newest_only=False merges the walk of the newest with that of the others
    Index("ix_revisions_newest", "newest", "created", "id", "name"),
    # list_revisions(name=...)
    Index("ix_revisions_name", "name", "newest", "created", "id"),
    # find_revision, algorithm_names, algorithm_versions, list_revisions(order="name")
    Index("ix_revisions_version", "name", "major", "minor", "created", "id", "newest"),
)
revision_tags = _link("revision_tags", "revisions", "revision_id", "tag")
# digests of the package and the assets: files_in_use
revision_files = _link("revision_files", "revisions", "revision_id", "digest")

aliases = Table(
    "aliases",
    metadata,
    Column("name", Word, primary_key=True),
    Column("alias", Word, primary_key=True),
    Column("target", Word, nullable=False),  # "1.2" or the id of a revision
)

runs = Table(
    "runs",
    metadata,
    Column("id", Word, primary_key=True),
    Column("status", Word, nullable=False),
    Column("algorithm", Word, nullable=False),
    Column("algorithm_name", Word, nullable=False),
    Column("revision", Word, nullable=False),
    Column("created", BigInteger, nullable=False),
    # what update_progress writes without touching the record; reading puts it back
    Column("fraction", Double, nullable=False),
    Column("message", Text, nullable=False),
    Column("record", Text, nullable=False),
    # RunRecord.reuse_key of a completed run that computed its outputs itself, else empty
    Column("reuse_key", Word, nullable=False, server_default=""),
    # RunRecord.sweep, empty for a run of its own
    Column("sweep", Word, nullable=False, server_default=""),
    # list_runs()
    Index("ix_runs_created", "created", "id"),
    # list_runs(status=...), one walk per status
    Index("ix_runs_status", "status", "created", "id"),
    # list_runs(algorithm="name")
    Index("ix_runs_name", "algorithm_name", "created", "id"),
    # list_runs(algorithm="name", status=...)
    Index("ix_runs_name_status", "algorithm_name", "status", "created", "id"),
    # list_runs(algorithm="name@1.2")
    Index("ix_runs_algorithm", "algorithm", "created", "id"),
    # list_runs(algorithm="name@1.2", status=...)
    Index("ix_runs_algorithm_status", "algorithm", "status", "created", "id"),
    # list_runs(revision=...), runs_of_revision
    Index("ix_runs_revision", "revision", "created", "id"),
    # runs_with_key
    Index("ix_runs_reuse_key", "reuse_key", "created", "id"),
    # list_runs(sweep=...)
    Index("ix_runs_sweep", "sweep", "created", "id"),
)
run_tags = _link("run_tags", "runs", "run_id", "tag")
# consumers, referrers, list_runs(dataset=...)
run_inputs = _link("run_inputs", "runs", "run_id", "dataset_id")
# producer, reusing, list_runs(dataset=...)
run_outputs = _link("run_outputs", "runs", "run_id", "dataset_id")

# An application's domain and kind, and the highest version it ever had: who allocates one changes this row.
entry_scopes = Table(
    "entry_scopes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("application", Word, nullable=False),
    Column("domain", Word, nullable=False),
    Column("kind", Word, nullable=False),
    Column("last", Integer, nullable=False),
    # every question about entries begins here
    Index("ix_entry_scopes_names", "application", "domain", "kind", unique=True),
)

entries = Table(
    "entries",
    metadata,
    Column("number", Number, primary_key=True),  # in the order in which they were added
    Column("id", Word, nullable=False),
    Column("scope", Integer, ForeignKey("entry_scopes.id"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("name", Word, nullable=False),
    Column("file", Word, nullable=False),  # the key of a copy; "at " and the path of a file by reference
    Column("trashed", Integer, nullable=False),
    Column("record", Text, nullable=False),
    Column("size", BigInteger, nullable=False, server_default="0"),
    Column("created", BigInteger, nullable=False, server_default="0"),
    # get_entries
    Index("ix_entries_id", "id", unique=True),
    # search_entries(), order="created"
    Index("ix_entries_scope", "scope", "trashed", "number"),
    # search_entries(version=...), order="version", entry_versions
    Index("ix_entries_version", "scope", "trashed", "version", "number"),
    # search_entries(name=...)
    Index("ix_entries_name", "scope", "trashed", "name", "number"),
    # search_entries(where="size > 1000"), order="size"
    Index("ix_entries_size", "scope", "trashed", "size", "number"),
    # search_entries(where="created >= '2026-03-01'")
    Index("ix_entries_created", "scope", "trashed", "created", "number"),
    # users_of
    Index("ix_entries_file", "file"),
)

# One row for each number, truth value or text in the metadata of an entry that is not in the trash.
entry_values = Table(
    "entry_values",
    metadata,
    Column("entry", Number, ForeignKey("entries.number", ondelete="CASCADE"), primary_key=True),
    Column("key", Word, primary_key=True),
    Column("scope", Integer, nullable=False),
    Column("value", Double),
    Column("text", Word),
    # search_entries: comparisons, and order by a key
    _partial("ix_entry_values_value", "scope", "key", "value", "entry", where="value IS NOT NULL"),
    _partial("ix_entry_values_text", "scope", "key", "text", "entry", where="text IS NOT NULL"),
    sqlite_with_rowid=False,
)

entry_parents = Table(
    "entry_parents",
    metadata,
    Column("entry", Number, ForeignKey("entries.number", ondelete="CASCADE"), primary_key=True),
    Column("parent", Word, primary_key=True),
    # children_of_entry, referrers
    Index("ix_entry_parents_parent", "parent", "entry"),
    sqlite_with_rowid=False,
)

# A row for each version of a bundle, also for those that were deleted: no version is given twice.
bundles = Table(
    "bundles",
    metadata,
    Column("number", Number, primary_key=True),
    Column("name", Word, nullable=False),
    Column("version", Integer, nullable=False),
    Column("deleted", Integer, nullable=False),
    Column("record", Text, nullable=False),  # without its files: they may be many, and are in the store
    # every question about bundles
    Index("ix_bundles_name", "name", "version", unique=True),
)

bundle_files = Table(
    "bundle_files",
    metadata,
    Column("bundle", Number, ForeignKey("bundles.number", ondelete="CASCADE"), primary_key=True),
    Column("digest", Word, primary_key=True),
    # users_of
    Index("ix_bundle_files_digest", "digest", "bundle"),
    sqlite_with_rowid=False,
)

bundle_parents = Table(
    "bundle_parents",
    metadata,
    Column("bundle", Number, ForeignKey("bundles.number", ondelete="CASCADE"), primary_key=True),
    Column("parent", Word, primary_key=True),
    # referrers
    Index("ix_bundle_parents_parent", "parent", "bundle"),
    sqlite_with_rowid=False,
)

# What has versions of its own: steps, and pipelines of them.
steps = Table(
    "steps",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("kind", Word, nullable=False),
    Column("name", Word, nullable=False),
    Column("record", Text, nullable=False),
    # every question about steps begins here; step_names
    Index("ix_steps_name", "kind", "name", unique=True),
)

step_versions = Table(
    "step_versions",
    metadata,
    # in this order they are listed, and the newest is found
    Column("step", Integer, ForeignKey("steps.id", ondelete="CASCADE"), primary_key=True),
    Column("major", Integer, primary_key=True),
    Column("minor", Integer, primary_key=True),
    Column("patch", Integer, primary_key=True),
    Column("digest", Word, nullable=False),  # all three, with dots between them; of a deleted one empty
    Column("record", Text, nullable=False),
    # versions_with_digest
    Index("ix_step_versions_digest", "step", "digest"),
    sqlite_with_rowid=False,
)

# Which version of a step another one worked with, or one version of it; 0.0.0 is all of its versions.
step_links = Table(
    "step_links",
    metadata,
    Column("downstream", Integer, ForeignKey("steps.id", ondelete="CASCADE"), primary_key=True),
    Column("upstream", Integer, ForeignKey("steps.id", ondelete="CASCADE"), primary_key=True),
    Column("major", Integer, primary_key=True),
    Column("minor", Integer, primary_key=True),
    Column("patch", Integer, primary_key=True),
    Column("down_major", Integer, primary_key=True),
    Column("down_minor", Integer, primary_key=True),
    Column("down_patch", Integer, primary_key=True),
    Column("created", BigInteger, nullable=False),
    # step_links(upstream=...), also of one version
    Index("ix_step_links_upstream", "upstream", "major", "minor", "patch", "downstream"),
    sqlite_with_rowid=False,
)
