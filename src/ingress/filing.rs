//! The part of a request's way that nobody can cancel: storing the delivery and recording what became of it.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use prometheus_client::metrics::counter::Counter;
use tokio::{runtime::Handle, time::timeout_at};

use super::{
    answer::{Shared, empty, micros_since},
    inlet::Inlet,
};
use crate::{
    clock,
    delivery::DeliveryId,
    journal::{Accepted, NewContent, NewDelivery, StoreError},
    live::LiveItem,
};

type Reply = Response<Full<Bytes>>;

/// A delivery on its way into the store; resolves to the reply. Dropped before that (the sender hung up, a foreign
/// server cancels the handler), it goes on in the background, so that what happened is also counted and shown.
pub(super) struct Filing(Option<Pin<Box<dyn Future<Output = Reply> + Send>>>);

impl Filing {
    pub(super) fn start(
        shared: Arc<Shared>,
        inlet: Arc<Inlet>,
        delivery: NewDelivery,
        began: Instant,
    ) -> Self {
        Self(Some(Box::pin(file(shared, inlet, delivery, began))))
    }
}

impl Future for Filing {
    type Output = Reply;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Reply> {
        let Some(future) = &mut self.0 else { return Poll::Pending };
        let reply = ready!(future.as_mut().poll(context));
        self.0 = None;
        Poll::Ready(reply)
    }
}

impl Drop for Filing {
    fn drop(&mut self) {
        // Without a runtime the process is about to end, and the store ends what it has begun by itself.
        if let Some((future, runtime)) = self.0.take().zip(Handle::try_current().ok()) {
            runtime.spawn(future);
        }
    }
}

async fn file(shared: Arc<Shared>, inlet: Arc<Inlet>, delivery: NewDelivery, began: Instant) -> Reply {
    let (id, received_at, give_up_at) = (delivery.id, delivery.received_at, delivery.give_up_at);
    let totals = &inlet.totals;
    let (new, new_total): (_, &Counter) = match &delivery.content {
        NewContent::Events(_) => ("accepted", &totals.accepted),
        NewContent::Quarantined { .. } => ("quarantined", &totals.quarantined),
        NewContent::Test => ("test", &totals.test),
    };
    let kinds = match &delivery.content {
        NewContent::Events(events) if shared.live.is_watched() => {
            events.iter().map(|new| new.event.kind.clone()).collect()
        }
        _ => Vec::new(),
    };
    let stored = match give_up_at.checked_duration_since(clock::instant()) {
        Some(_) => timeout_at(give_up_at.into(), shared.store.accept(delivery))
            .await
            .unwrap_or(Err(StoreError::TooLate)),
        None => Err(StoreError::TooLate),
    };
    let (outcome, id, reply) = match stored {
        Ok(Accepted::New { id_reused }) => {
            new_total.inc();
            if id_reused {
                totals.id_reused.inc();
            }
            (new, Some(id), success(&inlet, id))
        }
        Ok(Accepted::Duplicate { original }) => {
            totals.duplicate.inc();
            // Only what is durable counts as the original, and what is durable was answered with success, unless the
            // answer had to come before it was.
            if !shared.unacknowledged.take(original) {
                totals.duplicate_after_ack.inc();
            }
            ("duplicate", Some(original), success(&inlet, original))
        }
        Err(error) => {
            totals.failed.inc();
            shared.unacknowledged.add(id);
            tracing::debug!(source = %inlet.name, %error, "not stored");
            ("failed", None, empty(StatusCode::SERVICE_UNAVAILABLE))
        }
    };
    let took = clock::instant().saturating_duration_since(began);
    totals.answered(took, inlet.deadline);
    shared.live.tell(|| LiveItem::Delivery {
        at: received_at,
        source: inlet.name.to_string(),
        outcome,
        id,
        kinds,
        ack_micros: micros_since(began),
    });
    reply
}

fn success(inlet: &Inlet, id: DeliveryId) -> Reply {
    let mut reply = inlet.success();
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    let text = uuid::Uuid::from(id).as_hyphenated().encode_lower(&mut text);
    if let Ok(value) = HeaderValue::from_str(text) {
        reply.headers_mut().insert(HeaderName::from_static("doorbell-delivery"), value);
    }
    reply
}
