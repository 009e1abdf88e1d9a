//! `env`, `config` and `dns-args`: what a shell is told so that Docker's clients use the proxy, or the names.

use anyhow::{Result, bail};
use api::routes;

use super::proxy::{Proxy, TLS_VERIFY};
use crate::cli::{EnvArgs, ProxyArgs};
use crate::daemon::Daemon;
use crate::print;

/// What Docker's clients read
const HOST: &str = "DOCKER_HOST";
/// What it was before
const ORIGINAL: &str = "ORIG_DOCKER_HOST";

/// Prints what a shell is to do so that `docker` uses the proxy, or as before no more
pub(crate) fn env(args: &EnvArgs) -> Result<()> {
    if args.restore {
        let original = std::env::var(ORIGINAL).ok();
        return print::text(&restored(original.as_deref()));
    }
    let proxy = found(&args.proxy)?;
    let host = std::env::var(HOST).ok();
    print::text(&used(&proxy.endpoint(), host.as_deref()))
}

/// Prints the flag that makes one call of `docker` use the proxy
pub(crate) fn config(args: &ProxyArgs) -> Result<()> {
    print::text(&format_args!("-H={}\n", found(args)?.endpoint()))
}

/// The proxy; what else its clients need is told
fn found(args: &ProxyArgs) -> Result<Proxy> {
    let proxy = Proxy::find(args.proxy.as_ref())?;
    if let Some(hint) = proxy.hint(std::env::var(TLS_VERIFY).ok().as_deref()) {
        eprintln!("weavectl: {hint}");
    }
    Ok(proxy)
}

/// Prints the flags that make a container of `docker run` ask weaved for names
pub(crate) fn dns_args(daemon: &Daemon) -> Result<()> {
    // Without names there is nothing to say, and that is no failure: the line goes into another one.
    let Some(dns) = daemon.ask(&routes::STATUS)?.dns else {
        return Ok(());
    };
    match dns.for_containers {
        Some(server) => {
            let domain = dns.domain;
            print::text(&format_args!("--dns={server} --dns-search={domain}\n"))
        }
        None => bail!(
            "containers of Docker's bridge cannot ask weaved for names: there is no docker0, and \
             --dns-listen-address names no address with port 53"
        ),
    }
}

fn used(endpoint: &str, host: Option<&str>) -> String {
    match host {
        // Asked twice: what was before it is known already.
        Some(host) if host == endpoint => String::new(),
        host => format!(
            "export {HOST}={} {ORIGINAL}={}\n",
            quoted(endpoint),
            quoted(host.unwrap_or_default())
        ),
    }
}

fn restored(original: Option<&str>) -> String {
    match original {
        None => String::new(),
        Some("") => format!("unset {HOST} {ORIGINAL}\n"),
        Some(host) => format!("export {HOST}={}; unset {ORIGINAL}\n", quoted(host)),
    }
}

/// As one word of a shell
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/:._-@".contains(c);
    if text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_goes_to_the_proxy_and_back() {
        let proxy = "unix:///run/weave/docker.sock";
        for (before, after, back) in [
            (
                None,
                "export DOCKER_HOST=unix:///run/weave/docker.sock ORIG_DOCKER_HOST=\n",
                "unset DOCKER_HOST ORIG_DOCKER_HOST\n",
            ),
            (
                Some("tcp://h:2375"),
                "export DOCKER_HOST=unix:///run/weave/docker.sock ORIG_DOCKER_HOST=tcp://h:2375\n",
                "export DOCKER_HOST=tcp://h:2375; unset ORIG_DOCKER_HOST\n",
            ),
        ] {
            assert_eq!(used(proxy, before), after);
            assert_eq!(restored(Some(before.unwrap_or_default())), back);
        }
        assert_eq!(used(proxy, Some(proxy)), "", "it is there already");
        assert_eq!(restored(None), "", "it never went");
    }

    #[test]
    fn nothing_of_the_environment_is_run_by_the_shell() {
        assert_eq!(quoted("it's"), r"'it'\''s'");
        let text = used("unix:///p", Some("$(reboot)"));
        assert_eq!(
            text,
            "export DOCKER_HOST=unix:///p ORIG_DOCKER_HOST='$(reboot)'\n"
        );
    }
}
