//! Which source a path means, decided so that guessing finds nothing out.

use std::{borrow::Cow, collections::HashMap, hint::black_box, sync::Arc};

use percent_encoding::percent_decode_str;

use super::inlet::Inlet;
use crate::provider::{Secret, Secrets};

/// The paths under the ingress: `/in/{source}` and `/in/{source}/{path_secret}`.
#[derive(Debug)]
pub(super) struct Paths {
    inlets: HashMap<Arc<str>, Entry>,
    /// As many secrets that match nothing as the source with the most has true ones.
    most: Secrets,
}

#[derive(Debug)]
struct Entry {
    inlet: Arc<Inlet>,
    /// Secrets that match nothing: as many as are missing to the number that the source with the most has.
    padding: Secrets,
}

/// A right path.
#[derive(Debug)]
pub(super) struct Found<'a> {
    pub(super) inlet: &'a Arc<Inlet>,
    /// The path secret that was right.
    pub(super) secret: Option<PathSecret<'a>>,
}

/// A path secret as a request brought it. Deliberately without `Debug`: it must not be printed.
pub(super) struct PathSecret<'a> {
    /// As it stands in the path, percent-encoded.
    pub(super) raw: &'a str,
    pub(super) decoded: Cow<'a, [u8]>,
}

/// A path that is answered with 404, and why: for the operator, not for the sender.
#[derive(Debug)]
pub(super) struct Lost<'a> {
    pub(super) inlet: Option<&'a Arc<Inlet>>,
    pub(super) reason: &'static str,
    pub(super) detail: &'static str,
}

impl Paths {
    pub(super) fn new(inlets: impl IntoIterator<Item = Inlet>) -> Self {
        let inlets: Vec<_> = inlets.into_iter().map(Arc::new).collect();
        let most = inlets.iter().map(|inlet| inlet.path_secrets.iter().count()).max().unwrap_or(0).max(1);
        let entry = |inlet: Arc<Inlet>| {
            let padding = dummies(most - inlet.path_secrets.iter().count());
            (inlet.name.clone(), Entry { inlet, padding })
        };
        Self { inlets: inlets.into_iter().map(entry).collect(), most: dummies(most) }
    }

    /// The source that the path means.
    ///
    /// Whatever is wrong takes the same time: an unknown source, a missing secret, a wrong one and a needless one all
    /// cost the same number of digests.
    pub(super) fn find<'a>(&'a self, path: &'a str) -> Result<Found<'a>, Lost<'a>> {
        let (name, secret) = split(path);
        let name = percent_decode_str(name).decode_utf8().unwrap_or_default();
        let entry = self.inlets.get(&*name);
        if let (Some(Entry { inlet, .. }), None) = (entry, secret)
            && inlet.path_secrets.is_empty()
        {
            return Ok(Found { inlet, secret: None });
        }
        let none = Secrets::none();
        let (secrets, padding) =
            entry.map_or((&none, &self.most), |entry| (&entry.inlet.path_secrets, &entry.padding));
        let raw = secret.unwrap_or_default();
        let decoded = Cow::from(percent_decode_str(raw));
        let right = secrets.matches(&decoded);
        black_box(padding.matches(black_box(&decoded)));
        match entry {
            // An empty secret proves nothing, even if one was configured by mistake.
            Some(Entry { inlet, .. }) if right && !decoded.is_empty() => {
                Ok(Found { inlet, secret: Some(PathSecret { raw, decoded }) })
            }
            Some(Entry { inlet, .. }) => Err(lost(inlet, secret.is_some())),
            None => Err(Lost { inlet: None, reason: "unknown_path", detail: "no source has this path" }),
        }
    }
}

impl std::fmt::Debug for PathSecret<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[REDACTED]")
    }
}

fn lost(inlet: &Arc<Inlet>, has_secret: bool) -> Lost<'_> {
    let (reason, detail) = match (inlet.path_secrets.is_empty(), has_secret) {
        (true, _) => {
            ("needless_path_secret", "the path ends with a secret, but the source has none configured")
        }
        (false, true) => ("wrong_path_secret", "the secret in the path is none of those that are valid"),
        (false, false) => ("missing_path_secret", "the path has no secret, but the source demands one"),
    };
    Lost { inlet: Some(inlet), reason, detail }
}

/// The two segments behind `/in/`. Any other path has an empty source, which is no source's name.
fn split(path: &str) -> (&str, Option<&str>) {
    let Some(rest) = path.strip_prefix("/in/") else { return ("", None) };
    match rest.split_once('/') {
        None => (rest, None),
        Some((_, more)) if more.contains('/') => ("", Some(more)),
        Some((source, secret)) => (source, Some(secret)),
    }
}

/// Secrets that take their time and match nothing: nobody knows them, and what they are compared with is not used.
fn dummies(count: usize) -> Secrets {
    vec![Secret::new([0; 32]); count].into()
}
