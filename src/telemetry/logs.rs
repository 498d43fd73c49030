//! Logs go to standard error: text for people at a terminal, JSON for machines.
//!
//! No token and no payload is ever logged at `info` or above.

use std::io::{self, IsTerminal};

use tracing_subscriber::{
    EnvFilter, Layer,
    filter::ParseError,
    fmt::{self, format::JsonFields},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use super::{lines::InTrace, traces};
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
    let registry = tracing_subscriber::registry();
    // The level is that of the lines: which spans are in traces is decided there. A second call (an embedding program has its own logs) changes nothing.
    let _ = if json {
        let format = InTrace::Json(fmt::format().json().flatten_event(true));
        let lines = lines.fmt_fields(JsonFields::new()).event_format(format);
        registry.with(lines.with_filter(filter)).with(traces::layer()).try_init()
    } else {
        let format = InTrace::Text(fmt::format().with_target(false));
        let lines = lines.event_format(format);
        registry.with(lines.with_filter(filter)).with(traces::layer()).try_init()
    };
    Ok(())
}

/// What libraries say too much: of each byte on the wire, with tokens among them, and of each request to Kubernetes that
/// fails, which [`crate::kube`] says once.
const TALKATIVE: [(&str, &str); 2] = [("tungstenite", "info"), ("kube_client", "off")];

/// The filter of a level, without that. A filter that names the library gets it all the same.
fn filter(level: &str) -> Result<EnvFilter, ParseError> {
    let mut filter = EnvFilter::builder().parse(level)?;
    for (library, most) in TALKATIVE {
        if !level.contains(library) {
            filter = filter.add_directive(format!("{library}={most}").parse()?);
        }
    }
    Ok(filter)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::{fs, path::Path};

    const MACROS: [&str; 9] =
        ["trace", "debug", "info", "warn", "error", "event", "log", "span", "enabled"];
    /// What does something where it stands. The macros look at their arguments only while their level is on.
    const EFFECTS: [&str; 14] = [
        ".await",
        "?;",
        ".next()",
        ".take()",
        ".pop(",
        ".push(",
        ".insert(",
        ".remove(",
        ".replace(",
        ".send(",
        ".recv(",
        ".swap(",
        "fetch_",
        "&mut ",
    ];

    /// The arguments of each macro of logs in this text, with the line that it begins in.
    fn arguments(text: &str) -> Vec<(usize, &str)> {
        let mut found = Vec::new();
        for (at, _) in text.match_indices("!(") {
            let name = text[..at].rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next();
            let name = name.unwrap_or_default();
            if !MACROS.contains(&name.strip_suffix("_span").unwrap_or(name)) {
                continue;
            }
            let mut depth = 0;
            let end = text[at + 1..].char_indices().find(|(_, c)| {
                depth += i32::from(*c == '(') - i32::from(*c == ')');
                depth == 0
            });
            let end = end.map_or(text.len(), |(end, _)| at + 1 + end);
            found.push((text[..at].lines().count(), &text[at + 2..end]));
        }
        found
    }

    fn look(folder: &Path, wrong: &mut Vec<String>) -> usize {
        let mut seen = 0;
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("node_modules") {
                seen += look(&path, wrong);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                for (line, inside) in arguments(&text) {
                    seen += 1;
                    if EFFECTS.iter().any(|effect| inside.contains(effect)) {
                        wrong.push(format!("{}:{line}: {inside}", path.display()));
                    }
                }
            }
        }
        seen
    }

    #[test]
    fn what_is_logged_does_nothing_that_a_level_could_turn_off() {
        // Written in another way, so that it is not found in this file.
        let text = "tracing::warn@(a = b(c).await, \"x\"); println@(\"{}\", d.await); info@(e)";
        let text = text.replace('@', "!");
        let found: Vec<_> = arguments(&text).into_iter().map(|(_, inside)| inside).collect();
        assert_eq!(found, ["a = b(c).await, \"x\"", "e"]);

        let mut wrong = Vec::new();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let seen: usize =
            ["src", "examples"].iter().map(|folder| look(&root.join(folder), &mut wrong)).sum();
        assert!(seen > 50, "{seen} macros were found: are they written in another way?");
        assert_eq!(wrong, [""; 0], "do it before the macro");
    }
}
