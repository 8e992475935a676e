//! The channel on which a host hears that another one has made jobs ready.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use redis::Msg;
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tracing::{debug, warn};

use super::{Link, LinkError, open::Way, pause};

/// Where scripts publish the number of a lane that has something ready.
pub(in super::super) const CHANNEL: &str = "doorbell:wake";

/// What was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Wake {
    /// Something is ready in this lane.
    Lane(u32),
    /// It is listened to from now on. What was published before went unheard, so look at all lanes.
    Subscribed,
}

/// Hears what is published until it is dropped. Comes back by itself when the connection breaks.
pub(in super::super) struct Wakes(mpsc::Receiver<Wake>);

impl Wakes {
    /// Waits for the next one. Dropping the future loses nothing.
    pub(in super::super) async fn next(&mut self) -> Wake {
        match self.0.recv().await {
            Some(wake) => wake,
            // The task ends only with its runtime.
            None => std::future::pending().await,
        }
    }

    /// One that has come already.
    pub(in super::super) fn try_next(&mut self) -> Option<Wake> {
        self.0.try_recv().ok()
    }
}

impl Link {
    /// Listens on the channel that wakes hosts, on a connection of its own. Must be called within a runtime.
    pub(in super::super) fn wakes(&self) -> Wakes {
        // A reader that is slow holds up the channel and nothing else.
        let (sender, receiver) = mpsc::channel(1024);
        tokio::spawn(listen(Arc::clone(&self.way), self.timeout, sender));
        Wakes(receiver)
    }
}

/// Listens for as long as somebody wants to hear it.
async fn listen(way: Arc<Way>, patience: Duration, sender: mpsc::Sender<Wake>) {
    let mut failures = 0;
    for turn in 0.. {
        let listened = tokio::select! {
            listened = hear(&way, patience, turn, &mut failures, &sender) => listened,
            () = sender.closed() => return,
        };
        if let Err(error) = listened {
            // The first failure is news; the link itself says more.
            if failures == 0 {
                warn!(%error, "not listening for what other hosts make ready");
            } else {
                debug!(%error, failures, "not listening for what other hosts make ready");
            }
        }
        tokio::select! {
            () = sleep(pause(failures)) => failures += 1,
            () = sender.closed() => return,
        }
    }
}

/// Listens until the connection breaks. `failures` becomes 0 when it is open.
async fn hear(
    way: &Way,
    patience: Duration,
    turn: usize,
    failures: &mut u32,
    sender: &mpsc::Sender<Wake>,
) -> Result<(), LinkError> {
    let listening = way.listen(CHANNEL, turn).await?;
    *failures = 0;
    let (mut sink, mut messages) = listening.split();
    let broken = |why: &str| LinkError::Away(why.to_owned());
    let gone = |_| broken("nobody listens any more");
    sender.send(Wake::Subscribed).await.map_err(gone)?;
    // A server that hangs, or that lost us, says nothing, as one does that has nothing to say.
    let mut pulse = interval(patience);
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            message = messages.next() => {
                let message = message.ok_or_else(|| broken("the connection was closed"))?;
                sender.send(lane(&message)).await.map_err(gone)?;
            }
            _ = pulse.tick() => {
                match timeout(patience, sink.ping::<redis::Value>()).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(error)) => return Err(super::judge(&error).error),
                    Err(_) => return Err(broken("it does not answer")),
                }
            }
        }
    }
}

/// A message that is no lane's number is from a later version, and as good as any lane.
fn lane(message: &Msg) -> Wake {
    let text: Option<String> = message.get_payload().ok();
    text.and_then(|text| text.parse().ok()).map_or(Wake::Subscribed, Wake::Lane)
}
