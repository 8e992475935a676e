//! `doorbell serve`: the service.

use std::{io::IsTerminal, net::SocketAddr, time::Duration};

use clap::{Args, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::{Failure, Global, Loaded, output::line, print};
use crate::{
    admin::token,
    config::Config,
    receiver::{Bound, Role},
};

#[derive(Debug, Args, Default)]
pub(super) struct ServeArgs {
    /// What this process does
    #[arg(long, value_enum, default_value_t)]
    role: RoleName,
    /// Take deliveries in at this address, whatever the configuration says; port 0: any that is free
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// The same for the admin listener
    #[arg(long, value_name = "ADDRESS")]
    admin_listen: Option<SocketAddr>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum RoleName {
    /// Take deliveries in and run their jobs
    #[default]
    All,
    /// Only take deliveries in; a later `serve`, or workers elsewhere, work them off
    Ingress,
    /// Only run jobs (needs a queue that machines share)
    Worker,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::All => Self::All,
            RoleName::Ingress => Self::Ingress,
            RoleName::Worker => Self::Worker,
        }
    }
}

pub(super) fn run(args: &ServeArgs, global: &Global) -> Result<(), Failure> {
    start_logging(global.json);
    let mut loaded = global.load()?;
    if args.role == RoleName::Worker && loaded.config.queue.is_embedded() {
        let text = "--role worker needs a queue that machines share; on the embedded queue one process does both: \
                    use --role all, or give [queue] url a Redis";
        return Err(Failure::Usage(text.into()));
    }
    let (ingress, admin) = (&mut loaded.config.ingress.listen, &mut loaded.config.admin.listen);
    *ingress = args.listen.unwrap_or(*ingress);
    *admin = args.admin_listen.unwrap_or(*admin);
    for warning in &loaded.config.warnings {
        tracing::warn!("{warning}");
    }
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("the asynchronous runtime can't be started: {error}")))?
        .block_on(serve(&loaded, args, global.json))
}

async fn serve(loaded: &Loaded, args: &ServeArgs, json: bool) -> Result<(), Failure> {
    let config = &loaded.config;
    let failed = |error: &dyn std::fmt::Display| Failure::Failed(error.to_string());
    // A worker keeps nothing but the token that was made for it.
    if args.role != RoleName::Worker || config.admin.token.is_none() {
        create_data_folder(config).map_err(|error| failed(&error))?;
    }
    let (token, new_token) = match &config.admin.token {
        Some(token) => (token.clone(), false),
        None => token::load_or_make(&config.journal.dir).map_err(|error| failed(&error))?,
    };
    let shown_token = new_token.then(|| String::from_utf8_lossy(token.expose()).into_owned());
    let receiver = config
        .builder(token)
        .map_err(|error| failed(&error))?
        .role(args.role.into())
        .build()
        .await
        .map_err(|error| failed(&error))?;
    let bound = receiver.bind().await.map_err(|error| failed(&error))?;
    let stop = stop_signal(config.ingress.drain).map_err(|error| failed(&error))?;
    let moved = args.listen.is_some() || args.admin_listen.is_some();
    announce(loaded, &bound, shown_token.as_deref(), moved, json)?;
    bound.serve_until(stop).await;
    tracing::info!("stopped");
    Ok(())
}

fn create_data_folder(config: &Config) -> std::io::Result<()> {
    let dir = &config.journal.dir;
    crate::journal::create_private_folder(dir)
        .map_err(|error| std::io::Error::new(error.kind(), format!("{}: {error}", dir.display())))
}

/// Resolves on SIGTERM, with the time for load balancers to look away; or on SIGINT, with none: somebody waits.
fn stop_signal(drain: Duration) -> std::io::Result<impl Future<Output = Duration> + Send> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        let drain = tokio::select! {
            _ = terminate.recv() => drain,
            _ = interrupt.recv() => Duration::ZERO,
        };
        // Whoever asks twice does not want to wait. What runs is taken up again at the next start.
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::warn!("stopped at once; jobs that were running run again at the next start");
            std::process::exit(1);
        });
        drain
    })
}

fn start_logging(json: bool) {
    let filter = EnvFilter::try_from_env("DOORBELL_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // An error means that there is a subscriber already; it serves as well.
    let _ = if json {
        log.json().try_init()
    } else {
        log.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init()
    };
}

/// Says where everything is. Path secrets are shown only where they were made up for trying things out. `moved`: the
/// addresses are not those of the configuration, so other commands have to be told.
fn announce(
    loaded: &Loaded,
    bound: &Bound,
    new_token: Option<&str>,
    moved: bool,
    json: bool,
) -> Result<(), Failure> {
    let config = &loaded.config;
    let admin = bound.admin_addr().map(|address| format!("http://{address}"));
    if !bound.takes_in() {
        return announce_worker(config, admin.as_deref(), new_token, json);
    }
    let address = bound.local_addr().map_err(|error| Failure::Failed(error.to_string()))?;
    let base = config.ingress.base_url(address);
    let made_up = loaded.file.is_none();
    let url = |source: &crate::config::SourceConfig| {
        let full = source.url(&base);
        let plain = format!("{base}/in/{}", source.name);
        if made_up || full == plain { full } else { format!("{plain}/<path secret>") }
    };
    if json {
        let sources: Vec<_> = config
            .sources
            .iter()
            .map(|source| serde_json::json!({ "name": source.name, "url": url(source) }))
            .collect();
        let value = serde_json::json!({
            "listening": address, "inherited": bound.is_inherited(), "admin": admin, "sources": sources,
        });
        return print::value(true, &value);
    }
    let mut text = String::from("Doorbell answers.\n\n");
    let width = config.sources.iter().map(|source| source.name.len()).max().unwrap_or(0);
    for source in &config.sources {
        line(&mut text, format_args!("  {:width$}  POST {}", source.name, url(source)));
    }
    if let Some(admin) = &admin {
        line(&mut text, format_args!("  {:width$}  {admin}", "admin"));
    }
    show_token(&mut text, config, new_token);
    if made_up {
        let program = std::env::args().next().unwrap_or_else(|| "doorbell".into());
        let file = Config::secrets_file(&config.journal.dir);
        line(
            &mut text,
            format_args!(
                "\nNo doorbell.toml here: these sources have made-up secrets, kept in {}.",
                file.display()
            ),
        );
        line(&mut text, "Try one, in another terminal:");
        let admin = admin.filter(|_| moved).map(|url| format!(" --url {url}")).unwrap_or_default();
        for source in &config.sources {
            let to = if moved { format!(" --to {}", url(source)) } else { String::new() };
            line(&mut text, format_args!("  {program} send {}{to}{admin}", source.name));
        }
        line(&mut text, format_args!("\nThen look: {program} list{admin}"));
    }
    print::value(false, &text)
}

/// The same for a process that only runs jobs.
fn announce_worker(
    config: &Config,
    admin: Option<&str>,
    new_token: Option<&str>,
    json: bool,
) -> Result<(), Failure> {
    let routes: Vec<_> = config.routes.iter().map(|route| route.route.name.as_str()).collect();
    if json {
        return print::value(true, &serde_json::json!({ "admin": admin, "routes": routes }));
    }
    let mut text = String::from("Doorbell works.\n\n");
    for route in routes {
        line(&mut text, format_args!("  route  {route}"));
    }
    if let Some(admin) = admin {
        line(&mut text, format_args!("  admin  {admin}"));
    }
    show_token(&mut text, config, new_token);
    print::value(false, &text)
}

fn show_token(text: &mut String, config: &Config, new_token: Option<&str>) {
    if let Some(token) = new_token {
        let folder = config.journal.dir.display();
        line(
            text,
            format_args!("\nThe admin token, shown this once and kept in {folder}/admin-token:\n  {token}"),
        );
    }
}
