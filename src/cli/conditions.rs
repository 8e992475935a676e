//! Which deliveries a command is about.

use std::{str::FromStr, time::Duration};

use clap::Args;
use serde_json::Value;

use super::{
    client::{Api, ApiError},
    print::harmless,
};
use crate::{
    clock::{Clock, SystemClock, Timestamp},
    journal::ItemState,
};

/// Conditions on deliveries. Every one that is given must hold.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Conditions {
    /// Only of this source
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Option<String>,
    /// Only events whose kind fits this pattern, such as 'stock.*'
    #[arg(long, value_name = "PATTERN")]
    pub(crate) kind: Option<String>,
    /// Only what came since: a time (2026-01-23T09:48:17Z) or how long ago (2h, 3days)
    #[arg(long, value_name = "WHEN")]
    pub(crate) since: Option<Since>,
    /// Only with this text in an id, a subject or the body
    #[arg(short, long = "query", value_name = "TEXT")]
    pub(crate) q: Option<String>,
}

impl Conditions {
    /// As the API's parameters.
    pub(super) fn to_query(&self) -> Vec<(&'static str, String)> {
        let since = self.since.map(|since| since.at(SystemClock.now()).to_string());
        [
            ("source", self.source.clone()),
            ("kind", self.kind.clone()),
            ("since", since),
            ("q", self.q.clone()),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }
}

/// Checks a state's name, so that a mistyped one is told before anything is asked.
pub(super) fn state(text: &str) -> Result<String, String> {
    text.parse::<ItemState>().map(|_| text.to_owned())
}

/// A time, or how long ago it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Since {
    /// At this time.
    At(Timestamp),
    /// This long ago.
    Ago(Duration),
}

impl Since {
    fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(ago) => now.minus(ago),
        }
    }
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match Timestamp::parse_rfc3339(text) {
            Some(at) => Ok(Self::At(at)),
            None => humantime::parse_duration(text)
                .map(Self::Ago)
                .map_err(|_| "a time like 2026-01-23T09:48:17Z or a duration like 2h expected".to_owned()),
        }
    }
}

/// Up to `limit` items of a listing, over as many of its pages as that takes, in the API's own shape.
pub(super) async fn gather(
    api: &Api,
    items: &'static str,
    query: &[(&'static str, String)],
    limit: usize,
) -> Result<Value, ApiError> {
    let path = format!("/api/{items}");
    let mut gathered = Vec::new();
    let mut cursor = None::<String>;
    loop {
        let mut query = query.to_vec();
        query.push(("limit", (limit - gathered.len()).clamp(1, 500).to_string()));
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        let mut page = api.get(&path, &query).await?;
        let Value::Array(found) = page[items].take() else {
            return Err(ApiError::Foreign { url: path, why: format!("there are no {items} in it") });
        };
        gathered.extend(found);
        cursor = page["next"].as_str().map(str::to_owned);
        if cursor.is_none() || gathered.len() >= limit {
            let mut all = serde_json::json!({ items: gathered, "next": cursor });
            if let Value::String(warning) = page["warning"].take() {
                eprintln!("doorbell: {}", harmless(&warning));
                all["warning"] = warning.into();
            }
            return Ok(all);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_time_or_a_duration() {
        let now = Timestamp::from_millis(7_200_000);
        assert_eq!("2h".parse::<Since>().unwrap().at(now), Timestamp::from_millis(0));
        assert_eq!("1970-01-01T01:00:00+01:00".parse::<Since>().unwrap().at(now), Timestamp::from_millis(0));
        assert!("yesterday".parse::<Since>().unwrap_err().contains("2h"));
    }
}
