use std::{error::Error, fmt, time::Duration};

/// Why an attempt failed, and what becomes of its job.
///
/// `?` turns any error into [`Retry`](Self::Retry) by the route's own schedule:
///
/// ```
/// use std::time::Duration;
///
/// use doorbell::HandlerError;
///
/// async fn stock_changed(level: &str) -> Result<(), HandlerError> {
///     let level: f64 = level.parse()?; // tried again by the route's schedule
///     if level < 0.0 {
///         return Err(HandlerError::discard("no negative stock here")); // never again
///     }
///     if level > 1e6 {
///         return Err(HandlerError::dead("more than there can be")); // never again by itself: someone has to look at it
///     }
///     if is_being_counted().await {
///         return Err(HandlerError::retry_after(Duration::from_secs(600), "the stock is being counted"));
///     }
///     Ok(())
/// }
/// # async fn is_being_counted() -> bool { false }
/// ```
///
/// Errors of the vendors' [clients](crate::client) say more about themselves: a wait that the vendor asked for is kept,
/// and what no repetition mends is a dead letter at once. [`ClientError`](crate::client::ClientError) lists it.
#[derive(Debug)]
#[non_exhaustive]
pub enum HandlerError {
    /// Try again: after the given time, or by the route's schedule. The last attempt's failure makes the job dead.
    Retry {
        /// Not before this time is over.
        after: Option<Duration>,
        /// What went wrong.
        source: Box<dyn Error + Send + Sync>,
    },
    /// Never try again, and do not keep it among the dead: the event is of no use here.
    Discard {
        /// Why.
        reason: String,
    },
    /// Never try again, and keep it as a dead letter for someone to look at.
    Dead {
        /// What went wrong.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl HandlerError {
    /// Try again by the route's schedule.
    pub fn retry(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Retry { after: None, source: error.into() }
    }

    /// Try again, not before `after` is over.
    pub fn retry_after(after: Duration, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Retry { after: Some(after), source: error.into() }
    }

    /// Never try again; the event is of no use here.
    pub fn discard(reason: impl fmt::Display) -> Self {
        Self::Discard { reason: reason.to_string() }
    }

    /// Never try again; keep it as a dead letter.
    pub fn dead(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Dead { source: error.into() }
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retry { source, .. } | Self::Dead { source } => {
                write!(f, "{source}")?;
                let mut cause = source.source();
                while let Some(error) = cause {
                    write!(f, ": {error}")?;
                    cause = error.source();
                }
                Ok(())
            }
            Self::Discard { reason } => f.write_str(reason),
        }
    }
}

// Deliberately no `std::error::Error` for `HandlerError` itself: it would collide with this conversion.
impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for HandlerError {
    fn from(error: E) -> Self {
        let error = error.into();
        #[cfg(feature = "client")]
        if let Some(failed) = crate::client::ClientError::within(&*error) {
            let (after, dead) = (failed.retry_after(), failed.is_permanent());
            return if dead { Self::dead(error) } else { Self::Retry { after, source: error } };
        }
        Self::retry(error)
    }
}

#[cfg(all(test, feature = "client"))]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::client::ClientError;

    fn limited() -> ClientError {
        ClientError::RateLimited {
            call: "kladana: GET /x".into(),
            code: None,
            message: String::new(),
            after: Some(Duration::from_secs(60)),
        }
    }

    fn unusable() -> ClientError {
        ClientError::Unusable { field: "the id", value: "7".into(), expected: "a UUID" }
    }

    /// As a handler would wrap it.
    #[derive(Debug, thiserror::Error)]
    #[error("the product is unknown")]
    struct Wrapped(#[source] ClientError);

    #[test]
    fn the_vendors_wait_is_kept_even_inside_another_error() {
        for error in [HandlerError::from(limited()), HandlerError::from(Wrapped(limited()))] {
            let HandlerError::Retry { after, source } = error else { panic!("{error:?}") };
            assert_eq!(after, Some(Duration::from_secs(60)));
            assert!(source.is::<ClientError>() || source.is::<Wrapped>());
        }
    }

    #[test]
    fn what_no_repetition_mends_is_dead_and_the_rest_goes_by_the_schedule() {
        let call = || "poster: GET /x".to_owned();
        let status = StatusCode::OK;
        for (error, dead) in [
            (unusable(), true),
            (ClientError::TooLarge { call: call(), limit: 1 }, true),
            (ClientError::Unreadable { call: call(), reason: String::new(), in_shape: true }, true),
            (ClientError::Unreadable { call: call(), reason: String::new(), in_shape: false }, false),
            (ClientError::Unauthorized { call: call(), status, message: String::new() }, false),
            (ClientError::NotFound { call: call(), message: String::new() }, false),
            (ClientError::Vendor { call: call(), status, code: None, message: String::new() }, false),
        ] {
            let text = error.to_string();
            match HandlerError::from(error) {
                HandlerError::Dead { .. } => assert!(dead, "{text}"),
                HandlerError::Retry { after: None, .. } => assert!(!dead, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        assert!(matches!(HandlerError::from(Wrapped(unusable())), HandlerError::Dead { .. }));
        assert!(matches!(HandlerError::from("plain"), HandlerError::Retry { after: None, .. }));
    }
}
