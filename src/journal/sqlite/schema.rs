//! The file's format: tables, what each is for, and how older files are brought up to date.
//!
//! The design follows one rule: what is written for a delivery lies next to what was written for the one before.
//! Deliveries and jobs are keyed by arrival, and the two indexes whose keys are random by nature (`dedupe`, `job_id`)
//! are filled later, in sorted batches (see `tail.rs`). So a commit touches a handful of pages, however large the
//! tables have grown.

use rusqlite::Connection;

/// Marks the file as ours: `DrBl` in ASCII.
pub(super) const APPLICATION_ID: i32 = 0x4472_426c;

/// One step for each version; the file's `user_version` says how many it has seen. Never edit one that was released:
/// append.
const MIGRATIONS: &[&str] = &[
    r"
-- Names of sources, providers and routes, written once and referred to by number.
CREATE TABLE name (
    id   INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE
) STRICT;

-- One row a delivery. `seq` is the time and counter of its UUIDv7 `id`.
CREATE TABLE delivery (
    seq          INTEGER PRIMARY KEY,
    id           BLOB NOT NULL,
    source       INTEGER NOT NULL,          -- a `name`
    provider     INTEGER NOT NULL,          -- a `name`
    state        INTEGER NOT NULL,          -- 0 accepted, 1 quarantined, 2 test
    unrouted     INTEGER NOT NULL,          -- how many of its events no route wants
    received_at  INTEGER NOT NULL,          -- Unix milliseconds, as every time here
    sender_id    TEXT,
    dedupe       BLOB,                      -- 32 bytes: who says so, what it says
    dedupe_until INTEGER,
    reason       TEXT,                      -- why it is quarantined
    content_type TEXT,
    events       TEXT NOT NULL,             -- JSON, see `row.rs`
    headers      TEXT NOT NULL,             -- JSON array of pairs
    body         BLOB NOT NULL
) STRICT;
CREATE INDEX delivery_odd ON delivery (seq) WHERE state = 1 OR unrouted > 0;

-- One row a job, next to the other jobs of its delivery.
CREATE TABLE job (
    delivery    INTEGER NOT NULL,
    event       INTEGER NOT NULL,
    route       INTEGER NOT NULL,
    state       INTEGER NOT NULL,           -- as `JobState`, from 0
    due         INTEGER,                    -- set while it waits
    suspect     INTEGER NOT NULL DEFAULT 0, -- 1: a process died while it ran; 2, only while it runs: it runs alone
    attempts    INTEGER NOT NULL DEFAULT 0,
    crashes     INTEGER NOT NULL DEFAULT 0,
    replays     INTEGER NOT NULL DEFAULT 0,
    started_at  INTEGER,
    finished_at INTEGER,
    error       TEXT,
    PRIMARY KEY (delivery, event, route)
) STRICT, WITHOUT ROWID;
CREATE INDEX job_due ON job (route, suspect, due) WHERE due IS NOT NULL;
CREATE INDEX job_state ON job (state, delivery) WHERE state NOT IN (0, 3);

-- The attempts that failed, and those of earlier replays. The last successful one stands in the job itself.
CREATE TABLE attempt (
    delivery    INTEGER NOT NULL,
    event       INTEGER NOT NULL,
    route       INTEGER NOT NULL,
    replay      INTEGER NOT NULL,
    number      INTEGER NOT NULL,
    started_at  INTEGER NOT NULL,
    finished_at INTEGER NOT NULL,
    outcome     TEXT NOT NULL,
    error       TEXT,
    PRIMARY KEY (delivery, event, route, replay, number)
) STRICT, WITHOUT ROWID;

-- By what a repeated delivery is recognised. Lags behind `delivery`; the difference is in memory.
CREATE TABLE dedupe (
    key      BLOB PRIMARY KEY,
    delivery BLOB NOT NULL,
    until    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The first 8 bytes of a job's id, and where the job is. Lags behind `job` likewise.
CREATE TABLE job_id (
    prefix   INTEGER NOT NULL,
    delivery INTEGER NOT NULL,
    PRIMARY KEY (prefix, delivery)
) STRICT, WITHOUT ROWID;

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
",
    r"
-- Deliveries on their way to a queue that machines share, in the order of their commits.
CREATE TABLE outbox (
    position    INTEGER PRIMARY KEY,
    id          BLOB NOT NULL,
    received_at INTEGER NOT NULL,
    plan        TEXT NOT NULL,              -- JSON, see `outbox/row.rs`
    head        BLOB NOT NULL,              -- see `sealed.rs`
    body        BLOB NOT NULL,
    refused     TEXT                        -- why the queue will never take it
) STRICT;
CREATE INDEX outbox_id ON outbox (id);
CREATE INDEX outbox_refused ON outbox (position) WHERE refused IS NOT NULL;
",
];

/// The newest version that this build knows.
pub(super) const VERSION: u32 = {
    assert!(MIGRATIONS.len() < u32::MAX as usize);
    #[expect(clippy::cast_possible_truncation, reason = "checked in the line above")]
    {
        MIGRATIONS.len() as u32
    }
};

/// Brings the file from `version` to the newest one, each step in a transaction of its own.
pub(super) fn migrate(connection: &mut Connection, version: u32) -> rusqlite::Result<()> {
    for (at, step) in (0u32..).zip(MIGRATIONS).filter(|(at, _)| *at >= version) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", at + 1)?;
        transaction.commit()?;
    }
    Ok(())
}
