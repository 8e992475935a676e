//! What an operation works on: the open transaction, and what the writer keeps in memory beside the file.

use std::{collections::HashMap, sync::Arc};

use rusqlite::{Connection, OptionalExtension, params};

use super::tail::Tail;
use crate::{
    clock::Timestamp,
    journal::{JobState, Stats},
};

/// One operation's view: a transaction under way, the memory, the time.
pub(super) struct Session<'a> {
    pub(super) connection: &'a Connection,
    pub(super) memory: &'a mut Memory,
    pub(super) now: Timestamp,
}

/// What is kept in memory and follows from the file. Changed along with the transaction; loaded anew if that fails.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) stats: Stats,
    pub(super) tail: Tail,
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
        let mut memory = Self { tail: Tail::load(connection)?, ..Self::default() };
        let stats: Option<String> = connection
            .prepare_cached("SELECT value FROM meta WHERE key = 'stats'")?
            .query_row([], |row| row.get(0))
            .optional()?;
        memory.stats = stats.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default();
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
                    "SELECT min(due) FROM job WHERE route = ?1 AND due IS NOT NULL AND suspect > 0",
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

/// The state that a row's number stands for.
pub(super) fn job_state(number: i64) -> rusqlite::Result<JobState> {
    usize::try_from(number)
        .ok()
        .and_then(|number| JobState::ALL.get(number).copied())
        .ok_or(rusqlite::Error::IntegralValueOutOfRange(0, number))
}
