use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::{
    clock,
    load::Outcome,
    noop::Tally,
    product::Tallied,
    queue::Queue,
    report::{Figure, Target, Unit},
    scenario::{Bench, Measured, Shape, cpu},
    store::Store,
};

const BURST: &str = "peer, burst";
pub(super) const SUSTAINED: &str = "peer, sustained";

/// The hash in which the peer's queue keeps its jobs.
const JOBS: &str = "deliveries:data";

/// A queue that starts no job for so long, with jobs waiting, stands still.
const STANDS_STILL: Duration = Duration::from_secs(20);

impl Bench {
    /// What the peer takes under the same loads as the product: only queueing, and with every job handled.
    pub(super) async fn peer(&mut self) -> anyhow::Result<()> {
        if cfg!(not(feature = "peer")) {
            self.report.skipped.push("peer: build with `--features peer`".into());
            return Ok(());
        }
        self.peer_burst().await?;
        self.peer_sustained().await
    }

    async fn peer_burst(&mut self) -> anyhow::Result<()> {
        let shape = Shape::Closed { seconds: self.size.burst };
        let before = self.floor(shape).await?;
        let (mut peer, mut store) = self.start_peer(false).await?;
        let at_start = cpu(peer.usage(), &mut store).await?;
        let outcome = self.load(BURST, peer.ingress, shape).await;
        peer.check().await?;
        let outcome = outcome?;
        let cpu = cpu(peer.usage(), &mut store).await?.since(at_start);
        let queued = store.redis().context("the peer has no Redis")?.fields(JOBS).await?;
        ensure!(queued == outcome.acked, "{} deliveries acknowledged, {queued} jobs queued", outcome.acked);
        peer.kill().await?;
        let floor = self.floor_around(BURST, before, shape).await?;
        self.report.figures.extend(Measured::new(&outcome, cpu).figures(BURST, floor));
        self.beside_peer("burst", BURST);
        Ok(())
    }

    async fn peer_sustained(&mut self) -> anyhow::Result<()> {
        let shape = Shape::Closed { seconds: self.size.sustained };
        let before = self.floor(shape).await?;
        let (mut peer, mut store) = self.start_peer(true).await?;
        let at_start = cpu(peer.usage(), &mut store).await?;
        let outcome = self.load(SUSTAINED, peer.ingress, shape).await;
        peer.mark().await?;
        let outcome = outcome?;
        self.progress("waiting for the peer's worker");
        let tally = all_it_handles(&mut peer, outcome.acked).await?;
        let cpu = cpu(peer.usage(), &mut store).await?.since(at_start);
        if tally.handled < outcome.acked {
            let note = format!(
                "{SUSTAINED}: its worker stands still after {} of {} jobs{}",
                tally.handled,
                outcome.acked,
                peer.last_words()
            );
            self.report.notes.push(note);
        }
        peer.kill().await?;
        let floor = self.floor_around(SUSTAINED, before, shape).await?;
        self.report.figures.extend(Measured::new(&outcome, cpu).figures(SUSTAINED, floor));
        self.report.figures.extend(handling(&outcome, tally));
        Ok(())
    }

    /// How many times the peer's acks the product's are, each as a share of its floor, if both were measured.
    pub(super) fn beside_peer(&mut self, ours: &'static str, peers: &str) {
        let shares = self.report.share_of_acks(ours).zip(self.report.share_of_acks(peers));
        self.report.figures.extend(shares.map(|(our, peers)| {
            Figure::new(ours, "acks ÷ the peer's", our / peers, Unit::Ratio).target(Target::AtLeast(1.0))
        }));
    }

    async fn start_peer(&self, worker: bool) -> anyhow::Result<(Tallied, Store)> {
        let mut store = self.closed_store(Queue::Redis)?;
        store.open().await?;
        let shared = store.shared().context("the peer has no Redis")?;
        Ok((Tallied::peer(shared, worker).await?, store))
    }
}

/// Waits until the peer has handled so many jobs, or handles no more.
async fn all_it_handles(peer: &mut Tallied, jobs: u64) -> anyhow::Result<Tally> {
    let mut last = peer.tally().await?;
    let mut since = clock::instant();
    while last.handled < jobs && clock::instant().duration_since(since) < STANDS_STILL {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let now = peer.tally().await?;
        if now.handled > last.handled {
            (last, since) = (now, clock::instant());
        }
    }
    Ok(last)
}

/// What became of the jobs, held to what is asked of the product.
fn handling(outcome: &Outcome, tally: Tally) -> Vec<Figure> {
    let handled = tally.share_of(outcome.acked) * 100.0;
    let mut figures =
        vec![Figure::new(SUSTAINED, "jobs handled", handled, Unit::Percent).target(Target::AtLeast(100.0))];
    figures.push(Figure::new(SUSTAINED, "jobs", tally.per_second(), Unit::PerSecond));
    if tally.handled >= outcome.acked {
        figures.push(
            Figure::new(SUSTAINED, "oldest job waiting at the end", tally.oldest_at_mark, Unit::Seconds)
                .target(Target::Below(1.0)),
        );
    }
    figures.push(Figure::new(SUSTAINED, "accept to handler p99", tally.wait.p99, Unit::Milliseconds));
    figures
}
