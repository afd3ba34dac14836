BEGIN TRANSACTION;
CREATE TABLE aliases (
	name VARCHAR NOT NULL, 
	alias VARCHAR NOT NULL, 
	target VARCHAR NOT NULL, 
	PRIMARY KEY (name, alias)
);
CREATE TABLE catalog_version (version_num VARCHAR(32) NOT NULL, CONSTRAINT catalog_version_pkc PRIMARY KEY (version_num));
INSERT INTO "catalog_version" VALUES('0005');
CREATE TABLE dataset_tags (
	dataset_id VARCHAR NOT NULL, 
	tag VARCHAR NOT NULL, 
	created BIGINT NOT NULL, 
	PRIMARY KEY (dataset_id, tag), 
	FOREIGN KEY(dataset_id) REFERENCES datasets (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
CREATE TABLE datasets (
	id VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	schema_name VARCHAR NOT NULL, 
	digest VARCHAR NOT NULL, 
	run_id VARCHAR NOT NULL, 
	created BIGINT NOT NULL, 
	record TEXT NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE entries (
	number INTEGER NOT NULL, 
	id VARCHAR NOT NULL, 
	scope INTEGER NOT NULL, 
	version INTEGER NOT NULL, 
	name VARCHAR NOT NULL, 
	file VARCHAR NOT NULL, 
	trashed INTEGER NOT NULL, 
	record TEXT NOT NULL, 
	PRIMARY KEY (number), 
	FOREIGN KEY(scope) REFERENCES entry_scopes (id)
);
INSERT INTO "entries" VALUES(1,'06h13kqpwe2xc3ja27cp',1,1,'run1.h5','4a72403c56a2fa8362710f0bc2ac8ae8752684648307ab3945062734c819e51b.h5',0,'{"id":"06h13kqpwe2xc3ja27cp","application":"workspace","domain":"eos","kind":"data","version":1,"name":"run1.h5","digest":"4a72403c56a2fa8362710f0bc2ac8ae8752684648307ab3945062734c819e51b","size":2064,"path":"","metadata":{"temperature":300},"parents":[],"promotions":[],"created":"2026-11-25T08:25:06.019641Z","trashed":null}');
CREATE TABLE entry_parents (
	entry INTEGER NOT NULL, 
	parent VARCHAR NOT NULL, 
	PRIMARY KEY (entry, parent), 
	FOREIGN KEY(entry) REFERENCES entries (number) ON DELETE CASCADE
)
 WITHOUT ROWID

;
CREATE TABLE entry_scopes (
	id INTEGER NOT NULL, 
	application VARCHAR NOT NULL, 
	domain VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	last INTEGER NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "entry_scopes" VALUES(1,'workspace','eos','data',1);
CREATE TABLE entry_values (
	entry INTEGER NOT NULL, 
	"key" VARCHAR NOT NULL, 
	scope INTEGER NOT NULL, 
	value DOUBLE, 
	text VARCHAR, 
	PRIMARY KEY (entry, "key"), 
	FOREIGN KEY(entry) REFERENCES entries (number) ON DELETE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "entry_values" VALUES(1,'temperature',1,300.0,NULL);
CREATE TABLE revision_files (
	revision_id VARCHAR NOT NULL, 
	digest VARCHAR NOT NULL, 
	created BIGINT NOT NULL, 
	PRIMARY KEY (revision_id, digest), 
	FOREIGN KEY(revision_id) REFERENCES revisions (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
CREATE TABLE revision_tags (
	revision_id VARCHAR NOT NULL, 
	tag VARCHAR NOT NULL, 
	created BIGINT NOT NULL, 
	PRIMARY KEY (revision_id, tag), 
	FOREIGN KEY(revision_id) REFERENCES revisions (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
CREATE TABLE revisions (
	id VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	major INTEGER NOT NULL, 
	minor INTEGER NOT NULL, 
	newest INTEGER NOT NULL, 
	type VARCHAR NOT NULL, 
	devices VARCHAR NOT NULL, 
	created BIGINT NOT NULL, 
	record TEXT NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE run_inputs (
	run_id VARCHAR NOT NULL, 
	dataset_id VARCHAR NOT NULL, 
	created BIGINT NOT NULL, 
	PRIMARY KEY (run_id, dataset_id), 
	FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
CREATE TABLE run_outputs (
	run_id VARCHAR NOT NULL, 
	dataset_id VARCHAR NOT NULL, 
	created BIGINT NOT NULL, 
	PRIMARY KEY (run_id, dataset_id), 
	FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
CREATE TABLE run_tags (
	run_id VARCHAR NOT NULL, 
	tag VARCHAR NOT NULL, 
	created BIGINT NOT NULL, 
	PRIMARY KEY (run_id, tag), 
	FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
CREATE TABLE runs (
	id VARCHAR NOT NULL, 
	status VARCHAR NOT NULL, 
	algorithm VARCHAR NOT NULL, 
	algorithm_name VARCHAR NOT NULL, 
	revision VARCHAR NOT NULL, 
	created BIGINT NOT NULL, 
	fraction DOUBLE NOT NULL, 
	message TEXT NOT NULL, 
	record TEXT NOT NULL, 
	reuse_key VARCHAR DEFAULT '' NOT NULL, 
	sweep VARCHAR DEFAULT '' NOT NULL, 
	PRIMARY KEY (id)
);
CREATE INDEX ix_datasets_created ON datasets (created, id, name);
CREATE INDEX ix_datasets_name ON datasets (name, created, id);
CREATE INDEX ix_datasets_schema ON datasets (schema_name, created, id);
CREATE INDEX ix_datasets_digest ON datasets (digest, created, id);
CREATE INDEX ix_datasets_run ON datasets (run_id, created, id);
CREATE INDEX ix_revisions_newest ON revisions (newest, created, id, name);
CREATE INDEX ix_revisions_name ON revisions (name, newest, created, id);
CREATE INDEX ix_revisions_version ON revisions (name, major, minor, created, id, newest);
CREATE INDEX ix_runs_revision ON runs (revision, created, id);
CREATE INDEX ix_runs_created ON runs (created, id);
CREATE INDEX ix_runs_reuse_key ON runs (reuse_key, created, id);
CREATE INDEX ix_runs_sweep ON runs (sweep, created, id);
CREATE INDEX ix_runs_status ON runs (status, created, id);
CREATE INDEX ix_runs_name ON runs (algorithm_name, created, id);
CREATE INDEX ix_runs_name_status ON runs (algorithm_name, status, created, id);
CREATE INDEX ix_runs_algorithm ON runs (algorithm, created, id);
CREATE INDEX ix_runs_algorithm_status ON runs (algorithm, status, created, id);
CREATE UNIQUE INDEX ix_entry_scopes_names ON entry_scopes (application, domain, kind);
CREATE INDEX ix_dataset_tags_tag ON dataset_tags (tag, created, dataset_id);
CREATE INDEX ix_revision_tags_tag ON revision_tags (tag, created, revision_id);
CREATE INDEX ix_revision_files_digest ON revision_files (digest, created, revision_id);
CREATE INDEX ix_run_tags_tag ON run_tags (tag, created, run_id);
CREATE INDEX ix_run_inputs_dataset_id ON run_inputs (dataset_id, created, run_id);
CREATE INDEX ix_run_outputs_dataset_id ON run_outputs (dataset_id, created, run_id);
CREATE INDEX ix_entries_version ON entries (scope, trashed, version, number);
CREATE INDEX ix_entries_scope ON entries (scope, trashed, number);
CREATE INDEX ix_entries_file ON entries (file);
CREATE UNIQUE INDEX ix_entries_id ON entries (id);
CREATE INDEX ix_entry_values_value ON entry_values (scope, "key", value, entry);
CREATE INDEX ix_entry_values_text ON entry_values (scope, "key", text, entry);
CREATE INDEX ix_entry_parents_parent ON entry_parents (parent, entry);
COMMIT;
