//! `doorbell.toml`: text in, typed values out.
//!
//! Everything that is wrong is reported at once, each with its line, the value, what was expected and how to mend
//! it. A secret's value stands in no message, and a value that is not understood is quoted as the file has it, without
//! what a variable of the environment holds.

mod address;
mod check;
mod embedded;
mod entry;
mod error;
mod expand;
mod facts;
mod provider;
mod queue;
mod reader;
mod receiver;
mod routes;
mod secrets;
mod sections;
mod sources;
mod targets;
mod value;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use toml::de::DeTable;

pub(crate) use self::embedded::random_secret;
pub use self::receiver::RouteError;
#[cfg(feature = "redis")]
pub use self::targets::RedisStreamConfig;
pub use self::{
    check::{Finding, Level, Report},
    error::{ConfigError, Problem},
    provider::{ProviderKind, ProviderSettings, Signature},
    queue::QueueConfig,
    routes::RouteConfig,
    sections::{AdminConfig, IngressConfig, JournalConfig, WorkerConfig},
    sources::SourceConfig,
    targets::{HttpTargetConfig, TargetConfig},
    value::Rate,
};
use self::{
    reader::{Context, Table},
    value::list,
};
use crate::provider::Mask;

/// Poster's `application.added` carries an access token.
const ALWAYS_MASKED: [&str; 1] = ["access_token"];

/// A whole configuration, every value of it checked.
///
/// ```
/// use doorbell::config::{Config, Level};
///
/// # let folder = tempfile::tempdir()?;
/// # let file = folder.path().join("doorbell.toml");
/// # std::fs::write(&file, r#"
/// #     [ingress]
/// #     public_url = "https://hooks.example.com"
/// #     [[source]]
/// #     name = "erp"
/// #     provider = "kladana"
/// #     path_secret = "0f1e2d3c4b5a69788796a5b4"
/// #     [[route]]
/// #     name = "log"
/// #     source = "erp"
/// #     events = ["*"]
/// #     target = { log = {} }
/// # "#)?;
/// let config = Config::load(&file)?;
/// let base = config.ingress.base_url(config.ingress.listen);
/// for source in &config.sources {
///     // It may hold a secret: for the operator, not for a log.
///     assert_eq!(source.url(&base), "https://hooks.example.com/in/erp/0f1e2d3c4b5a69788796a5b4");
/// }
/// for finding in config.check().findings.iter().filter(|finding| finding.level == Level::Warning) {
///     println!("{}: {}", finding.subject, finding.text);
/// }
///
/// let error = Config::load(&folder.path().join("doorbel.toml")).unwrap_err();
/// assert!(error.to_string().contains("`doorbell init` writes one"), "{error}");
///
/// // What `doorbell init` writes, and what holds where there is no file.
/// assert!(Config::example().contains("[[source]]"));
/// assert_eq!(Config::embedded_default(folder.path())?.sources.len(), 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// Where deliveries come in.
    pub ingress: IngressConfig,
    /// Where operators look.
    pub admin: AdminConfig,
    /// Where deliveries are made durable.
    pub journal: JournalConfig,
    /// Where jobs wait.
    pub queue: QueueConfig,
    /// How jobs are run.
    pub worker: WorkerConfig,
    /// The senders.
    pub sources: Vec<SourceConfig>,
    /// Where their events go.
    pub routes: Vec<RouteConfig>,
    /// Keys of payloads whose values are masked wherever a payload is shown, beside those that always are.
    pub mask: Vec<String>,
    /// What is likely not meant so.
    pub warnings: Vec<Problem>,
}

impl Config {
    /// The file that is read where none is named.
    pub const DEFAULT_FILE: &str = "doorbell.toml";

    /// Reads a configuration. `env` looks variables up, `files` reads the files that `secret_file` and its like name.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    ///
    /// ```
    /// use doorbell::config::Config;
    ///
    /// let text = r#"
    ///     [[source]]
    ///     name = "cafe"
    ///     provider = "poster"
    ///     secret = "${POSTER_SECRET}"
    /// "#;
    /// let config = Config::parse(text, |_| Some("5d8e1c0f47a94b62".to_owned()), |path| std::fs::read_to_string(path)).unwrap();
    /// assert_eq!(config.sources[0].name, "cafe");
    ///
    /// let error = Config::parse(text, |_| None, |path| std::fs::read_to_string(path)).unwrap_err();
    /// assert!(error.to_string().starts_with(
    ///     r#"line 5: [[source]] "cafe", `secret`: the environment has no variable POSTER_SECRET"#
    /// ));
    /// ```
    pub fn parse(
        text: &str,
        env: impl Fn(&str) -> Option<String>,
        files: impl Fn(&Path) -> io::Result<String>,
    ) -> Result<Self, ConfigError> {
        let context = Context::new(text, &env, &files);
        let (document, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            for error in errors {
                // The error's own display quotes the line, which may hold a secret.
                let line = error.span().map_or(0, |span| context.line(span.start));
                context.problem(line, "not valid TOML", error.message());
            }
            return Err(ConfigError { file: None, problems: context.into_findings().0 });
        }
        let config = Self::read(&Table::root(&context, document.get_ref()));
        let (problems, warnings) = context.into_findings();
        if problems.is_empty() {
            Ok(Self { warnings, ..config })
        } else {
            Err(ConfigError { file: None, problems })
        }
    }

    /// Reads a configuration file, with this process' environment.
    ///
    /// # Errors
    /// The file can't be read, or everything that is wrong with it.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(file).map_err(|error| {
            let mend = "`doorbell init` writes one";
            ConfigError::whole(Some(file.to_owned()), "", format!("the file can't be read: {error}; {mend}"))
        })?;
        Self::parse(&text, |name| std::env::var(name).ok(), |path| fs::read_to_string(path))
            .map_err(|error| error.in_file(file.to_owned()))
    }

    /// A commented configuration with a source for each of the four vendors, as `doorbell init` writes it.
    pub const fn example() -> &'static str {
        include_str!("example.toml")
    }

    /// The configuration that holds where there is no file: a source for each of the four vendors with made-up
    /// secrets, everything logged, the data in `dir`.
    ///
    /// The secrets are kept in `dir/secrets.toml`, which only its owner may read, and are the same on the next start.
    ///
    /// # Errors
    /// The file can't be read or written, or does not hold what it should.
    pub fn embedded_default(dir: &Path) -> Result<Self, ConfigError> {
        embedded::config(dir, true)
    }

    /// The same, without writing anything: secrets that are not kept yet are made up and forgotten.
    pub(crate) fn embedded_preview(dir: &Path) -> Result<Self, ConfigError> {
        embedded::config(dir, false)
    }

    /// What hides the values of a source's payloads: the keys that always are hidden, the configuration's own, and
    /// the source's.
    pub fn mask_for(&self, source: &str) -> Mask {
        let own = self.sources.iter().filter(|known| known.name == source).flat_map(|known| &known.mask);
        Mask::new(ALWAYS_MASKED.into_iter().chain(self.mask.iter().chain(own).map(String::as_str)))
    }

    /// What would be lost in which failure, and what is doubtful.
    pub fn check(&self) -> Report {
        check::check(self)
    }

    /// Where the made-up secrets of [`embedded_default`](Self::embedded_default) are kept.
    pub fn secrets_file(dir: &Path) -> PathBuf {
        dir.join("secrets.toml")
    }

    fn read(root: &Table<'_, '_>) -> Self {
        let none = DeTable::new();
        let ingress = IngressConfig::read(&root.section("ingress", &none));
        let admin = AdminConfig::read(&root.section("admin", &none));
        let (journal_table, queue_table) = (root.section("journal", &none), root.section("queue", &none));
        let journal = JournalConfig::read(&journal_table);
        let queue = QueueConfig::read(&queue_table);
        if !queue.is_embedded() {
            journal.check_keep(&journal_table);
        }
        let worker = WorkerConfig::read(&root.section("worker", &none));
        let mask = sources::mask(root);
        let (sources, declared) = sources::read(root.sections("source"));
        queue.check_deadlines(&queue_table, &sources);
        if declared.is_empty() && !root.has("source") {
            root.problem(
                "source",
                "there is none, so nothing could come in; add a [[source]] with name and provider",
            );
        }
        // A place that can't be read is a problem already.
        let shared = !queue.is_embedded() || ["url", "url_file"].iter().any(|key| queue_table.is_wrong(key));
        let routes = routes::read(root.sections("route"), &sources, &declared, shared);
        for name in declared.iter().filter(|name| {
            let wanted = |route: &RouteConfig| route.route.sources.matches(name);
            root.has("route") && !routes.iter().any(wanted)
        }) {
            root.warn(
                "route",
                format!("no route listens to the source {name:?}; its events would wait unrouted"),
            );
        }
        if !root.has("route") {
            let names = list(declared.iter().map(String::as_str));
            root.warn(
                "route",
                format!("there is none; the events of {names} would be stored and wait unrouted"),
            );
        }
        root.finish();
        Self { ingress, admin, journal, queue, worker, sources, routes, mask, warnings: Vec::new() }
    }
}
