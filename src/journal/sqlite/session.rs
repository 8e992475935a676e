//! What an operation works on: the open transaction, and what the writer keeps in memory beside the file.

use std::{collections::HashMap, sync::Arc};

use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

use super::tail::Tail;
use crate::{
    clock::Timestamp,
    journal::{JobState, Stats},
};

/// One operation's view: a transaction under way, the memory, the time.
pub(super) struct Session<'a> {
    pub(super) connection: &'a Connection,
    pub(super) statements: Statements<'a>,
    pub(super) memory: &'a mut Memory,
    pub(super) now: Timestamp,
}

impl<'a> Session<'a> {
    pub(super) fn new(connection: &'a Connection, memory: &'a mut Memory, now: Timestamp) -> Self {
        Self { connection, statements: Statements { connection, held: Default::default() }, memory, now }
    }
}

/// The statements that every delivery or job needs, taken out of the connection's cache once a transaction: finding one by its
/// text costs about as much as half of running it.
pub(super) struct Statements<'a> {
    connection: &'a Connection,
    held: [Option<CachedStatement<'a>>; 9],
}

/// A statement that is held for as long as a transaction lasts.
#[derive(Debug, Clone, Copy)]
pub(super) enum Frequent {
    LookUp,
    InsertDelivery,
    InsertJob,
    Due,
    SuspectsDue,
    Start,
    ReadDelivery,
    Settle,
    Post,
}

impl Frequent {
    fn sql(self) -> &'static str {
        match self {
            Self::LookUp => "SELECT key, delivery FROM dedupe WHERE key BETWEEN ?1 AND ?2",
            Self::InsertDelivery => {
                "INSERT INTO delivery (seq, id, source, provider, state, unrouted, received_at, sender_id, dedupe,
                     dedupe_until, reason, content_type, events, headers, body)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
                 ON CONFLICT DO NOTHING"
            }
            Self::InsertJob => {
                "INSERT INTO job (delivery, event, route, state, due, attempts, started_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
            }
            Self::Due => {
                "SELECT delivery, event, due, state, attempts, crashes, replays
                 FROM job WHERE route = ?1 AND due <= ?2 AND suspect = 0 ORDER BY due"
            }
            Self::SuspectsDue => {
                "SELECT delivery, event, due, state, attempts, crashes, replays
                 FROM job WHERE route = ?1 AND due <= ?2 AND suspect = 1 ORDER BY due"
            }
            Self::Start => {
                "UPDATE job SET state = 1, due = NULL, suspect = ?4, attempts = ?5, started_at = ?6, finished_at = NULL
                 WHERE delivery = ?1 AND event = ?2 AND route = ?3"
            }
            Self::ReadDelivery => {
                "SELECT id, source, provider, received_at, content_type, events, body FROM delivery WHERE seq = ?1"
            }
            Self::Settle => {
                "UPDATE job SET state = ?4, due = ?5, suspect = 0, finished_at = ?6, error = ?7
                 WHERE delivery = ?1 AND event = ?2 AND route = ?3 AND state = 1"
            }
            Self::Post => {
                "INSERT INTO outbox (position, id, received_at, plan, head, body)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
            }
        }
    }
}

impl<'a> Statements<'a> {
    pub(super) fn get(&mut self, which: Frequent) -> rusqlite::Result<&mut CachedStatement<'a>> {
        let held = &mut self.held[which as usize];
        match held {
            Some(statement) => Ok(statement),
            None => Ok(held.insert(self.connection.prepare_cached(which.sql())?)),
        }
    }
}

/// What is kept in memory and follows from the file. Changed along with the transaction; loaded anew if that fails.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) stats: Stats,
    pub(super) tail: Tail,
    /// The position of the outbox's last row, whether or not it is still there.
    pub(super) outbox_end: i64,
    names: Names,
    /// For each route, a time before which none of its waiting jobs is due (`i64::MAX`: none waits).
    due: HashMap<i64, i64>,
    /// The same for the jobs that are suspected of having taken a process down.
    suspects_due: HashMap<i64, i64>,
}

#[derive(Debug, Default)]
struct Names {
    numbers: HashMap<Arc<str>, i64>,
    texts: HashMap<i64, Arc<str>>,
}

impl Memory {
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let outbox_end = super::outbox::end(connection)?;
        let mut memory = Self { tail: Tail::load(connection)?, outbox_end, ..Self::default() };
        memory.stats = read_stats(connection)?;
        let mut names = connection.prepare_cached("SELECT id, text FROM name")?;
        let mut rows = names.query([])?;
        while let Some(row) = rows.next()? {
            memory.names.add(row.get(0)?, row.get_ref(1)?.as_str()?.into());
        }
        for route in memory.names.texts.keys() {
            for (sql, hints) in [
                (
                    "SELECT min(due) FROM job WHERE route = ?1 AND due IS NOT NULL AND suspect = 0",
                    &mut memory.due,
                ),
                (
                    "SELECT min(due) FROM job WHERE route = ?1 AND due IS NOT NULL AND suspect = 1",
                    &mut memory.suspects_due,
                ),
            ] {
                let due: Option<i64> =
                    connection.prepare_cached(sql)?.query_row([route], |row| row.get(0))?;
                hints.extend(due.map(|due| (*route, due)));
            }
        }
        Ok(memory)
    }

    pub(super) fn name(&self, number: i64) -> Option<Arc<str>> {
        self.names.texts.get(&number).cloned()
    }

    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.names.numbers.get(name).copied()
    }

    pub(super) fn due(&self, route: i64) -> i64 {
        self.due.get(&route).copied().unwrap_or(i64::MAX)
    }

    pub(super) fn set_due(&mut self, route: i64, due: i64) {
        self.due.insert(route, due);
    }

    pub(super) fn suspects_due(&self, route: i64) -> i64 {
        self.suspects_due.get(&route).copied().unwrap_or(i64::MAX)
    }

    pub(super) fn set_suspects_due(&mut self, route: i64, due: i64) {
        self.suspects_due.insert(route, due);
    }
}

impl Session<'_> {
    /// The number that stands for a name, given to it if it has none yet.
    pub(super) fn intern(&mut self, name: &Arc<str>) -> rusqlite::Result<i64> {
        if let Some(number) = self.memory.number(name) {
            return Ok(number);
        }
        self.connection.prepare_cached("INSERT INTO name (text) VALUES (?1)")?.execute([&**name])?;
        let number = self.connection.last_insert_rowid();
        self.memory.names.add(number, name.clone());
        Ok(number)
    }

    /// Says that a job of this route waits for this time.
    pub(super) fn waits(&mut self, route: i64, due: i64) {
        let earliest = self.memory.due(route).min(due);
        self.memory.set_due(route, earliest);
    }

    /// Says that a suspect of this route waits for this time.
    pub(super) fn suspect_waits(&mut self, route: i64, due: i64) {
        let earliest = self.memory.suspects_due(route).min(due);
        self.memory.set_suspects_due(route, earliest);
    }

    /// Counts a job's change of state; `None` before it is made and after it is deleted.
    pub(super) fn count_job(&mut self, from: Option<JobState>, to: Option<JobState>) {
        let jobs = &mut self.memory.stats.jobs;
        if let Some(from) = from {
            jobs[from as usize] = jobs[from as usize].saturating_sub(1);
        }
        if let Some(to) = to {
            jobs[to as usize] += 1;
        }
    }

    /// Writes the counters down.
    pub(super) fn save_stats(&self) -> rusqlite::Result<()> {
        let json = serde_json::to_string(&self.memory.stats).unwrap_or_default();
        self.connection
            .prepare_cached(
                "INSERT INTO meta (key, value) VALUES ('stats', ?1) ON CONFLICT DO UPDATE SET value = ?1",
            )?
            .execute(params![json])?;
        Ok(())
    }
}

impl Names {
    fn add(&mut self, number: i64, text: Arc<str>) {
        self.numbers.insert(text.clone(), number);
        self.texts.insert(number, text);
    }
}

/// The counters as they were last written down.
pub(super) fn read_stats(connection: &Connection) -> rusqlite::Result<Stats> {
    let json: Option<String> = connection
        .prepare_cached("SELECT value FROM meta WHERE key = 'stats'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(json.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default())
}

/// The state that a row's number stands for.
pub(super) fn job_state(number: i64) -> rusqlite::Result<JobState> {
    usize::try_from(number)
        .ok()
        .and_then(|number| JobState::ALL.get(number).copied())
        .ok_or(rusqlite::Error::IntegralValueOutOfRange(0, number))
}

#[cfg(test)]
impl Memory {
    /// Panics unless all of this follows from the file, and the file's counters from its rows.
    pub(super) fn assert_follows_from(&self, connection: &Connection) -> rusqlite::Result<()> {
        let loaded = Self::load(connection)?;
        assert_eq!(self.stats, loaded.stats);
        assert_eq!(self.names.numbers, loaded.names.numbers);
        assert_eq!(self.tail.everything(connection)?, loaded.tail.everything(connection)?);
        for route in loaded.names.texts.keys() {
            // These are lower bounds.
            assert!(self.due(*route) <= loaded.due(*route));
            assert!(self.suspects_due(*route) <= loaded.suspects_due(*route));
        }
        let mut jobs = [0; 6];
        let mut counted = connection.prepare("SELECT state, count(*) FROM job GROUP BY state")?;
        let mut rows = counted.query([])?;
        while let Some(row) = rows.next()? {
            jobs[job_state(row.get(0)?)? as usize] = super::row::from_sql(row.get(1)?);
        }
        assert_eq!(self.stats.jobs, jobs);
        Ok(())
    }
}
