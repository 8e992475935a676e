//! Reads a request's body within its limits.

use std::{pin::pin, time::Instant};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::time::timeout_at;

/// Why a body was not read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyError {
    /// It is larger than it may be: by its own declaration, or by what came.
    TooLarge,
    /// It had not come in time.
    Late,
    /// The sender hung up, or what came was no HTTP body.
    Broken,
}

/// The body, if all of it has come by `late_at` and it is no larger than `limit` bytes. A body that says itself that
/// it is larger is not even begun.
///
/// Memory grows only with what has really come. A body that came in one piece is not copied.
pub(super) async fn read<B: Body<Data = Bytes>>(
    body: B,
    limit: usize,
    late_at: Instant,
) -> Result<Bytes, BodyError> {
    if body.size_hint().lower() > limit as u64 {
        return Err(BodyError::TooLarge);
    }
    timeout_at(late_at.into(), collect(body, limit)).await.unwrap_or(Err(BodyError::Late))
}

async fn collect<B: Body<Data = Bytes>>(body: B, limit: usize) -> Result<Bytes, BodyError> {
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
                all.extend_from_slice(&std::mem::take(&mut first));
            }
            all.extend_from_slice(&data);
        }
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}
