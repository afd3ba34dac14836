BEGIN TRANSACTION;
CREATE TABLE aliases (
	name VARCHAR NOT NULL, 
	alias VARCHAR NOT NULL, 
	target VARCHAR NOT NULL, 
	PRIMARY KEY (name, alias)
);
INSERT INTO "aliases" VALUES('denoise','stable','1.0');
CREATE TABLE catalog_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT catalog_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "catalog_version" VALUES('0003');
CREATE TABLE dataset_tags (
	dataset_id VARCHAR NOT NULL, 
	tag VARCHAR NOT NULL, 
	created BIGINT NOT NULL, 
	PRIMARY KEY (dataset_id, tag), 
	FOREIGN KEY(dataset_id) REFERENCES datasets (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "dataset_tags" VALUES('06h0000000000000000a','raw',1795356000123456);
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
INSERT INTO "datasets" VALUES('06h0000000000000000a','stack','ImageSchema','d1','',1795356000123456,'{"id":"06h0000000000000000a","digest":"d1","schema_name":"ImageSchema","keys":{},"nbytes":4,"name":"stack","tags":["raw"],"attributes":{},"created":"2026-11-22T14:00:00.123456Z","run_id":null,"parents":[],"source":null}');
CREATE TABLE revision_files (
	revision_id VARCHAR NOT NULL, 
	digest VARCHAR NOT NULL, 
	created BIGINT NOT NULL, 
	PRIMARY KEY (revision_id, digest), 
	FOREIGN KEY(revision_id) REFERENCES revisions (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "revision_files" VALUES('06h0000000000000000b','a1',1795356001123456);
INSERT INTO "revision_files" VALUES('06h0000000000000000c','a1',1795356002123456);
INSERT INTO "revision_files" VALUES('06h0000000000000000b','p1',1795356001123456);
INSERT INTO "revision_files" VALUES('06h0000000000000000c','p2',1795356002123456);
CREATE TABLE revision_tags (
	revision_id VARCHAR NOT NULL, 
	tag VARCHAR NOT NULL, 
	created BIGINT NOT NULL, 
	PRIMARY KEY (revision_id, tag), 
	FOREIGN KEY(revision_id) REFERENCES revisions (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "revision_tags" VALUES('06h0000000000000000b','fast',1795356001123456);
INSERT INTO "revision_tags" VALUES('06h0000000000000000c','fast',1795356002123456);
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
INSERT INTO "revisions" VALUES('06h0000000000000000b','denoise',1,0,0,'Undefined',' cpu ',1795356001123456,'{"id":"06h0000000000000000b","name":"denoise","major":1,"minor":0,"type":"Undefined","description":"","tags":["fast"],"supported_devices":["cpu"],"default_device":"cpu","parameters":[],"package":"p1","assets":{"w":"a1"},"runner":"Runner.py","runner_class":"Runner","compox":false,"verdict":null,"settings":{},"created":"2026-11-22T14:00:01.123456Z","source":null,"content":"","declared":""}');
INSERT INTO "revisions" VALUES('06h0000000000000000c','denoise',1,0,1,'Undefined',' cpu ',1795356002123456,'{"id":"06h0000000000000000c","name":"denoise","major":1,"minor":0,"type":"Undefined","description":"","tags":["fast"],"supported_devices":["cpu"],"default_device":"cpu","parameters":[],"package":"p2","assets":{"w":"a1"},"runner":"Runner.py","runner_class":"Runner","compox":false,"verdict":null,"settings":{},"created":"2026-11-22T14:00:02.123456Z","source":null,"content":"","declared":""}');
CREATE TABLE run_inputs (
	run_id VARCHAR NOT NULL, 
	dataset_id VARCHAR NOT NULL, 
	created BIGINT NOT NULL, 
	PRIMARY KEY (run_id, dataset_id), 
	FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "run_inputs" VALUES('06h0000000000000000d','06h0000000000000000a',1795356003123456);
CREATE TABLE run_outputs (
	run_id VARCHAR NOT NULL, 
	dataset_id VARCHAR NOT NULL, 
	created BIGINT NOT NULL, 
	PRIMARY KEY (run_id, dataset_id), 
	FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "run_outputs" VALUES('06h0000000000000000d','06h0000000000000000e',1795356003123456);
CREATE TABLE run_tags (
	run_id VARCHAR NOT NULL, 
	tag VARCHAR NOT NULL, 
	created BIGINT NOT NULL, 
	PRIMARY KEY (run_id, tag), 
	FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "run_tags" VALUES('06h0000000000000000d','paper',1795356003123456);
CREATE TABLE runs (
	id VARCHAR NOT NULL, 
	status VARCHAR NOT NULL, 
	algorithm VARCHAR NOT NULL, 
	algorithm_name VARCHAR NOT NULL, 
	revision VARCHAR NOT NULL, 
	created BIGINT NOT NULL, 
	fraction DOUBLE NOT NULL, 
	message TEXT NOT NULL, 
	record TEXT NOT NULL, reuse_key VARCHAR DEFAULT '' NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "runs" VALUES('06h0000000000000000d','COMPLETED','denoise@1.0','denoise','06h0000000000000000c',1795356003123456,0.5,'half','{"id":"06h0000000000000000d","algorithm":"denoise@1.0","algorithm_name":"denoise","revision":"06h0000000000000000c","status":"COMPLETED","inputs":["06h0000000000000000a"],"parameters":{},"outputs":[{"dataset":"06h0000000000000000e","text":null}],"progress":{"fraction":0.0,"message":""},"error":null,"executor":"kernel","device":"cpu","device_reason":"","session":null,"debug":false,"timeout_s":null,"retries":0,"phases":{},"warnings":[],"environment":{},"pid":null,"pid_started":null,"host":"","user":"","tags":["paper"],"created":"2026-11-22T14:00:03.123456Z","started":null,"finished":null}','k3');
CREATE INDEX ix_datasets_created ON datasets (created, id, name);
CREATE INDEX ix_datasets_name ON datasets (name, created, id);
CREATE INDEX ix_datasets_schema ON datasets (schema_name, created, id);
CREATE INDEX ix_datasets_digest ON datasets (digest, created, id);
CREATE INDEX ix_datasets_run ON datasets (run_id, created, id);
CREATE INDEX ix_revisions_newest ON revisions (newest, created, id, name);
CREATE INDEX ix_revisions_name ON revisions (name, newest, created, id);
CREATE INDEX ix_revisions_version ON revisions (name, major, minor, created, id, newest);
CREATE INDEX ix_runs_created ON runs (created, id);
CREATE INDEX ix_runs_status ON runs (status, created, id);
CREATE INDEX ix_runs_name ON runs (algorithm_name, created, id);
CREATE INDEX ix_runs_algorithm ON runs (algorithm, created, id);
CREATE INDEX ix_runs_revision ON runs (revision, created, id);
CREATE INDEX ix_dataset_tags_tag ON dataset_tags (tag, created, dataset_id);
CREATE INDEX ix_revision_tags_tag ON revision_tags (tag, created, revision_id);
CREATE INDEX ix_revision_files_digest ON revision_files (digest, created, revision_id);
CREATE INDEX ix_run_tags_tag ON run_tags (tag, created, run_id);
CREATE INDEX ix_run_inputs_dataset_id ON run_inputs (dataset_id, created, run_id);
CREATE INDEX ix_run_outputs_dataset_id ON run_outputs (dataset_id, created, run_id);
CREATE INDEX ix_runs_name_status ON runs (algorithm_name, status, created, id);
CREATE INDEX ix_runs_algorithm_status ON runs (algorithm, status, created, id);
CREATE INDEX ix_runs_reuse_key ON runs (reuse_key, created, id);
COMMIT;
