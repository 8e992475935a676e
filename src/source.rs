//! A configured sender.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use crate::{
    provider::{Provider, Secrets},
    route::Pattern,
    suggest::{list, near},
};

/// A configured sender: a provider, what proves its requests, and how they are treated.
///
/// A provider alone is a source with the provider's defaults:
///
/// ```
/// # use doorbell::{Source, provider::Kladana};
/// # use std::time::Duration;
/// let source = Source::new(Kladana::new()).path_secret("0f1e2d3c").deadline(Duration::from_millis(1200));
/// ```
#[derive(Debug, Clone)]
pub struct Source {
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) path_secrets: Secrets,
    pub(crate) deadline: Duration,
    pub(crate) dedupe_fallback: Duration,
    pub(crate) dedupe_window: Duration,
}

impl Source {
    /// How long a delivery is recognised after it was last seen, where nothing else is said.
    pub const DEFAULT_DEDUPE_WINDOW: Duration = Duration::from_secs(30 * 24 * 3600);

    /// A source of this provider, with the provider's own deadline.
    pub fn new(provider: impl Provider) -> Self {
        Self::shared(Arc::new(provider))
    }

    pub(crate) fn shared(provider: Arc<dyn Provider>) -> Self {
        let profile = provider.profile();
        Self {
            provider,
            path_secrets: Secrets::none(),
            deadline: profile.deadline,
            dedupe_fallback: profile.dedupe_fallback,
            dedupe_window: Self::DEFAULT_DEDUPE_WINDOW,
        }
    }

    /// Demands one of these secrets at the end of the path: `/in/<source>/<secret>`. An empty text is none, and no receiver
    /// is built with it.
    pub fn path_secret(mut self, secrets: impl Into<Secrets>) -> Self {
        self.path_secrets = secrets.into();
        self
    }

    /// How long the sender waits for its reply, from the moment it connected.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// How long a delivery is recognised after it was last seen.
    pub fn dedupe_window(mut self, window: Duration) -> Self {
        self.dedupe_window = window;
        self
    }

    /// Takes deliveries without a sender's id for the same if their bodies are equal and no more than this lies
    /// between them. Zero: never.
    pub fn dedupe_fallback(mut self, window: Duration) -> Self {
        self.dedupe_fallback = window;
        self
    }
}

impl<P: Provider> From<P> for Source {
    fn from(provider: P) -> Self {
        Self::new(provider)
    }
}

/// The source whose sender is the first to give up, and after what time, if an acknowledgement that is waited for so long
/// comes too late for it.
#[cfg(any(feature = "redis", feature = "cli"))]
pub(crate) fn gives_up_first<'a>(
    sources: impl IntoIterator<Item = (&'a String, &'a Source)>,
    wait: Duration,
) -> Option<(&'a str, Duration)> {
    let deadlines = sources.into_iter().map(|(name, source)| (name.as_str(), source.deadline));
    deadlines.min_by_key(|(_, deadline)| *deadline).filter(|(_, deadline)| *deadline <= wait)
}

/// What a source's name looks like.
pub(crate) const NAME: &str =
    "up to 64 of the characters A-Z a-z 0-9 . _ -, beginning with a letter or digit";

/// Whether a source can have this name. It stands in URLs, headers and metrics, so few characters are allowed.
pub(crate) fn is_name(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

/// What is wrong with a pattern that fits nothing which any of these sources is known to send: likely a typing error.
/// `None` where it may fit something, as it always may where one of the senders sends anything.
pub(crate) fn mismatch(pattern: &Pattern, sources: &[&Source]) -> Option<String> {
    let providers: Vec<_> = sources.iter().map(|source| &source.provider).collect();
    let is_lower = |text: &str| text == text.to_lowercase();
    let fits = |pattern: &Pattern, kinds: &[&str]| {
        let in_case = is_lower(pattern.as_str()) || !kinds.iter().all(|kind| is_lower(kind));
        kinds.is_empty() || in_case && kinds.iter().any(|kind| pattern.may_overlap(&Pattern::new(*kind)))
    };
    let fits_any = |pattern| providers.iter().any(|provider| fits(pattern, provider.known_kinds()));
    if providers.is_empty() || fits_any(pattern) {
        return None;
    }
    let lower = Pattern::new(pattern.as_str().to_lowercase());
    let known: Vec<_> = providers.iter().flat_map(|provider| provider.known_kinds()).copied().collect();
    let meant: Vec<_> = known.iter().map(|kind| filled_in(kind, &lower)).collect();
    let meant: Vec<_> = meant.iter().map(String::as_str).collect();
    let close =
        if fits_any(&lower) { vec![lower.as_str()] } else { near(lower.as_str(), meant.iter().copied()) };
    let mend = if close.is_empty() {
        let documented = documented(&lower, &known, &meant);
        let others = if documented.len() > 8 { ", among others" } else { "" };
        format!("documented are {}{others}", list(documented.iter().take(8).map(String::as_str)))
    } else {
        format!("did you mean {}?", list(close))
    };
    Some(format!(
        "fits no event that is known of {}; {mend} (a `*` in a word's place stands for any, documented or not)",
        list(providers.iter().map(|provider| provider.name()).collect::<BTreeSet<_>>())
    ))
}

/// A documented kind, with what the pattern has in the place of its `*`, and the other way round: what may have been
/// meant.
fn filled_in(kind: &str, pattern: &Pattern) -> String {
    let (Some((entity, action)), Some((our_entity, our_action))) =
        (kind.split_once('.'), pattern.as_str().split_once('.'))
    else {
        return kind.to_owned();
    };
    let word = |known, ours| if known == "*" || ours == "*" { ours } else { known };
    format!("{}.{}", word(entity, our_entity), word(action, our_action))
}

/// What is documented of the pattern's entity; if it is none that is known, the entities.
fn documented(pattern: &Pattern, known: &[&str], meant: &[&str]) -> BTreeSet<String> {
    let entity = |kind: &str| kind.split_once('.').map(|(entity, _)| entity.to_owned());
    let wanted = entity(pattern.as_str());
    let same: BTreeSet<_> =
        meant.iter().filter(|kind| entity(kind) == wanted).map(|&kind| kind.to_owned()).collect();
    if wanted.is_some() && !same.is_empty() {
        return same;
    }
    let entities = |kind: &&str| match entity(kind) {
        Some(entity) if known.len() > 8 => format!("{entity}.*"),
        _ => (*kind).to_owned(),
    };
    known.iter().map(entities).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::{Hmac, Kladana, Poster, Preset, Quable, Shareactor};

    #[test]
    fn a_pattern_that_fits_nothing_known_is_told_with_what_may_be_meant() {
        let poster = Source::new(Poster::new("s"));
        let kladana = Source::new(Kladana::new());
        let quable = Source::new(Quable::new("s"));
        let shareactor = Source::new(Shareactor::new("s"));
        let github = Source::new(Hmac::preset(Preset::Github, "s").unwrap());
        for (pattern, sources, expected) in [
            ("stok.*", &[&poster][..], Some("known of poster; did you mean stock.*?")),
            ("stok.changed", &[&poster], Some("did you mean stock.changed?")),
            ("product.updated", &[&kladana], Some("known of kladana; did you mean product.update?")),
            ("documents.update", &[&quable], Some("did you mean document.update?")),
            ("unheard.of", &[&poster], Some("documented are application.*, book_transaction.*, ")),
            ("nonsense", &[&poster, &kladana, &poster], Some("known of kladana and poster; ")),
            ("stock.*", &[&poster], None),
            ("*.unheard", &[&poster], Some("documented are *.added, *.changed, *.closed, ")),
            ("stock.chnaged", &[&poster], Some("did you mean stock.changed?")),
            ("*.chnaged", &[&poster], Some("did you mean *.changed?")),
            ("*.chnaged", &[&kladana], Some("documented are *.all, *.bystore, *.create, ")),
            ("stock.melted", &[&poster], Some("documented are stock.added, stock.changed, stock.removed")),
            ("order.creatd", &[&shareactor], Some("did you mean order.created?")),
            ("Product.update", &[&kladana], Some("did you mean product.update?")),
            ("Product.*", &[&kladana, &quable], Some("did you mean product.*?")),
            ("USER.*", &[&quable], Some("did you mean user.*?")),
            ("user.Created", &[&quable], Some("did you mean user.created?")),
            ("Stock.changed", &[&poster, &github], None),
            ("transaction.closed", &[&poster], None),
            ("transaction.test", &[&poster], Some("documented are transaction.added, transaction.changed, ")),
            (
                "invoice.paid",
                &[&shareactor],
                Some("documented are invoice.created, invoice.deleted and invoice.updated"),
            ),
            (
                "order.non_renewing",
                &[&shareactor],
                Some("documented are order.cancelled, order.created and order.updated"),
            ),
            ("loyalty_rule.changed", &[&poster], None),
            ("loyalty rule.changed", &[&poster], Some("did you mean loyalty_rule.changed?")),
            ("*stock*", &[&poster], None),
            ("*.changed", &[&poster, &kladana], None),
            ("*", &[&poster, &kladana, &quable, &shareactor], None),
            ("user.signed_in", &[&quable], None),
            ("anything.processed", &[&kladana], None),
            ("stock.bystore", &[&kladana], None),
            ("order.create", &[&poster, &kladana], None),
            ("stok.*", &[&poster, &github], None),
            ("stok.*", &[&github], None),
            ("stok.*", &[], None),
        ] {
            let wrong = mismatch(&Pattern::new(pattern), sources);
            match expected {
                Some(part) => {
                    assert!(wrong.as_ref().is_some_and(|text| text.contains(part)), "{pattern}: {wrong:?}");
                }
                None => assert_eq!(wrong, None, "{pattern}"),
            }
        }
    }
}
