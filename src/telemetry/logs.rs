//! Logs go to standard error: text for people at a terminal, JSON for machines.
//!
//! No token and no payload is ever logged at `info` or above.

use std::io::{self, IsTerminal};

use tracing_subscriber::{
    EnvFilter, filter::ParseError, fmt, layer::SubscriberExt, util::SubscriberInitExt,
};

use crate::config::{Log, LogFormat};

/// Starts logging for the process.
///
/// # Errors
/// If `log.level` is no filter.
pub fn init(config: &Log) -> Result<(), ParseError> {
    let filter = filter(&config.level)?;
    let json = match config.format {
        LogFormat::Auto => !io::stderr().is_terminal(),
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let lines = fmt::layer().with_writer(io::stderr);
    let registry = tracing_subscriber::registry().with(filter);
    // A second call (an embedding program has its own logs) changes nothing.
    let _ = if json {
        registry.with(lines.json().flatten_event(true)).try_init()
    } else {
        registry.with(lines.with_target(false)).try_init()
    };
    Ok(())
}

/// The filter of a level, without what a library says of each byte on the wire: there are tokens among
/// them. A filter that names the library gets it all the same.
fn filter(level: &str) -> Result<EnvFilter, ParseError> {
    const WIRE: &str = "tungstenite";
    let filter = EnvFilter::builder().parse(level)?;
    if level.contains(WIRE) {
        return Ok(filter);
    }
    Ok(filter.add_directive(format!("{WIRE}=info").parse()?))
}
