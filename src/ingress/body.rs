//! Reads a request's body within its limits.

use std::{
    pin::pin,
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::time::timeout_at;

/// Why a body was not read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyError {
    /// It is larger than it may be: by its own declaration, or by what came.
    TooLarge,
    /// All bodies together hold as much memory as they may.
    NoRoom,
    /// It had not come in time.
    Late,
    /// The sender hung up, or what came was no HTTP body.
    Broken,
}

/// How much memory bodies that come in several pieces may hold together: that many slow senders can't take all.
#[derive(Debug)]
pub(super) struct Room(AtomicUsize);

/// A body, and what it holds of the room until it is dropped.
#[derive(Debug)]
pub(super) struct RoomyBody<'a> {
    pub(super) bytes: Bytes,
    _share: Share<'a>,
}

impl Room {
    pub(super) const fn new(bytes: usize) -> Self {
        Self(AtomicUsize::new(bytes))
    }

    /// The body, if all of it has come by `late_at` and it is no larger than `limit` bytes. A body that says itself
    /// that it is larger is not even begun.
    ///
    /// Memory grows only with what has really come. A body that came in one piece is not copied.
    pub(super) async fn read<B: Body<Data = Bytes>>(
        &self,
        body: B,
        limit: usize,
        late_at: Instant,
    ) -> Result<RoomyBody<'_>, BodyError> {
        if body.size_hint().lower() > limit as u64 {
            return Err(BodyError::TooLarge);
        }
        let mut share = Share { room: self, bytes: 0 };
        let reading = timeout_at(late_at.into(), collect(body, limit, &mut share));
        let bytes = reading.await.unwrap_or(Err(BodyError::Late))?;
        Ok(RoomyBody { bytes, _share: share })
    }
}

async fn collect<B: Body<Data = Bytes>>(
    body: B,
    limit: usize,
    share: &mut Share<'_>,
) -> Result<Bytes, BodyError> {
    let mut body = pin!(body);
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        // Trailers say nothing that anybody here asks for.
        let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
        if data.len() > limit - first.len().max(all.len()) {
            return Err(BodyError::TooLarge);
        }
        if first.is_empty() && all.is_empty() {
            first = data;
        } else {
            if all.is_empty() {
                let first = std::mem::take(&mut first);
                share.take(first.len())?;
                all.extend_from_slice(&first);
            }
            share.take(data.len())?;
            all.extend_from_slice(&data);
        }
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

#[derive(Debug)]
struct Share<'a> {
    room: &'a Room,
    bytes: usize,
}

impl Share<'_> {
    fn take(&mut self, bytes: usize) -> Result<(), BodyError> {
        let taken =
            self.room.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| free.checked_sub(bytes));
        taken.map_err(|_| BodyError::NoRoom)?;
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.room.0.fetch_add(self.bytes, Ordering::Relaxed);
        }
    }
}
