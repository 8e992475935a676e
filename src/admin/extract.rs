//! What requests carry, read into types. Whatever does not fit is a [`Problem`] that names it.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::request::Parts,
};
use serde::{Deserialize, de::DeserializeOwned};
use uuid::Uuid;

use super::problem::Problem;
use crate::{
    Pattern,
    clock::Timestamp,
    journal::{Filter, ItemState},
};

/// The id in the path: of a delivery, an event or a job.
pub(super) struct Id(pub(super) Uuid);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))?;
        text.parse().map(Self).map_err(|_| {
            Problem::bad_request(format!(
                "{text:?} is no id; expected the UUID of a delivery, an event or a job, as the listings show it"
            ))
        })
    }
}

/// The query string's parameters. Unknown ones are refused: a mistyped condition must not widen what is acted on.
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(params)) => Ok(Self(params)),
            Err(rejection) => Err(Problem::new(rejection.status(), rejection.body_text())),
        }
    }
}

/// A small JSON body, whatever its content type says.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))?;
        serde_json::from_slice(&body)
            .map(Self)
            .map_err(|error| Problem::bad_request(format!("the body is not the JSON expected here: {error}")))
    }
}

/// The parameters of a listing.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ListParams {
    state: Option<String>,
    source: Option<String>,
    kind: Option<String>,
    q: Option<String>,
    since: Option<String>,
    cursor: Option<String>,
    limit: Option<String>,
}

impl ListParams {
    const MAX_LIMIT: usize = 500;

    /// The filter that these say.
    pub(super) fn filter(self) -> Result<Filter, Problem> {
        let limit = match given(self.limit) {
            None => 0,
            Some(text) => {
                text.parse().ok().filter(|limit| (1..=Self::MAX_LIMIT).contains(limit)).ok_or_else(|| {
                    Problem::bad_request(format!(
                        "limit: {text:?} given, a number from 1 to {} expected",
                        Self::MAX_LIMIT
                    ))
                })?
            }
        };
        let cursor = given(self.cursor);
        let conditions = Conditions {
            state: self.state,
            source: self.source,
            kind: self.kind,
            q: self.q,
            since: self.since,
        };
        Ok(Filter { cursor, limit, ..conditions.filter()? })
    }
}

/// What deliveries must fulfil to be acted on.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Conditions {
    state: Option<String>,
    source: Option<String>,
    kind: Option<String>,
    q: Option<String>,
    since: Option<String>,
}

impl Conditions {
    /// The filter that these say. Empty ones count as not given, as forms send them.
    pub(super) fn filter(self) -> Result<Filter, Problem> {
        let state = given(self.state)
            .map(|text| {
                text.parse::<ItemState>().map_err(|error| Problem::bad_request(format!("state: {error}")))
            })
            .transpose()?;
        let since = given(self.since)
            .map(|text| {
                Timestamp::parse_rfc3339(&text).ok_or_else(|| {
                    Problem::bad_request(format!(
                        "since: {text:?} given, a time like 2026-01-23T09:48:17Z expected"
                    ))
                })
            })
            .transpose()?;
        Ok(Filter {
            state,
            source: given(self.source),
            kind: given(self.kind).map(Pattern::new),
            text: given(self.q),
            since,
            ..Filter::default()
        })
    }
}

fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}
