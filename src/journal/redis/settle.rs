//! How attempts end, and that they go on.

use std::{sync::LazyLock, time::Duration};

use futures_util::future::join_all;

use super::{
    answer,
    batch::Waiting,
    core::Core,
    feeder::{Command, Feeder},
    gather,
    lease::{job_key, lane_of_token},
    link::{LinkError, Script},
    script,
};
use crate::journal::{Lease, Outcome, StoreError};

static SETTLE: LazyLock<Script> = script!("settle", allow_oom);
static RENEW: LazyLock<Script> = script!("renew", allow_oom);

/// A job that ends so soon is one of many that do.
const QUICK: Duration = Duration::from_millis(5);

/// How an attempt ended.
pub(super) struct Settlement {
    pub(super) lease: Lease,
    pub(super) outcome: Outcome,
}

impl Settlement {
    pub(super) fn weight(&self) -> usize {
        128 + self.error().len()
    }

    fn code(&self) -> &'static [u8] {
        match self.outcome {
            Outcome::Done => b"d",
            Outcome::Retry { .. } => b"r",
            Outcome::Dead { .. } => b"x",
            Outcome::Discarded { .. } => b"c",
            Outcome::Released => b"l",
        }
    }

    fn error(&self) -> &str {
        match &self.outcome {
            Outcome::Retry { error, .. } | Outcome::Dead { error } | Outcome::Discarded { reason: error } => {
                error
            }
            Outcome::Done | Outcome::Released => "",
        }
    }

    /// In how long the job can be claimed again.
    fn due_in(&self) -> Option<Duration> {
        match self.outcome {
            Outcome::Retry { after, .. } => Some(after),
            Outcome::Released => Some(Duration::ZERO),
            _ => None,
        }
    }
}

/// Whether most of what runs in a lane may end as soon after its beginning as this did: the ends then go in one call, and
/// so do the claims for the slots. What runs for longer waits for nobody.
pub(super) fn more_end_soon(core: &Core, settlement: &Settlement, ended: usize) -> bool {
    let token = settlement.lease.token;
    let quick_until = core.lease_end().saturating_sub(QUICK);
    let running = &core.running;
    running.began_after(token, quick_until) && ended < gather::most(running.in_lane(lane_of_token(token)))
}

/// Records what has gathered for a lane, however long Redis is away, and answers each.
pub(super) async fn settle_gathered(
    core: &Core,
    feeder: &Feeder,
    lane: u32,
    gathered: Vec<Waiting<Settlement, Result<(), StoreError>>>,
) {
    // Their slots are free for what waits: it is claimed beside this, and one fsync of Redis covers both.
    feeder.tell(Command::Wake);
    let settlements: Vec<_> = gathered.iter().map(|(settlement, _)| settlement).collect();
    let mut pauses = super::Pauses::default();
    let mut repeated = false;
    let recorded = loop {
        match record(core, lane, &settlements, repeated).await {
            Ok(recorded) => break recorded,
            Err(error) => {
                // Once no answer came, each of them may have been recorded.
                repeated |= matches!(error, LinkError::Away(_));
                pauses.note(&error, "outcomes are not recorded yet");
                // Those that have come in behind these have freed slots, too, which other lanes can fill.
                feeder.tell(Command::Wake);
                pauses.pause().await;
            }
        }
    };
    let mut eased = false;
    for ((settlement, reply), recorded) in gathered.into_iter().zip(recorded) {
        eased |= core.running.ended(settlement.lease.token);
        if let (true, Some(due_in)) = (recorded, settlement.due_in()) {
            feeder.tell(Command::Due { lane, route: settlement.lease.route.clone(), due_in });
        }
        // Whoever no longer waits for the answer needs none.
        let _ = reply.send(if recorded { Ok(()) } else { Err(StoreError::LeaseLost) });
    }
    if eased {
        feeder.tell(Command::Eased);
    }
}

async fn record(
    core: &Core,
    lane: u32,
    settlements: &[&Settlement],
    repeated: bool,
) -> Result<Vec<bool>, LinkError> {
    let texts: Vec<_> = settlements
        .iter()
        .map(|settlement| {
            let after = match settlement.outcome {
                Outcome::Retry { after, .. } => after.as_millis().min(u128::from(FAR)),
                _ => 0,
            };
            (member(&settlement.lease), settlement.lease.token.to_string(), after.to_string())
        })
        .collect();
    let mut args: Vec<&[u8]> = vec![core.owner.as_bytes()];
    for (settlement, (member, token, after)) in settlements.iter().zip(&texts) {
        args.extend([&member[..], settlement.lease.route.as_bytes(), token.as_bytes(), settlement.code()]);
        args.extend([after.as_bytes(), settlement.error().as_bytes(), if repeated { b"1" } else { b"0" }]);
    }
    flags(core.run(lane, &SETTLE, &args).await?, settlements.len())
}

/// A retry is due no later than so many milliseconds from now: what scripts can still count (some 30,000 years).
const FAR: u64 = 1 << 50;

/// Extends leases to a full lease from now; returns those that were lost. All lanes at the same time: one that gives no
/// answer holds up no other, and its leases are as they were. An error if none answers.
pub(super) async fn renew(
    core: &Core,
    feeder: &Feeder,
    leases: Vec<Lease>,
) -> Result<Vec<Lease>, StoreError> {
    let mut lost = Vec::new();
    let mut by_lane: Vec<Vec<Lease>> = vec![Vec::new(); core.options.lanes as usize];
    for lease in leases {
        match by_lane.get_mut(lane_of_token(lease.token) as usize) {
            Some(lane) => lane.push(lease),
            None => lost.push(lease),
        }
    }
    let pieces = (0..).zip(&by_lane).flat_map(|(lane, leases)| {
        leases
            .chunks(super::batch::MANY)
            .map(move |some| async move { (lane, renew_some(core, lane, some).await) })
    });
    let (mut eased, mut answered, mut away) = (false, false, None);
    for (lane, renewed) in join_all(pieces).await {
        match renewed {
            Ok((some, some_eased)) => {
                lost.extend(some);
                eased |= some_eased;
                answered = true;
            }
            Err(error) => {
                tracing::warn!(lane, %error, "a lane's leases could not be renewed");
                away = Some(error);
            }
        }
    }
    if eased {
        feeder.tell(Command::Eased);
    }
    match away {
        Some(error) if !answered => Err(error.into()),
        _ => Ok(lost),
    }
}

/// Whether a lane does what is asked of it: to renew nothing, which only a server that may write does.
pub(super) async fn answers(core: &Core, lane: u32) -> bool {
    renew_some(core, lane, &[]).await.is_ok()
}

/// Extends leases in a lane; those that were lost, and whether another job may have waited for their end.
async fn renew_some(core: &Core, lane: u32, leases: &[Lease]) -> Result<(Vec<Lease>, bool), LinkError> {
    let until = core.lease_end();
    let lease_ms = core.options.lease.as_millis().to_string();
    let texts: Vec<_> = leases.iter().map(|lease| (job_key(lease), lease.token.to_string())).collect();
    let mut args: Vec<&[u8]> = vec![core.owner.as_bytes(), lease_ms.as_bytes()];
    for (key, token) in &texts {
        args.extend([&key[..], token.as_bytes()]);
    }
    let kept = flags(core.run(lane, &RENEW, &args).await?, leases.len())?;
    let (mut lost, mut eased) = (Vec::new(), false);
    for (lease, kept) in leases.iter().zip(kept) {
        if kept {
            core.running.extend(lease.token, until);
        } else {
            eased |= core.running.ended(lease.token);
            lost.push(lease.clone());
        }
    }
    Ok((lost, eased))
}

fn flags(answer: redis::Value, expected: usize) -> Result<Vec<bool>, LinkError> {
    let flags: Vec<_> = answer::list(answer)?
        .iter()
        .map(|flag| Ok(answer::int(flag)? == 1))
        .collect::<Result<_, LinkError>>()?;
    if flags.len() == expected {
        Ok(flags)
    } else {
        Err(LinkError::Refused(format!("{} answers came for {expected} leases", flags.len())))
    }
}

fn member(lease: &Lease) -> Vec<u8> {
    [lease.delivery.as_bytes(), lease.event.to_string().as_bytes()].concat()
}
