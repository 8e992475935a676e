//! Waiting until what was written is safer than in one server's memory.

use std::time::Duration;

use redis::{Pipeline, Value};

use super::{Ask, Link, LinkError, Place, Script};

/// What became of waiting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Waited {
    /// As many replicas have it as were asked for, and the file if it was asked for.
    Enough,
    /// It is written, but less safe than was asked for; in words.
    Short(String),
}

impl Link {
    /// Runs a script, and waits on the same connection until `replicas` have what it wrote and, with `aof`, until the
    /// server's append-only file is fsynced; no longer than `patience`, and than half of the link's timeout.
    ///
    /// The connection serves nobody else meanwhile: for a link that one task has for itself.
    pub(in super::super) async fn run_waiting(
        &self,
        lane: u32,
        script: &Script,
        args: &[&[u8]],
        replicas: u32,
        aof: bool,
        patience: Duration,
    ) -> Result<(Value, Waited), LinkError> {
        let patience = patience.min(self.timeout / 2);
        let wanted = Wanted { replicas, aof, patience };
        let commands = wanted.behind(script.by_digest(lane, args));
        let mut answered = self.ask(Place::Lane(lane), Ask::All(&commands)).await;
        if answered.as_ref().is_err_and(|failed| failed.unknown_script) {
            let commands = wanted.behind(script.by_code(lane, args));
            answered = self.ask(Place::Lane(lane), Ask::All(&commands)).await;
        }
        let mut answers = answered.map_err(|failed| failed.error)?.into_iter();
        Ok((answers.next().unwrap_or(Value::Nil), wanted.judge(answers)))
    }
}

struct Wanted {
    replicas: u32,
    aof: bool,
    patience: Duration,
}

impl Wanted {
    /// The call, and what waits for it.
    fn behind(&self, call: redis::Cmd) -> Pipeline {
        // 0 would be for ever.
        let patience = self.patience.as_millis().max(1).to_string();
        let mut commands = Pipeline::with_capacity(3);
        commands.add_command(call);
        if self.replicas > 0 {
            commands.cmd("WAIT").arg(self.replicas).arg(&patience);
        }
        if self.aof {
            commands.cmd("WAITAOF").arg(1).arg(0).arg(&patience);
        }
        commands
    }

    /// Whether the numbers answered are those that were asked for.
    fn judge(&self, mut answers: impl Iterator<Item = Value>) -> Waited {
        let mut short = Vec::new();
        let patience = self.patience.as_millis();
        if self.replicas > 0 {
            match answers.next() {
                Some(Value::Int(have)) if have >= i64::from(self.replicas) => {}
                Some(Value::Int(have)) => {
                    short.push(format!("{have} of {} replicas had it after {patience} ms", self.replicas));
                }
                other => short.push(format!("WAIT was answered {}", shown(other))),
            }
        }
        if self.aof {
            match answers.next() {
                Some(Value::Array(counts)) if matches!(counts.first(), Some(Value::Int(1..))) => {}
                Some(Value::Array(_)) => {
                    short.push(format!("its append-only file was not fsynced after {patience} ms"));
                }
                other => short.push(format!("WAITAOF (Redis 7.2) was answered {}", shown(other))),
            }
        }
        if short.is_empty() { Waited::Enough } else { Waited::Short(short.join("; ")) }
    }
}

fn shown(answer: Option<Value>) -> String {
    match answer.map(Value::extract_error) {
        None => "nothing".to_owned(),
        Some(Err(error)) => super::judge(&error).error.to_string(),
        Some(Ok(value)) => format!("{value:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(replicas: u32, aof: bool, answers: Vec<Value>) -> Waited {
        let wanted = Wanted { replicas, aof, patience: Duration::from_millis(500) };
        wanted.judge(answers.into_iter())
    }

    fn short(waited: Waited) -> String {
        let Waited::Short(text) = waited else { panic!("enough") };
        text
    }

    #[test]
    fn the_numbers_decide() {
        assert_eq!(judged(0, false, vec![]), Waited::Enough);
        assert_eq!(judged(1, false, vec![Value::Int(2)]), Waited::Enough);
        let counts = |local| Value::Array(vec![Value::Int(local), Value::Int(0)]);
        assert_eq!(judged(1, true, vec![Value::Int(1), counts(1)]), Waited::Enough);
        assert_eq!(
            short(judged(2, true, vec![Value::Int(1), counts(0)])),
            "1 of 2 replicas had it after 500 ms; its append-only file was not fsynced after 500 ms"
        );
    }

    #[test]
    fn an_answer_that_is_no_number_is_not_enough() {
        let error =
            redis::parse_redis_value(b"-ERR WAITAOF cannot be used when numlocal is set\r\n").unwrap();
        assert!(short(judged(0, true, vec![error])).contains("ERR WAITAOF cannot"), "");
        assert_eq!(short(judged(1, false, vec![])), "WAIT was answered nothing");
    }
}
