//! `run`: a container of `docker run` that is on the network before its process starts.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result};
use api::AddressSpec;

use super::CLIENT;
use super::proxy::{Proxy, TLS_VERIFY};
use crate::cli::RunArgs;
use crate::containers::specs;

/// Becomes `docker run` by the proxy, with the addresses that the container is to have
pub(crate) fn run(args: &RunArgs) -> Result<()> {
    let (addresses, rest) = split(&args.args)?;
    let proxy = Proxy::find(args.proxy.proxy.as_ref())?;
    let mut command = Command::new(CLIENT);
    command.env("DOCKER_HOST", proxy.endpoint());
    if proxy.speaks_tls() {
        command.env(TLS_VERIFY, "1");
    } else {
        command.env_remove(TLS_VERIFY);
    }
    command.arg("run");
    if !addresses.is_empty() {
        command
            .arg("--env")
            .arg(format!("WEAVE_CIDR={}", addresses.join(" ")));
    }
    command.args(rest);
    Err(command.exec()).context("cannot run docker; is it installed?")
}

/// The addresses, and what comes after them: Docker's own
fn split(args: &[String]) -> Result<(&[String], &[String])> {
    let is_address = |text: &&String| text.parse::<AddressSpec>().is_ok();
    let count = args.iter().take_while(is_address).count();
    let (addresses, rest) = args.split_at(count);
    specs(addresses)?;
    Ok((addresses, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_first_and_the_rest_is_dockers() {
        let args = |texts: &[&str]| -> Vec<String> { texts.iter().map(|&text| text.to_owned()).collect() };
        for (given, addresses) in [
            (&["10.0.1.1/24", "-itd", "img", "sh"][..], 1),
            (&["net:default", "ip:10.2.1.1/24", "img"], 2),
            (&["-itd", "img", "10.0.1.1/24"], 0),
            (&[], 0),
        ] {
            let given = args(given);
            let (found, rest) = split(&given).unwrap();
            assert_eq!((found.len(), rest.len()), (addresses, given.len() - addresses));
        }
        let twice = args(&["10.0.1.1/24", "10.0.1.1/24", "img"]);
        assert!(split(&twice).is_err());
    }
}
