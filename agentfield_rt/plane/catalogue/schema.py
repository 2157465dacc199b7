"""The tables of the catalogue. They can be dropped at any time: the journal is the truth.

A changed schema is a new version, and a file of another version is made anew; there are no migrations.
"""

VERSION = 3

APPLICATION_ID = 0x41465831  # "AFX1"; a file with another is made anew

# Ids are the agents' and callers' choice, so no row trusts that one is unique beyond its run: whatever is in
# one run never touches the rows of another, and runs may be read in any order. `seq` is the record in which
# something is first told of.
SCHEMA = """
CREATE TABLE runs (
    run_id TEXT PRIMARY KEY, seq INTEGER NOT NULL, hash BLOB NOT NULL,
    status TEXT NOT NULL DEFAULT 'open', reason TEXT, session_id TEXT,
    started_at_ns INTEGER NOT NULL, changed_at_ns INTEGER NOT NULL, ended_at_ns INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX runs_by_time ON runs (started_at_ns);
CREATE INDEX runs_open ON runs (run_id) WHERE ended_at_ns IS NULL;

CREATE TABLE executions (
    execution_id TEXT NOT NULL, run_id TEXT NOT NULL, seq INTEGER NOT NULL,
    node_id TEXT NOT NULL, name TEXT NOT NULL,
    capability TEXT NOT NULL DEFAULT 'reasoner', status TEXT NOT NULL, reason TEXT,
    parent_execution_id TEXT, session_id TEXT, turn_id TEXT, actor_id TEXT, restart_of TEXT,
    is_reported INTEGER NOT NULL DEFAULT 0, is_remote INTEGER NOT NULL DEFAULT 0,
    depth INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0,
    time_max_ms INTEGER NOT NULL DEFAULT 0,
    input_ref TEXT, result_ref TEXT, error_ref TEXT, error_details_ref TEXT,
    usage_ref TEXT, context_ref TEXT, run_metadata_ref TEXT, webhook_ref TEXT,
    queued_at_ns INTEGER NOT NULL, started_at_ns INTEGER, ended_at_ns INTEGER,
    PRIMARY KEY (execution_id, run_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX executions_by_run ON executions (run_id, seq);
CREATE INDEX executions_by_time ON executions (queued_at_ns);
CREATE INDEX executions_by_session ON executions (session_id, queued_at_ns) WHERE session_id IS NOT NULL;

CREATE VIEW run_totals AS
SELECT run_id, count(*) AS executions_total, sum(status = 'succeeded') AS succeeded_total,
    sum(status IN ('failed', 'timeout')) AS failed_total, max(actor_id) AS actor_id
FROM executions GROUP BY run_id;

CREATE TABLE sessions (
    session_id TEXT NOT NULL, run_id TEXT NOT NULL, seq INTEGER NOT NULL, target TEXT NOT NULL,
    provider TEXT NOT NULL, transport TEXT NOT NULL, model TEXT, voice TEXT,
    modalities TEXT NOT NULL, tools TEXT NOT NULL, tags TEXT NOT NULL, owner TEXT,
    started_at_ns INTEGER NOT NULL, ended_at_ns INTEGER, close_reason TEXT,
    PRIMARY KEY (session_id, run_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_time ON sessions (started_at_ns);
CREATE INDEX sessions_by_run ON sessions (run_id);

CREATE TABLE turns (
    run_id TEXT NOT NULL, turn_id TEXT NOT NULL, seq INTEGER NOT NULL, session_id TEXT,
    status TEXT NOT NULL, reason TEXT, started_at_ns INTEGER NOT NULL, ended_at_ns INTEGER,
    PRIMARY KEY (run_id, turn_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE notes (
    run_id TEXT NOT NULL, seq INTEGER NOT NULL, execution_id TEXT NOT NULL, note_ref TEXT NOT NULL,
    at_ns INTEGER NOT NULL,
    PRIMARY KEY (run_id, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX notes_by_execution ON notes (execution_id);

-- Up to where all of the journal is in here; no row: nobody knows.
CREATE TABLE mark (record INTEGER NOT NULL, hash BLOB NOT NULL, gone INTEGER NOT NULL) STRICT;
"""

TABLES_OF_A_RUN = ("runs", "executions", "sessions", "turns", "notes")
