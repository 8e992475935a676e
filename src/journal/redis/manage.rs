//! What an operator does with jobs: replay, discard, route afresh.

use std::sync::LazyLock;

use super::{Redis, answer, feeder::Command, find::member, link::Script, script};
use crate::{
    delivery::{DeliveryId, JobId},
    journal::{
        DeliveryState, Discarded, JobState, NewEvent, ReplayJobs, StoreError, replay,
        sealed::{Meta, Parts, RoutedEvent, write_head},
        stored::StoredEvent,
    },
};

static REPLAY: LazyLock<Script> = script!("replay");
static DISCARD: LazyLock<Script> = script!("discard", allow_oom);
static REROUTE: LazyLock<Script> = script!("reroute");

/// How many jobs one call queues again.
const PIECE: usize = 250;
/// How many times a change to a delivery is tried if others change it meanwhile.
const TRIES: usize = 5;

impl Redis {
    /// Queues jobs of a delivery again.
    pub(super) async fn replay(&self, delivery: DeliveryId, which: &ReplayJobs) -> Result<usize, StoreError> {
        let Some(head) = self.head(delivery).await? else { return Ok(0) };
        let mut heads = [head];
        self.load_jobs(&mut heads).await?;
        let [head] = heads;
        let chosen = replay::chosen(which, head.jobs, |(_, job)| (job.id, &job.route, job.state));
        let mut queued = 0;
        for piece in chosen.chunks(PIECE) {
            let texts: Vec<_> = piece
                .iter()
                .map(|(event, job)| (member(delivery, *event), (job.state as u8).to_string()))
                .collect();
            let args: Vec<&[u8]> = piece
                .iter()
                .zip(&texts)
                .flat_map(|((_, job), (member, state))| [&member[..], job.route.as_bytes(), state.as_bytes()])
                .collect();
            queued += answer::uint(&self.run(head.lane, &REPLAY, &args).await?)?;
            self.feeder.tell(Command::Lane(head.lane));
        }
        Ok(usize::try_from(queued).unwrap_or(usize::MAX))
    }

    /// Gives up a job that waits.
    pub(super) async fn discard(&self, id: JobId) -> Result<Discarded, StoreError> {
        let Some((lane, event, job)) = self.find_job(id).await? else { return Ok(Discarded::NotFound) };
        let member = member(job.delivery_id, event);
        let args: [&[u8]; 4] = [&member, job.route.as_bytes(), b"discarded by an operator", id.as_bytes()];
        let before = answer::text(self.run(lane, &DISCARD, &args).await?)?;
        let before = before.parse().ok().and_then(|state: usize| JobState::ALL.get(state).copied());
        Ok(match before {
            None => Discarded::NotFound,
            Some(state) if replay::is_discardable(state) => Discarded::Yes,
            Some(state) => Discarded::NotWaiting(state),
        })
    }

    /// Replaces the events of a delivery that could not be read or routed, and queues the jobs that it has now and did
    /// not have.
    pub(super) async fn reroute(
        &self,
        delivery: DeliveryId,
        events: &[NewEvent],
    ) -> Result<usize, StoreError> {
        for _ in 0..TRIES {
            let Some((lane, value)) = self.value(delivery).await? else { return Ok(0) };
            let parts = Parts::of(&value)?;
            if parts.state != DeliveryState::Quarantined && parts.unrouted == 0 {
                return Ok(0);
            }
            let meta = parts.read_meta()?;
            let jobs = new_jobs(&meta.events, events);
            let meta = Meta { reason: None, events: rerouted(meta.events, events), ..meta };
            let unrouted = meta.events.iter().filter(|event| event.event.unrouted).count();
            let front = write_head(DeliveryState::Accepted, parts.received_at, &meta, parts.headers);
            let more_unrouted = i128::from(unrouted as u64) - i128::from(parts.unrouted);
            let more_unrouted = more_unrouted.to_string();
            let mut args: Vec<&[u8]> = vec![
                delivery.as_bytes(),
                &value[..parts.body_at],
                &front,
                more_unrouted.as_bytes(),
                flag(unrouted > 0),
                flag(parts.state == DeliveryState::Quarantined),
            ];
            let ids: Vec<_> = jobs
                .iter()
                .map(|(event, route)| (event.to_string(), delivery.event(*event).job(route)))
                .collect();
            for ((_, route), (event, id)) in jobs.iter().zip(&ids) {
                args.extend([event.as_bytes(), route.as_bytes(), id.as_bytes()]);
            }
            if answer::uint(&self.run(lane, &REROUTE, &args).await?)? == 1 {
                self.feeder.tell(Command::Lane(lane));
                return Ok(jobs.len());
            }
        }
        Err(StoreError::Unavailable(format!("delivery {delivery} is being changed by others; try again")))
    }
}

const fn flag(yes: bool) -> &'static [u8] {
    if yes { b"1" } else { b"0" }
}

/// The jobs that these events have and did not have before.
fn new_jobs<'a>(before: &[RoutedEvent], events: &'a [NewEvent]) -> Vec<(u32, &'a str)> {
    let mut jobs = Vec::new();
    for (index, (number, event)) in (0..).zip(events).enumerate() {
        let known = before.get(index).map_or(&[][..], |event| &event.routes);
        let new = event.routes.iter().filter(|route| !known.contains(*route));
        jobs.extend(new.map(|route| (number, &**route)));
    }
    jobs
}

/// What is known of the events from now on. Jobs refer to their events by number, so these stay even where they are no
/// longer found in the body.
fn rerouted(before: Vec<RoutedEvent>, events: &[NewEvent]) -> Vec<RoutedEvent> {
    let with_jobs = before.iter().rposition(|event| !event.routes.is_empty()).map_or(0, |last| last + 1);
    let mut known = before.into_iter();
    let mut all: Vec<_> = events
        .iter()
        .map(|new| {
            let mut routes = known.next().map(|event| event.routes).unwrap_or_default();
            for route in &new.routes {
                if !routes.contains(route) {
                    routes.push(route.clone());
                }
            }
            RoutedEvent { event: StoredEvent::new(new.event.clone(), routes.is_empty()), routes }
        })
        .collect();
    all.extend(known.take(with_jobs.saturating_sub(events.len())));
    all
}
