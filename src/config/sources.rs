//! `[[source]]`: the senders, and what proves them.

use std::{collections::HashMap, time::Duration};

use super::{
    entry::Zero,
    provider::{ProviderKind, ProviderSettings},
    reader::Table,
    secrets::secrets,
    sections::SHORT,
    value::{self, list, near, show_duration},
};
use crate::{
    provider::{Secrets, hmac::SchemeError},
    source::{NAME, Source},
};

/// A configured sender.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SourceConfig {
    /// Its name: the last part of its URL, before the path secret.
    pub name: String,
    /// What kind of sender it is, and what proves its requests.
    pub settings: ProviderSettings,
    /// Keys of its payloads whose values are masked, beside the configuration's own.
    pub mask: Vec<String>,
    /// The source as the receiver takes it.
    pub source: Source,
}

impl SourceConfig {
    /// The URL to register with the sender, below `base` (see [`base_url`](super::IngressConfig::base_url)).
    ///
    /// It ends with the first path secret, so it is itself a secret: it is shown to the operator, and never logged.
    pub fn url(&self, base: &str) -> String {
        let mut url = format!("{base}/in/{}", self.name);
        if let Some(secret) = self.settings.path_secrets.iter().next() {
            url.push('/');
            url.push_str(&String::from_utf8_lossy(secret.expose()));
        }
        url
    }
}

/// The sources that are right, and the names of all that are declared: a route to a source with an error in it is
/// not an error too.
pub(super) fn read(tables: Vec<Table<'_, '_>>) -> (Vec<SourceConfig>, Vec<String>) {
    let mut lines: HashMap<String, usize> = HashMap::new();
    let mut declared = Vec::new();
    let mut sources = Vec::new();
    for table in tables {
        let name = table
            .required("name", "add a name, such as name = \"cafe\": it becomes a part of the URL")
            .and_then(|it| it.parsed(NAME, value::name));
        if let Some(name) = &name {
            if let Some(first) = lines.insert(name.clone(), table.line("name")) {
                let message =
                    format!("{name:?} is also the name of the source on line {first}; choose another");
                table.problem("name", message);
            }
            declared.push(name.clone());
        }
        sources.extend(read_one(&table, name));
        table.finish();
    }
    (sources, declared)
}

/// `mask`: keys of payloads.
pub(super) fn mask(table: &Table<'_, '_>) -> Vec<String> {
    let expected = "a key of a payload, such as \"access_token\", or a list of them";
    let Some(value) = table.get("mask") else { return Vec::new() };
    // An empty list says what is so anyway.
    value.items().iter().filter_map(|item| item.text(expected)).map(|text| text.value).collect()
}

fn read_one(table: &Table<'_, '_>, name: Option<String>) -> Option<SourceConfig> {
    let kinds = list(ProviderKind::ALL.iter().map(|kind| kind.name()));
    let kind = table.required("provider", &format!("add provider = …, one of {kinds}")).and_then(|value| {
        let text = value.text(&format!("one of {kinds}"))?;
        let kind = ProviderKind::from_name(&text.value);
        if kind.is_none() {
            let near = near(&text.value, ProviderKind::ALL.iter().map(|kind| kind.name()));
            let meant =
                if near.is_empty() { String::new() } else { format!("did you mean {}? ", list(near)) };
            value.problem(format!("there is no provider {}; {meant}expected one of {kinds}", text.shown));
        }
        kind
    });
    let Some(kind) = kind else {
        // Which keys are right depends on the provider: of the others nothing can be said.
        for &key in KEYS {
            drop(table.get(key));
        }
        return None;
    };
    refuse_foreign_keys(table, kind);

    let mut settings = ProviderSettings::new(kind);
    settings.path_secrets = secrets(table, "path_secret", "path_secret_file", path_secret).into();
    if kind == ProviderKind::Quable {
        settings.authorization = secrets(table, "authorization", "authorization_file", header_value).into();
    } else if kind.signs() {
        settings.secrets = secrets(table, "secret", "secret_file", |secret| kind.check_secret(secret)).into();
    }
    let flag = |key| table.get(key).and_then(|it| it.flag()).unwrap_or_default();
    match kind {
        ProviderKind::Kladana | ProviderKind::Quable => settings.insecure = flag("insecure"),
        ProviderKind::Shareactor => settings.require_signature = flag("require_signature"),
        ProviderKind::Poster => settings.accept_object_data = flag("accept_object_data"),
        _ => {}
    }
    settings.read_signature(table);
    demand_proof(table, &settings);

    let mask = mask(table);
    let window = table.get("dedupe_window").and_then(|it| it.duration(Zero::Refused));
    let fallback = table.get("dedupe_fallback").and_then(|it| it.duration(Zero::Means("never")));
    let deadline = table.get("deadline").and_then(|it| it.duration(Zero::Refused));
    let mut source = match settings.source() {
        Ok(source) => source,
        Err(SchemeError::Key(error)) => {
            table.problem("secret", error.to_string());
            return None;
        }
        Err(error) => {
            // A missing secret or signature is complained about already.
            if !settings.secrets.is_empty() && settings.signature.is_some() {
                table.problem("signature", error.to_string());
            }
            return None;
        }
    };
    if let Some(deadline) = deadline {
        warn_of_late_deadline(table, &source, deadline);
        source = source.deadline(deadline);
    }
    if let Some(window) = window {
        source = source.dedupe_window(window);
    }
    if let Some(window) = fallback {
        source = source.dedupe_fallback(window);
    }
    Some(SourceConfig { name: name?, settings, mask, source })
}

/// Every key that some provider has.
const KEYS: &[&str] = &[
    "name",
    "provider",
    "secret",
    "secret_file",
    "path_secret",
    "path_secret_file",
    "authorization",
    "authorization_file",
    "insecure",
    "require_signature",
    "accept_object_data",
    "signature",
    "id",
    "kind",
    "deadline",
    "dedupe_window",
    "dedupe_fallback",
    "mask",
];

/// Says of keys that only other providers have why this one has not.
fn refuse_foreign_keys(table: &Table<'_, '_>, kind: ProviderKind) {
    use ProviderKind::{Hmac, Kladana, Poster, Quable, Shareactor};
    let foreign: &[(&'static str, bool, &str)] = &[
        ("secret", kind.signs(), no_signature(kind)),
        ("secret_file", kind.signs(), no_signature(kind)),
        ("authorization", kind == Quable, "only Quable sends a fixed Authorization value"),
        ("authorization_file", kind == Quable, "only Quable sends a fixed Authorization value"),
        (
            "insecure",
            matches!(kind, Kladana | Quable),
            "it is for senders that sign nothing; a signature is always checked",
        ),
        (
            "require_signature",
            kind == Shareactor,
            "only with shareactor can a path secret stand in for a signature",
        ),
        ("accept_object_data", kind == Poster, "it is about the `data` field of Poster's notifications"),
        (
            "signature",
            matches!(kind, Hmac | Shareactor),
            "this sender's way of signing is known; describe another one with provider = \"hmac\"",
        ),
        ("id", kind == Hmac, "where this sender's ids stand is known"),
        ("kind", kind == Hmac, "where this sender's kinds of event stand is known"),
    ];
    for &(key, applies, why) in foreign {
        if !applies && table.get(key).is_some() {
            table.problem(key, format!("does not apply to provider = \"{}\": {why}; remove it", kind.name()));
        }
    }
}

fn no_signature(kind: ProviderKind) -> &'static str {
    match kind {
        ProviderKind::Kladana => "Kladana signs nothing, so put a secret into the URL with `path_secret`",
        _ => "Quable signs nothing but sends a fixed header, so use `authorization`, or `path_secret`",
    }
}

/// A source that nothing proves is refused, unless the file says that it is meant so.
fn demand_proof(table: &Table<'_, '_>, settings: &ProviderSettings) {
    let given = |key: &str, file_key: &str| table.has(key) || table.has(file_key);
    let path_secret = given("path_secret", "path_secret_file");
    let authorization = given("authorization", "authorization_file");
    match settings.kind {
        ProviderKind::Kladana if !path_secret && !settings.insecure => table.problem(
            "path_secret",
            "is missing: Kladana signs nothing, so only a secret in the URL proves who calls; add \
             path_secret = \"${KLADANA_PATH_SECRET}\" (32 hex digits from `openssl rand -hex 16`, for example), or \
             say insecure = true",
        ),
        ProviderKind::Quable if !path_secret && !authorization && !settings.insecure => table.problem(
            "authorization",
            "is missing: nothing else proves who calls; add authorization = \"${QUABLE_AUTHORIZATION}\" with the \
             value that is set in Quable, or a path_secret, or say insecure = true",
        ),
        ProviderKind::Shareactor if path_secret && !settings.require_signature => {}
        kind if kind.signs() && !given("secret", "secret_file") => {
            let variable = kind.name().to_uppercase().replace('-', "_");
            table.problem(
                "secret",
                format!("is missing: {} signs with it; add secret = \"${{{variable}_SECRET}}\"", kind.name()),
            );
        }
        _ => {}
    }
    if settings.insecure && (path_secret || authorization) {
        table.warn("insecure", "has no effect, because a secret is given; remove it");
    }
    let short = |secrets: &Secrets| secrets.iter().any(|secret| secret.expose().len() < SHORT);
    if short(&settings.path_secrets) {
        table.warn("path_secret", format!("is shorter than {SHORT} characters and could be guessed"));
    }
}

fn warn_of_late_deadline(table: &Table<'_, '_>, source: &Source, deadline: Duration) {
    let vendor = source.provider.profile().deadline;
    if deadline > vendor {
        let (deadline, vendor) = (show_duration(deadline), show_duration(vendor));
        table.warn("deadline", format!("{deadline} is longer than this sender is known to wait ({vendor})"));
    }
}

/// What may stand in a URL's path as it is.
fn path_secret(secret: &str) -> Result<(), String> {
    let fits = secret.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
        && secret.bytes().any(|byte| byte != b'.')
        && secret.len() <= 128;
    if fits {
        Ok(())
    } else {
        Err("can't stand in a URL as it is; expected up to 128 of the characters A-Z a-z 0-9 - . _ ~"
            .to_owned())
    }
}

fn header_value(secret: &str) -> Result<(), String> {
    let fits = secret.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) && secret.trim() == secret;
    if fits {
        Ok(())
    } else {
        Err("can't stand in a header; expected printable ASCII without spaces at either end".to_owned())
    }
}
