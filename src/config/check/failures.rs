//! What would be lost in which failure.

use std::time::Duration;

use super::{Finding, info};
use crate::config::{
    Config, QueueConfig,
    value::{list, show_duration, show_size},
};
#[cfg(feature = "redis")]
use crate::{journal::AckWhen, receiver::RedisQueue};

pub(super) fn failures(config: &Config) -> Vec<Finding> {
    let mut failures = vec![crash(config), power()];
    match &config.queue {
        QueueConfig::Embedded => failures.extend(on_one_machine(config)),
        #[cfg(feature = "redis")]
        QueueConfig::Redis(queue) => failures.extend(on_redis(config, queue)),
    }
    failures.extend([full(config), restart(config), time(config)]);
    if config.admin.token.is_none() {
        let dir = config.journal.dir.display();
        failures.push(info(
            "the admin token",
            format!(
                "none is set: one is made on the first start and kept in {dir}, which only its owner may read"
            ),
        ));
    }
    failures
}

fn crash(config: &Config) -> Finding {
    let crashes = config.worker.max_crashes;
    info(
        "the process crashes",
        format!(
            "nothing that was acknowledged is lost. Jobs that were running start again, one at a time, so a handler may \
             see a job twice: it is idempotent by the job's id. A job that was running in {crashes} crashes ends as dead"
        ),
    )
}

fn power() -> Finding {
    info(
        "the power fails",
        "nothing that was acknowledged is lost: no success reply is sent before an fsync that covers the delivery has \
         returned. This holds as far as the disk keeps what it says it has written",
    )
}

fn on_one_machine(config: &Config) -> [Finding; 2] {
    let dir = config.journal.dir.display();
    [
        info(
            "the disk is lost",
            format!(
                "everything in {dir} is lost: jobs that wait, dead letters, the history, and the memory of what was \
                 seen, so that a sender's repetition counts as new. The embedded queue is on this one machine and has no \
                 copy; put the folder on a mirrored volume, and fill the gap from the senders' own APIs"
            ),
        ),
        info(
            "the machine or the process is down",
            format!(
                "nothing is accepted meanwhile, and no other machine takes over: the embedded queue serves one. What is \
                 sent then depends on the sender's own repetitions; likely lost within minutes: {}",
                one_try(config)
            ),
        ),
    ]
}

#[cfg(feature = "redis")]
fn on_redis(config: &Config, queue: &RedisQueue) -> [Finding; 4] {
    let dir = config.journal.dir.display();
    let keep = show_duration(config.journal.keep);
    let narrowed = match queue.ack {
        AckWhen::Journal => {
            "With ack = \"both\" senders would be answered only when Redis has a delivery too, while it is healthy"
                .to_owned()
        }
        AckWhen::Both { timeout } => format!(
            "As ack = \"both\", that is only what Redis did not take within {}",
            show_duration(timeout)
        ),
    };
    [
        info(
            "Redis is away",
            format!(
                "nothing is lost, and senders are answered as always: deliveries wait in {dir}, up to {}, and are moved when \
                 Redis is back. No job starts meanwhile; those that run go on, and their ends are recorded then",
                show_size(config.journal.max_size)
            ),
        ),
        info(
            "Redis has lost writes (restarted empty, or failed over)",
            format!(
                "deliveries that were moved within the last {keep} are offered to it again, and it takes those that it no \
                 longer knows; what was done and forgotten runs again, under the same job ids. Older jobs that were lost, \
                 dead letters and the history do not come back"
            ),
        ),
        info(
            "the disk is lost",
            format!(
                "what is in {dir} and was not moved to Redis yet is lost: less than a second's deliveries while Redis is \
                 there, all that came in meanwhile while it is away. {narrowed}"
            ),
        ),
        info(
            "the machine or the process is down",
            format!(
                "workers elsewhere go on with what Redis has, and ingresses elsewhere take in. What waits in {dir} is \
                 moved at the next start, by another ingress that has the folder, or by `doorbell drain`. With no other \
                 ingress nothing is accepted; likely lost within minutes then: {}",
                one_try(config)
            ),
        ),
    ]
}

/// The sources whose senders do not come again.
fn one_try(config: &Config) -> String {
    let one_try = config.sources.iter().filter(|source| !source.settings.kind.facts().survives_an_outage);
    list(one_try.map(|source| source.name.as_str()))
}

fn full(config: &Config) -> Finding {
    info(
        "the disk is full, or the journal reaches its limit",
        format!(
            "at {} (or when the disk is full) new deliveries are answered 503 until there is room; what was accepted stays \
             and is worked off. What a 503 costs depends on the sender, as above",
            show_size(config.journal.max_size)
        ),
    )
}

fn restart(config: &Config) -> Finding {
    info(
        "an orderly restart",
        format!(
            "with an inherited listener (systemd socket activation) no connection is refused; without one, connections \
             are refused from the end of the old process to the start of the new one. Jobs that run longer than {} after \
             that are cut off and run again",
            show_duration(config.ingress.shutdown_grace)
        ),
    )
}

fn time(config: &Config) -> Finding {
    let (done, failed) = (for_time(config.journal.retention), for_time(config.journal.retention_failed));
    info(
        "time passes",
        format!(
            "deliveries whose jobs are done are deleted after they were kept {done}; dead, quarantined and unrouted ones \
             after they were kept {failed}"
        ),
    )
}

/// For how long something is kept.
pub(super) fn for_time(time: Option<Duration>) -> String {
    time.map_or_else(|| "for ever".to_owned(), |time| format!("for {}", show_duration(time)))
}
