//! Streams that others read: the one thing of a Redis that is written for somebody else.

use redis::Cmd;

use super::{
    RedisAddress, answer,
    link::{Link, LinkError},
};

/// A way to the streams of a Redis, the queue's own or another one.
pub(crate) struct Streams {
    link: Link,
}

/// What is removed from the old end of a stream when something is added at its new end. Approximate: Redis removes only
/// what costs it nothing, so more than this stays, never less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamLimit {
    /// All but so many.
    Length(u64),
    /// What was added before this time, in milliseconds since 1970.
    Since(u64),
}

/// Why an entry is not known to be in its stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AppendError {
    /// Redis answered: it is not.
    #[error("Redis took no entry for the stream {stream:?}: {why}{mend}")]
    Refused {
        stream: String,
        why: String,
        /// What to do about it, as far as that is known.
        mend: &'static str,
    },
    /// No answer came: it may be.
    #[error("it is not known whether the stream {stream:?} has the entry: {why}")]
    Unknown { stream: String, why: String },
}

impl Streams {
    /// Checks what the address says, and says what is wrong with it. Asks nobody yet.
    pub(crate) fn new(address: &RedisAddress) -> Result<Self, String> {
        Link::new(address).map(|link| Self { link }).map_err(|wrong| wrong.to_string())
    }

    /// Adds an entry to a stream, which is made by that if it is not there yet. The id that Redis gave it. Sent once:
    /// what is not known to have been done is not repeated here.
    pub(crate) async fn append(
        &self,
        stream: &str,
        limit: Option<StreamLimit>,
        fields: &[(&str, &[u8])],
    ) -> Result<String, AppendError> {
        let unknown = |why| AppendError::Unknown { stream: stream.to_owned(), why };
        match self.link.command_on(stream, &entry(stream, limit, fields)).await {
            Ok(id) => answer::text(id).map_err(|odd| unknown(odd.to_string())),
            Err(LinkError::Away(why)) => Err(unknown(why)),
            Err(LinkError::Refused(why)) => {
                Err(AppendError::Refused { stream: stream.to_owned(), mend: mend(&why), why })
            }
        }
    }
}

fn entry(stream: &str, limit: Option<StreamLimit>, fields: &[(&str, &[u8])]) -> Cmd {
    let mut add = redis::cmd("XADD");
    add.arg(stream);
    match limit {
        Some(StreamLimit::Length(length)) => drop(add.arg("MAXLEN").arg("~").arg(length)),
        Some(StreamLimit::Since(millis)) => drop(add.arg("MINID").arg("~").arg(millis)),
        None => {}
    }
    add.arg("*");
    for (name, value) in fields {
        add.arg(*name).arg(*value);
    }
    add
}

/// What to do about a refusal, by the code that it begins with.
fn mend(why: &str) -> &'static str {
    match why.split(' ').next().unwrap_or_default() {
        "WRONGTYPE" => "; the key of that name holds something else: name another stream, or remove the key",
        "OOM" => {
            "; it is full: trim streams that have been read, or raise its maxmemory, and the job goes through"
        }
        "NOPERM" => "; allow its user `+xadd` on the key of that name",
        _ => "",
    }
}
