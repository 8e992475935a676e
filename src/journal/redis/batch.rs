//! Calls that come at the same time go as one: while one is under way, the next gathers.

use tokio::{
    sync::{mpsc, oneshot},
    task::{self, JoinSet},
    time,
};

use super::gather;

/// How many go at once, and of what weight, in bytes.
pub(super) const MANY: usize = 512;
pub(super) const HEAVY: usize = 1 << 20;

/// One thing to be done, and who waits for it.
pub(super) type Waiting<T, A> = (T, oneshot::Sender<A>);

/// A queue for each lane.
pub(super) struct Batches<T, A>(Vec<mpsc::UnboundedSender<Waiting<T, A>>>);

impl<T: Send + 'static, A: Send + 'static> Batches<T, A> {
    /// Starts a task for each lane, which has `work` do what has gathered. `weigh` says how many bytes one has, and
    /// `more_expected` whether others are about to follow this one, when so many have come.
    pub(super) fn start<M, W, F>(
        tasks: &mut JoinSet<()>,
        lanes: u32,
        weigh: fn(&T) -> usize,
        more_expected: M,
        work: W,
    ) -> Self
    where
        M: Fn(&T, usize) -> bool + Clone + Send + 'static,
        W: Fn(u32, Vec<Waiting<T, A>>) -> F + Clone + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let start = |lane| {
            let (sender, mut receiver) = mpsc::unbounded_channel::<Waiting<T, A>>();
            let (more_expected, work) = (more_expected.clone(), work.clone());
            tasks.spawn(async move {
                while let Some(first) = receiver.recv().await {
                    let mut weight = weigh(&first.0);
                    let mut batch = vec![first];
                    while batch.len() < MANY && weight < HEAVY {
                        let mut next = next(&mut receiver).await;
                        if next.is_none() && more_expected(&batch[0].0, batch.len()) {
                            next = time::timeout(gather::LONGEST, receiver.recv()).await.ok().flatten();
                        }
                        let Some(next) = next else { break };
                        weight += weigh(&next.0);
                        batch.push(next);
                    }
                    work(lane, batch).await;
                }
            });
            sender
        };
        Self((0..lanes).map(start).collect())
    }

    /// Has one thing done on a lane. `None`: the store is closed.
    pub(super) async fn submit(&self, lane: u32, thing: T) -> Option<A> {
        let (reply, answer) = oneshot::channel();
        let queue = self.0.get(usize::try_from(lane).ok()?)?;
        queue.send((thing, reply)).ok()?;
        answer.await.ok()
    }
}

/// What comes in close succession goes with the others: each batch is a call, and an fsync.
async fn next<W>(receiver: &mut mpsc::UnboundedReceiver<W>) -> Option<W> {
    if let Ok(next) = receiver.try_recv() {
        return Some(next);
    }
    task::yield_now().await;
    receiver.try_recv().ok()
}
