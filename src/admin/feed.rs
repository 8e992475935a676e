//! What happens now, as server-sent events.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::State,
    response::{
        IntoResponse, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures_util::StreamExt;
use serde_json::json;
use tokio_stream::wrappers::{BroadcastStream, errors::BroadcastStreamRecvError};

use super::Context;
use crate::live::LiveItem;

/// How often a silent feed says that it is still there, so that proxies do not cut it off.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// `GET /api/live`: one event for each answered request (`delivery`), each ended attempt (`attempt`), and each
/// delivery that the shared queue found to repeat another one (`recognised`). A watcher
/// that is too slow is told how many it has missed (`missed`). Ends when the service shuts down.
pub(super) async fn live(State(context): State<Context>) -> impl IntoResponse {
    let closed = context.live.closed();
    let events = BroadcastStream::new(context.live.watch())
        .map(|item| Ok::<_, Infallible>(to_event(&item)))
        .take_until(closed);
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

fn to_event(item: &Result<LiveItem, BroadcastStreamRecvError>) -> Event {
    let (name, data) = match item {
        Ok(item @ LiveItem::Delivery { .. }) => ("delivery", json!(item)),
        Ok(item @ LiveItem::Attempt { .. }) => ("attempt", json!(item)),
        #[cfg(feature = "redis")]
        Ok(item @ LiveItem::Recognised { .. }) => ("recognised", json!(item)),
        Err(BroadcastStreamRecvError::Lagged(items)) => {
            ("missed", json!({ "type": "missed", "items": items }))
        }
    };
    Event::default().event(name).data(data.to_string())
}
