//! What a failed call does to a job when a handler uses `?`.

use std::time::Duration;

use super::*;
use crate::HandlerError;

fn limited() -> ClientError {
    ClientError::RateLimited { call: "kladana: GET /x".into(), after: Some(Duration::from_secs(60)) }
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
