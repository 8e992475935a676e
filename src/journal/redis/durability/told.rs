//! What a server tells about itself.

use std::collections::HashMap;

use redis::Value;

use super::lines;
use crate::journal::redis::{answer, link::LinkError};

/// The settings that INFO does not tell.
pub(super) const SETTINGS: [&str; 4] =
    ["appendfsync", "no-appendfsync-on-rewrite", "min-replicas-to-write", "save"];

/// What one server tells about itself.
#[derive(Debug)]
pub(super) struct Told {
    /// What INFO says.
    pub(super) info: HashMap<String, String>,
    /// Of [`SETTINGS`], or why they can't be seen.
    pub(super) settings: Result<HashMap<String, String>, String>,
    /// Of a Cluster's node: what CLUSTER INFO says, or why that can't be seen.
    pub(super) cluster: Option<Result<String, String>>,
}

impl Told {
    /// With the text of INFO's answer. The rest was not asked yet.
    pub(super) fn new(info: &str) -> Self {
        Self { info: lines(info), settings: Err("it was not asked".to_owned()), cluster: None }
    }

    /// Whether the other is the same process.
    pub(super) fn is_same_server(&self, other: &Self) -> bool {
        self.info("run_id").is_some_and(|id| other.info("run_id") == Some(id))
    }

    pub(super) fn is_cluster(&self) -> bool {
        self.info("cluster_enabled") == Some("1")
    }

    /// A value that INFO tells.
    pub(super) fn info(&self, key: &str) -> Option<&str> {
        self.info.get(key).map(String::as_str)
    }

    /// The same, of a number.
    pub(super) fn number(&self, key: &str) -> Option<u64> {
        self.info(key)?.parse().ok()
    }

    /// A setting, where settings can be seen.
    pub(super) fn setting(&self, key: &str) -> Option<&str> {
        self.settings.as_ref().ok()?.get(key).map(String::as_str)
    }

    /// What the server is: `Redis 7.2.4`, `Valkey 8.0.1`.
    pub(super) fn name(&self) -> String {
        match (self.info("valkey_version"), self.info("redis_version")) {
            (Some(version), _) => format!("Valkey {version}"),
            (None, Some(version)) => format!("Redis {version}"),
            (None, None) => "a server without a version".to_owned(),
        }
    }

    /// The version of Redis that it is, or is compatible with: major and minor number.
    pub(super) fn version(&self) -> Option<(u32, u32)> {
        let mut numbers = self.info("redis_version")?.split('.');
        Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    }
}

/// What CONFIG GET answers: keys and values by turns, or a map.
pub(super) fn pairs(answer: Value) -> Result<HashMap<String, String>, LinkError> {
    let values = match answer {
        Value::Map(pairs) => pairs.into_iter().flat_map(|(key, value)| [key, value]).collect(),
        other => answer::list(other)?,
    };
    let texts: Vec<_> = values.into_iter().map(answer::text).collect::<Result<_, _>>()?;
    Ok(texts.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect())
}
