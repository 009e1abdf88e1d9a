//! What every host looked like when a scenario failed.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use crate::topology::{Container, Host, Lab};

const LOG_LINES: usize = 60;

/// Everything that helps to see why, as text
pub fn diagnosis(lab: &Lab) -> String {
    let mut text = String::new();
    for host in lab.all_hosts() {
        host_state(&mut text, host);
    }
    for container in lab.all_containers() {
        container_state(&mut text, container);
    }
    text
}

fn host_state(text: &mut String, host: &Host) {
    let runs_weaved = host.log_file().exists();
    if runs_weaved {
        for line in [
            &["status"][..],
            &["status", "connections"],
            &["status", "peers"],
            &["ps"],
            &["flows", "dump"],
        ] {
            section(
                text,
                host.name(),
                &format!("weavectl {}", line.join(" ")),
                &shown(host.weavectl(line)),
            );
        }
        if crate::judge::ovs::is_here() {
            for line in [["ovs-dpctl", "show", "-s"], ["ovs-dpctl", "dump-flows", "weave"]] {
                section(
                    text,
                    host.name(),
                    &line.join(" "),
                    &shown(host.namespace().run(&line)),
                );
            }
        }
    }
    for line in [
        &["ip", "-d", "address"][..],
        &["ip", "route"],
        &["ip", "-s", "neighbour"],
    ] {
        section(
            text,
            host.name(),
            &line.join(" "),
            &shown(host.namespace().run(line)),
        );
    }
    for log in logs(host) {
        let lines = fs::read_to_string(&log).unwrap_or_default();
        let skipped = lines.lines().count().saturating_sub(LOG_LINES);
        let last: Vec<&str> = lines.lines().skip(skipped).collect();
        let name = log.file_name().unwrap_or_default().to_string_lossy();
        section(text, host.name(), &format!("the end of {name}"), &last.join("\n"));
    }
}

/// What programs of a host have left there
fn logs(host: &Host) -> Vec<PathBuf> {
    let files = fs::read_dir(host.files()).into_iter().flatten();
    let paths = files.filter_map(|entry| Some(entry.ok()?.path()));
    let mut logs: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    logs.sort();
    logs
}

fn container_state(text: &mut String, container: &Container) {
    for line in [&["ip", "address"][..], &["ip", "route"], &["ip", "neighbour"]] {
        section(
            text,
            container.name(),
            &line.join(" "),
            &shown(container.namespace().run(line)),
        );
    }
}

fn shown(finished: anyhow::Result<crate::command::Finished>) -> String {
    match finished {
        Ok(finished) if finished.status.success() => finished.stdout,
        Ok(finished) => finished.to_string(),
        Err(error) => format!("{error:#}"),
    }
}

fn section(text: &mut String, place: &str, what: &str, content: &str) {
    // Writing to a String cannot fail.
    let _never = writeln!(text, "--- {place}: {what}\n{}", content.trim_end());
}
