//! What an error means: whether anything may have been done, and whether the connection is still good.

use redis::{ErrorKind, RedisError};

use crate::journal::{StoreError, sealed::Unreadable};

/// Why a command has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in super::super) enum LinkError {
    /// Redis answered, and refused: nothing was changed.
    #[error("Redis refuses: {0}")]
    Refused(String),
    /// No answer came, or one that leaves it open. It is not known whether the command was carried out, or how far.
    #[error("no answer from Redis that says what was done: {0}")]
    Away(String),
}

impl From<Unreadable> for LinkError {
    fn from(error: Unreadable) -> Self {
        Self::Refused(error.to_string())
    }
}

impl From<LinkError> for StoreError {
    fn from(error: LinkError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// What can't be used among the options, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(in super::super) struct OptionsError(pub(super) String);

/// What an error means.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Judged {
    pub(super) error: LinkError,
    /// Whether only a new connection can help.
    pub(super) reopen: bool,
    /// Whether nothing was done because another server has to be asked.
    pub(super) again: bool,
    /// Whether nothing was done because the server does not know the script.
    pub(super) unknown_script: bool,
}

impl From<LinkError> for Judged {
    fn from(error: LinkError) -> Self {
        Self { error, reopen: false, again: false, unknown_script: false }
    }
}

/// Judges an error that came in place of an answer.
pub(super) fn judge(error: &RedisError) -> Judged {
    let Some(code) = error.code() else {
        let text = match error.kind() {
            ErrorKind::ClusterConnectionNotFound => "no node of the Cluster could be reached".to_owned(),
            _ => error.to_string(),
        };
        return Judged { reopen: true, ..LinkError::Away(text).into() };
    };
    let text = match error.detail() {
        Some(detail) => format!("{code} {detail}"),
        None => code.to_owned(),
    };
    let error = if text.contains(INSIDE) { LinkError::Away(text) } else { LinkError::Refused(text) };
    // ASK is not followed. A lane that is being moved from one node to another would be seen in two halves, so it
    // waits until it has been moved as a whole.
    let again = matches!(code, "MOVED" | "READONLY");
    // A primary that was made a replica stays one: the new primary is looked for. A server that asks for a password
    // which it did not ask for before gets it on a new connection.
    let reopen = matches!(code, "READONLY" | "MASTERDOWN" | "NOAUTH");
    Judged { error, reopen, again, unknown_script: code == "NOSCRIPT" }
}

/// Stands in errors that a script met while it ran, as opposed to those that kept it from starting. Redis takes nothing
/// back of what such a script had already written.
const INSIDE: &str = ", on @user_script";

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// The error that this answer is.
    fn answered(answer: &str) -> Judged {
        let answer = redis::parse_redis_value(format!("-{answer}\r\n").as_bytes()).unwrap();
        judge(&answer.extract_error().unwrap_err())
    }

    #[test]
    fn what_kept_a_command_from_starting_is_refused() {
        for answer in [
            "OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'",
            "OOM command not allowed when used memory > 'maxmemory'.",
            "LOADING Redis is loading the dataset in memory",
            "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
            "MISCONF Errors writing to the AOF file: No space left on device",
            "NOREPLICAS Not enough good replicas to write.",
            "NOPERM User doorbell has no permissions to run the 'evalsha' command",
            "CLUSTERDOWN The cluster is down",
            "TRYAGAIN Multiple keys request during rehashing of slot",
            "ASK 12 127.0.0.1:7001",
            "CROSSSLOT Keys in request don't hash to the same slot",
            "ERR Error compiling script (new function): user_script:1: unexpected symbol",
            "ERR unknown command 'WAITAOF', with args beginning with: '1'",
            "LANES the store has 4 lanes",
        ] {
            let judged = answered(answer);
            assert_eq!(judged, LinkError::Refused(answer.to_owned()).into());
        }
    }

    #[test]
    fn a_server_that_is_the_wrong_one_is_left() {
        let readonly = answered("READONLY Can not run script with write flag on readonly replica.");
        assert!(matches!(readonly.error, LinkError::Refused(_)) && readonly.reopen && readonly.again);
        let moved = answered("MOVED 3999 127.0.0.1:6381");
        assert!(matches!(moved.error, LinkError::Refused(_)) && !moved.reopen && moved.again);
        for answer in [
            "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
            "NOAUTH Authentication required.",
        ] {
            let judged = answered(answer);
            assert!(matches!(judged.error, LinkError::Refused(_)), "{judged:?}");
            assert!(judged.reopen && !judged.again, "{judged:?}");
        }
    }

    #[test]
    fn a_script_that_failed_on_its_way_may_have_written() {
        let judged = answered("ERR user_script:9: attempt to index nil script: 5c0f, on @user_script:9.");
        assert!(matches!(judged.error, LinkError::Away(_)), "{judged:?}");
        let judged = answered("WRONGTYPE Operation against a key script: 5c0f, on @user_script:9.");
        assert!(matches!(judged.error, LinkError::Away(_)) && !judged.reopen, "{judged:?}");
    }

    #[test]
    fn an_unknown_script_is_told_apart() {
        let judged = answered("NOSCRIPT No matching script. Please use EVAL.");
        assert!(judged.unknown_script && !judged.reopen && !judged.again, "{judged:?}");
    }

    #[test]
    fn a_broken_connection_leaves_the_outcome_open() {
        for kind in [io::ErrorKind::ConnectionReset, io::ErrorKind::UnexpectedEof, io::ErrorKind::TimedOut] {
            let judged = judge(&io::Error::from(kind).into());
            assert!(matches!(judged.error, LinkError::Away(_)) && judged.reopen && !judged.again);
        }
        let judged = judge(&(ErrorKind::Parse, "rubbish").into());
        assert!(matches!(judged.error, LinkError::Away(_)) && judged.reopen);
    }
}
