//! Where weave-docker listens: at ports, with TLS and without, and what comes there that should not.

mod strangers;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

use self::strangers::{crowd, serves, strangers, version};
use super::PATIENCE;
use crate::docker::{Docker, IMAGE, clients};
use crate::topology::Lab;
use crate::wait::{Look, wait_for, wait_until};
use crate::weave::Launch;

const CERTIFICATES: &str = include_str!("certificates.sh");

/// Where certificates are, on the host
const FILES: &str = "/run/tmp/tls";

/// Where TLS is spoken
const SECURED: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 12376);

/// Every kind of stream, by the client `$docker`
const STREAMS: &str = "head -c 3000000 /dev/urandom >/run/tmp/noise
$docker run --rm -i busybox cat </run/tmp/noise | cmp - /run/tmp/noise
$docker exec -i s1 cat </run/tmp/noise | cmp - /run/tmp/noise
test \"$(printf 12345 | $docker exec -i s1 sh -c 'wc -c; echo after')\" = \"$(printf '5\\nafter')\"
$docker logs s1
$docker images >/dev/null";

pub(in crate::scenario) fn act(lab: &mut Lab) -> Result<()> {
    let host = lab.host("host1")?;
    let [mut docker] = Docker::boot([&host])?;
    by_launch(&docker)?;
    let directory = docker.shell(&format!("mkdir -p {FILES}; echo {FILES}"))?.ok()?;
    ensure!(directory.trim() == FILES, "{directory}");
    docker
        .shell(&format!("set -- {FILES}\n{CERTIFICATES}"))?
        .ok()
        .context("is openssl installed?")?;
    host.launch(&Launch::plain())?;
    let flags = secured("");
    let flags: Vec<&str> = flags.split_whitespace().collect();
    docker.start_agent(&flags)?;
    known(&docker)?;
    strangers(&docker)?;
    crowd(&docker)?;
    read_again(&docker)?;
    mistakes(&docker)?;
    docker.end_agent(Signal::SIGTERM)?;
    nobody(&docker)
}

/// The flags of a proxy with a socket, and two ports with TLS
fn secured(more: &str) -> String {
    format!(
        "-H unix:///run/weave/docker.sock -H tcp://0.0.0.0:12376 --proxy [::1]:12377 --tlsverify \
         --tlscacert {FILES}/ca.pem --tlscert {FILES}/server.pem --tlskey {FILES}/server-key.pem {more}"
    )
}

/// One port and nothing else, without TLS, as people type it
fn by_launch(docker: &Docker) -> Result<()> {
    let host = docker.host();
    let log = host.log_file();
    let launch = format!(
        "weavectl launch --no-systemd --state-dir {} --log-file {} -H tcp://0.0.0.0:12375",
        host.state_dir().display(),
        log.display()
    );
    let told = docker.shell(&launch)?.ok()?;
    ensure!(told.contains("eval $(weavectl env)\n"), "launch told {told}");
    let told = docker.shell("weavectl env; weavectl config")?.ok()?;
    ensure!(
        told == "export DOCKER_HOST=tcp://127.0.0.1:12375 ORIG_DOCKER_HOST=\n-H=tcp://127.0.0.1:12375\n",
        "env and config told {told}"
    );
    let run = "eval $(weavectl env)
        docker run -d --name a1 busybox sleep 1000000 >/dev/null
        weavectl run 10.2.1.1/24 -d --name b1 busybox sleep 1000000 >/dev/null
        docker exec a1 ls /sys/class/net
        # Nothing stands between this one and the Docker that it serves but another proxy.
        weave-docker --docker tcp://127.0.0.1:12375 --proxy /run/tmp/second.sock \
            --plugin-socket /run/tmp/second-plugin.sock 2>/run/tmp/second.log &
        second=$!
        until docker -H unix:///run/tmp/second.sock version >/dev/null 2>&1; do sleep 0.05; done
        test \"$(printf 12345 | docker -H unix:///run/tmp/second.sock exec -i a1 wc -c)\" = 5
        kill $second; wait $second";
    let interfaces = docker.shell(run)?.ok()?;
    ensure!(interfaces.contains("ethwe0"), "a1 has {interfaces}");
    let of_b1 = docker.direct().addresses("b1")?;
    ensure!(of_b1 == [("10.2.1.1".parse()?, 24)], "b1 has {of_b1:?}");
    let log = fs::read_to_string(log.with_file_name("weave-docker.log"))?;
    ensure!(
        log.contains("WARN") && log.contains("whoever reaches tcp://0.0.0.0:12375"),
        "weave-docker's log has no warning: {log}"
    );
    docker.direct().remove(&["a1", "b1"])?;
    docker.shell("weavectl reset")?.ok()?;
    wait_until("no program of ours is left", PATIENCE, || {
        let left = host.namespace().processes()?;
        Ok(!left.iter().any(|process| process.name.starts_with("weave")))
    })?;
    nobody(docker)
}

/// Who does not run is told of on standard error alone
fn nobody(docker: &Docker) -> Result<()> {
    for command in ["env", "config", "run busybox true"] {
        let told = docker.shell(&format!("weavectl {command}"))?;
        ensure!(
            !told.status.success()
                && told.stdout.is_empty()
                && told.stderr.contains("the proxy does not run"),
            "weavectl {command}: {told}"
        );
    }
    let left = docker.shell("find /run -xdev -path '/run/weave/docker*'")?.ok()?;
    ensure!(left.is_empty(), "files of one that ended: {left}");
    Ok(())
}

/// Clients with a certificate, of both versions
fn known(docker: &Docker) -> Result<()> {
    let told = docker.shell("weavectl env; weavectl config")?.ok()?;
    ensure!(
        told.contains("=unix:///run/weave/docker.sock"),
        "of several the socket is chosen: {told}"
    );
    let told = docker.shell("WEAVE_DOCKER_SOCKET=tcp://localhost:12376 weavectl config")?;
    ensure!(
        told.stdout == "-H=tcp://localhost:12376\n" && told.stderr.is_empty(),
        "{told}"
    );
    let told = docker.shell("weavectl env --proxy tcp://0.0.0.0:12376")?;
    ensure!(
        told.stdout
            .starts_with("export DOCKER_HOST=tcp://127.0.0.1:12376 ")
            && told.stderr.contains("TLS"),
        "{told}"
    );
    let run = format!(
        "export DOCKER_CERT_PATH={FILES}/client
        weavectl run --proxy tcp://0.0.0.0:12376 -d --name s1 busybox sh -c 'echo logged; sleep 1000000'"
    );
    docker.shell(&run)?.ok()?;
    docker.direct().address("s1")?;
    for program in clients() {
        for port in ["localhost:12376", "[::1]:12377"] {
            let streams = format!(
                "export DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH={FILES}/client DOCKER_HOST=tcp://{port}
                docker={}\n{STREAMS}",
                program.display()
            );
            let done = docker.shell(&streams)?.ok();
            done.with_context(|| format!("{} at {port}", program.display()))?;
        }
    }
    docker.direct().remove(&["s1"])
}

/// New certificates come by a signal; where they are bad the old ones stay
fn read_again(docker: &Docker) -> Result<()> {
    let hangup = "kill -HUP $(cat /run/weave-docker.pid)";
    docker
        .shell(&format!(
            "cp -p {FILES}/ca.pem {FILES}/kept; echo bad >{FILES}/ca.pem; {hangup}"
        ))?
        .ok()?;
    logged(docker, "the certificates stay as they were")?;
    serves(docker, PATIENCE)?;
    docker
        .shell(&format!("cp {FILES}/others.pem {FILES}/ca.pem; {hangup}"))?
        .ok()?;
    logged(docker, "the certificates were read again")?;
    docker.shell(&version("stranger"))?.ok()?;
    docker.shell(&version("client"))?.refused()?;
    docker
        .shell(&format!("cp {FILES}/kept {FILES}/ca.pem; {hangup}"))?
        .ok()?;
    wait_until("the client is known again", PATIENCE, || {
        Ok(docker.shell(&version("client"))?.status.success())
    })?;
    Ok(())
}

fn logged(docker: &Docker, what: &str) -> Result<()> {
    let file = docker.host().files().join("weave-docker.log");
    wait_for(&format!("weave-docker logs {what:?}"), PATIENCE, || {
        let log = fs::read_to_string(&file)?;
        Ok(match log.contains(what) {
            true => Look::Done(()),
            false => Look::NotYet(log),
        })
    })?;
    Ok(())
}

/// A command line that cannot be followed is told of in one line
fn mistakes(docker: &Docker) -> Result<()> {
    for (flags, told) in [
        (
            "-H tcp://127.0.0.1:12376",
            "another program listens at tcp://127.0.0.1:12376",
        ),
        ("-H tcp://192.0.2.1:12378", "no address of this host"),
        ("-H tcp://no..host", "no address of no..host"),
        (
            "-H /run/weave/docker.sock",
            "another program answers on /run/weave/docker.sock",
        ),
        (
            &secured("--tls --tlskey /nowhere"),
            "cannot be used multiple times",
        ),
        (
            &format!("-H :12378 --tls --tlscert {FILES}/server.pem --tlskey /nowhere"),
            "cannot read /nowhere",
        ),
        (
            &format!("-H :12378 --tls --tlscert {FILES}/server.pem --tlskey {FILES}/client-key.pem"),
            "cannot be used together",
        ),
    ] {
        let run = docker.shell(&format!(
            "weave-docker --plugin-socket /run/tmp/third.sock {flags}"
        ))?;
        ensure!(
            !run.status.success() && run.stderr.contains(told),
            "{flags}: {run}"
        );
        let lines = run.stderr.lines().filter(|line| line.contains("ERROR")).count();
        ensure!(lines <= 1, "{flags}: {run}");
    }
    docker
        .proxied()
        .run(&["run", "--rm", IMAGE, "true"])?
        .ok()
        .map(drop)
}
