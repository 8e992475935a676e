//! Step 1: HTTP in, acknowledgement out.

mod refused;

pub(crate) use self::refused::{RefusedLog, RefusedRequest};
