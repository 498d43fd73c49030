//! The command line.

mod doctor;
mod emit;
mod pod;
mod serve;
mod token;
mod top;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use crate::{
    Namespace,
    config::{Config, ConfigError, DEFAULTS, Sources},
    server::Builder,
    telemetry::{
        logs,
        metrics::{self, reference},
        traces,
    },
};

/// What a program adds to a pod.
type Additions = Box<dyn FnOnce(Builder) -> Builder>;

/// Exit code of a command that failed while it ran.
const FAILURE: u8 = 1;
/// Exit code of a wrong configuration or command line (`EX_USAGE` of sysexits.h).
const USAGE: u8 = 64;

const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (commit ",
    env!("VERGEN_GIT_SHA"),
    ", built ",
    env!("VERGEN_BUILD_DATE"),
    ")"
);

/// A Socket.IO service for Kubernetes.
#[derive(Debug, Parser)]
#[command(name = "roomcast", version = VERSION, arg_required_else_help = false)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    settings: Settings,
}

/// Where settings come from. `roomcast print-config` explains them all.
#[derive(Debug, Args)]
struct Settings {
    /// Configuration file, in TOML or YAML.
    #[arg(long, short, global = true, value_name = "FILE", env = "ROOMCAST_CONFIG")]
    config: Option<PathBuf>,
    /// Address for clients; short for `--set public.listen=…`.
    #[arg(long, global = true, value_name = "IP:PORT")]
    listen: Option<String>,
    /// Address for probes, metrics and the API; short for `--set internal.listen=…`.
    #[arg(long, global = true, value_name = "IP:PORT")]
    internal_listen: Option<String>,
    /// Any setting, such as `drain.delay=5s`. May be repeated.
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a pod (the default).
    Serve,
    /// Run a pod with a chat page to try it in a browser.
    Demo(serve::DemoArgs),
    /// Say everything that is wrong with the configuration.
    CheckConfig,
    /// Print the documented defaults.
    PrintConfig,
    /// Print what each metric means, in Markdown.
    Metrics,
    /// Print a token for development that a pod with the same configuration accepts.
    Token(token::TokenArgs),
    /// Publish an event through a running pod.
    // Far larger than the others.
    Emit(Box<emit::EmitArgs>),
    /// Watch the pods of a cluster in the terminal.
    Top(top::TopArgs),
    /// Say what is wrong around a pod: Redis, other pods, Kubernetes, names, limits, ingress. Exit code 1 if anything is.
    Doctor(doctor::DoctorArgs),
}

impl Settings {
    fn load(&self) -> Result<Config, ConfigError> {
        let short = [("public.listen", &self.listen), ("internal.listen", &self.internal_listen)];
        let short =
            short.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.clone()?)));
        Sources {
            file: self.config.clone(),
            flags: self.set.iter().cloned().chain(short).collect(),
        }
        .load()
    }
}

fn key_value(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .ok_or_else(|| format!("expected KEY=VALUE, such as drain.delay=5s, not {text:?}"))
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Runtime(#[from] Box<dyn std::error::Error + Send + Sync>),
    /// What was looked at is not well, and all of it has been printed.
    #[error("something is wrong: see the lines that begin with \"error\"")]
    Unwell,
}

impl Failure {
    fn runtime(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Runtime(error.into())
    }

    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_) | Self::Usage(_) => USAGE.into(),
            Self::Runtime(_) | Self::Unwell => FAILURE.into(),
        }
    }
}

/// Runs the command of this process' arguments.
pub fn run() -> ExitCode {
    run_with([])
}

/// The same, for a program with namespaces of its own: `serve` and `demo` serve them too.
pub fn run_with(namespaces: impl IntoIterator<Item = Namespace>) -> ExitCode {
    let namespaces: Vec<_> = namespaces.into_iter().collect();
    run_builder(move |builder| builder.namespaces(namespaces))
}

/// The same, for a program that adds more to its pod than namespaces.
///
/// ```no_run
/// roomcast::cli::run_builder(|pod| {
///     pod.allow_request(async |request| {
///         let known = request.header("x-tenant").is_some();
///         if known { Ok(()) } else { Err("which tenant?".to_owned()) }
///     })
/// });
/// ```
pub fn run_builder(additions: impl FnOnce(Builder) -> Builder + 'static) -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            // Help and version are no errors.
            return if error.use_stderr() { USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    match execute(cli, Box::new(additions)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("roomcast: {failure}");
            failure.exit_code()
        }
    }
}

fn execute(cli: Cli, additions: Additions) -> Result<(), Failure> {
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => serve::serve(load_and_log(&cli.settings)?, additions),
        Command::Demo(args) => serve::demo(load_and_log(&cli.settings)?, additions, &args),
        Command::CheckConfig => {
            let config = cli.settings.load()?;
            metrics::check(&config.telemetry).map_err(|error| Failure::Usage(error.to_string()))?;
            traces::check()?;
            config.warnings().iter().for_each(|warning| eprintln!("warning: {warning}"));
            println!("the configuration is fine");
            Ok(())
        }
        Command::PrintConfig => {
            print!("{DEFAULTS}");
            Ok(())
        }
        Command::Metrics => {
            print!("{}", reference::page());
            Ok(())
        }
        Command::Token(args) => token::token(&cli.settings.load()?, &args),
        Command::Emit(args) => emit::emit(&cli.settings.load()?, &args),
        Command::Top(args) => top::top(&cli.settings.load()?, args),
        Command::Doctor(args) => doctor::doctor(&cli.settings, &args),
    }
}

fn load_and_log(settings: &Settings) -> Result<Config, Failure> {
    let config = settings.load()?;
    // Before the logs, which are to say which trace a line belongs to.
    traces::install()?;
    logs::init(&config.log).map_err(|error| Failure::Usage(format!("log.level: {error}")))?;
    config.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
    Ok(config)
}
