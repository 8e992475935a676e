//! What follows a transaction: everybody who waits is answered, or nobody was promised anything.

use std::sync::PoisonError;

use tokio::sync::oneshot;

use super::{Applied, Batch, Command, OutboxRow, Reply, Writer, trouble::refuse};
use crate::journal::{Outcome, StoreError};

/// A row for the outbox, who waits for it, and what became of it.
type Post = (Box<OutboxRow>, Reply<i64>, Result<i64, StoreError>);

impl Writer {
    /// The commit is durable: now everybody may know.
    pub(super) fn finish(&mut self, commands: Vec<Command>, batch: Batch) {
        self.held_up = batch.claims.held_up;
        let mut posts = Vec::new();
        for (command, applied) in commands.into_iter().zip(batch.applied) {
            // Wherever nobody waits for the answer any more, that is no reason to do anything else.
            match (command, applied) {
                (Command::Accept(_, reply), Applied::Accept(accepted)) => drop(reply.send(accepted)),
                (Command::Post(row, reply), Applied::Post(position)) => posts.push((row, reply, position)),
                (Command::Settle(_, _, reply), Applied::Settle(settled)) => {
                    drop(reply.send(if settled { Ok(()) } else { Err(StoreError::LeaseLost) }));
                }
                (Command::Work(work), _) => work.answer(None),
                _ => {}
            }
        }
        if !posts.is_empty() {
            self.finish_posts(posts);
        }
        let Some((demand, claimed)) = &self.workers else { return };
        for (key, running, job) in batch.claims.jobs {
            self.running.insert(key, running);
            self.leases_until = self.leases_until.min(running.lease_until);
            if let Err(unsent) = claimed.send(job) {
                if let Some(route) = demand.routes().iter().position(|name| *name == unsent.0.lease.route) {
                    demand.not_claimed(route, 1);
                }
                // The receiver has just gone: nobody runs it.
                let (nobody, _) = oneshot::channel();
                self.unsettled.push(Command::Settle(unsent.0.lease, Outcome::Released, nobody));
            }
        }
    }

    /// Hands rows of the outbox to the relay, then answers. The relay has the longer way, and whoever was answered may ask what
    /// waits.
    fn finish_posts(&self, posts: Vec<Post>) {
        let (mut rows, mut answers) = (Vec::with_capacity(posts.len()), Vec::with_capacity(posts.len()));
        for (row, reply, position) in posts {
            rows.extend(position.as_ref().ok().map(|position| (*position, row)));
            answers.push((reply, position));
        }
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).add(rows);
        self.posted.send_replace(self.memory.outbox_end);
        for (reply, position) in answers {
            drop(reply.send(position));
        }
    }

    /// Nothing of the batch is known to be durable. Whoever waits for a promise is told so; what has already
    /// happened (an attempt ended) is kept, to be recorded when the store works again.
    pub(super) fn give_back(&mut self, commands: Vec<Command>, batch: Batch, error: &rusqlite::Error) {
        // They ran, and the file does not know that they ended: they must not be taken for claimed and never begun.
        self.running.extend(batch.settled);
        if let Some((demand, _)) = &self.workers {
            batch.claims.revoke(&**demand);
        }
        for command in commands {
            match command {
                Command::Settle(..) => self.unsettled.push(command),
                other => refuse(other, &StoreError::Unavailable(error.to_string())),
            }
        }
    }
}
