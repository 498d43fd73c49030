//! What the machine lets the process have: open files, connections that wait, memory, time to end.

use std::{fs, path::Path};

use rlimit::Resource;

use super::report::Report;
use crate::{
    config::{Config, MemoryLimit},
    edge,
};

/// Below so many files for clients, a pod is full before its memory is.
const FEW: u64 = 10_000;
/// The longest queue of connections that wait to be accepted (`listen(2)`).
const SOMAXCONN: &str = "/proc/sys/net/core/somaxconn";

pub(super) fn look(config: &Config, report: &mut Report) {
    files(config, report);
    backlog(config, fs::read_to_string(Path::new(SOMAXCONN)).ok().as_deref(), report);
    memory(config, report);
}

/// A pod raises its soft limit to the hard one.
fn files(config: &Config, report: &mut Report) {
    let Ok((_, hard)) = Resource::NOFILE.get() else {
        report.skipped("open files", "the system does not say how many there may be");
        return;
    };
    let clients = edge::files_for_clients(hard);
    let most = config.admission.max_connections as u64;
    let found = format!("{hard} at most, {clients} of them for clients");
    let remedy = "raise the limit of the container runtime or of the node (LimitNOFILE of containerd), or set \
                  admission.max_connections below it";
    if most > clients {
        let found = format!("{found}, and admission.max_connections is {most}");
        report.error("open files", found, remedy);
    } else if most == 0 && clients < FEW {
        report.warning("open files", found, remedy);
    } else {
        report.ok("open files", found);
    }
}

fn backlog(config: &Config, most: Option<&str>, report: &mut Report) {
    let Some(most) = most.and_then(|text| text.trim().parse::<u32>().ok()) else {
        report.skipped("accept queue", "the system does not say how long it may be");
        return;
    };
    let wanted = config.public.backlog;
    if most < wanted {
        report.warning(
            "accept queue",
            format!("net.core.somaxconn is {most}, and public.backlog {wanted}"),
            "raise it (securityContext.sysctls of the pod), or clients that come back at once are refused by the kernel",
        );
    } else {
        report.ok("accept queue", format!("{wanted}, of {most} that the system allows"));
    }
}

fn memory(config: &Config, report: &mut Report) {
    match edge::memory_limit(config.limits.memory) {
        Some(limit) => {
            let found = format!("new sessions are refused above {} MiB", limit >> 20);
            report.ok("memory", found);
        }
        None if config.limits.memory == MemoryLimit::None => {
            report.ok("memory", "limits.memory is \"none\": no session is refused for it");
        }
        None => report.warning(
            "memory",
            "no limit: the cgroup has none, and limits.memory is \"auto\"",
            "set resources.limits.memory of the container, so that a pod refuses sessions before the node runs out",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_is_shorter_than_wanted_is_warned_of() {
        let config = Config::defaults();
        let found = |most: Option<&str>| {
            let mut report = Report::default();
            backlog(&config, most, &mut report);
            format!("{:?}", report.findings())
        };
        assert!(found(Some("4096\n")).contains("Ok"));
        let short = found(Some("128\n"));
        assert!(short.contains("Warning") && short.contains("somaxconn is 128"), "{short}");
        assert!(found(None).contains("Skipped"));
    }
}
