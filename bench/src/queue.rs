//! The two queues, and what the figures should be on each.

use std::fmt;

use clap::ValueEnum;
use serde::Serialize;

/// Where jobs wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Queue {
    /// In the journal itself, on one machine.
    Embedded,
    /// On Redis, where many machines share them. The run starts its own.
    Redis,
}

/// What the figures should be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Targets {
    /// The burst's acks, as a share of the floor.
    pub(crate) burst: f64,
    /// The sustained load's acks, the same.
    pub(crate) sustained: f64,
    /// How many milliseconds 99 of 100 deliveries may wait for their handler at the fixed rate.
    pub(crate) handler_p99: f64,
    /// Jobs a second from a backlog.
    pub(crate) jobs: f64,
}

impl Queue {
    /// What the figures should be on this queue.
    pub(crate) fn targets(self) -> Targets {
        match self {
            Self::Embedded => Targets { burst: 0.6, sustained: 0.35, handler_p99: 10.0, jobs: 15_000.0 },
            Self::Redis => Targets { burst: 0.45, sustained: 0.25, handler_p99: 20.0, jobs: 12_000.0 },
        }
    }

    /// Deliveries a second under which memory should not grow: many times what is usual, and well below the most that
    /// the queue takes.
    pub(crate) fn growth_rate(self) -> u32 {
        match self {
            Self::Embedded => 10_000,
            Self::Redis => 5_000,
        }
    }
}

impl fmt::Display for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Embedded => "embedded",
            Self::Redis => "Redis, appendfsync always",
        })
    }
}
