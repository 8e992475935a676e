//! The `doorbell` command: one file a subcommand.

pub(crate) mod client;
pub(crate) mod conditions;
pub(crate) mod dead;
mod feed;
pub(crate) mod list;
pub(crate) mod output;
pub(crate) mod refused;
pub(crate) mod replay;
pub(crate) mod show;
pub(crate) mod tail;
#[cfg(test)]
mod tests;
