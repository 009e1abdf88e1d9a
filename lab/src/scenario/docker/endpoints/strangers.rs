//! Those who come to a port and should not, and those who should all the while.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{FILES, SECURED};
use crate::docker::Docker;
use crate::scenario::docker::PATIENCE;

/// More than weave-docker serves at a time
const SILENT: usize = 300;

/// What a client may be kept waiting by those who say nothing
const CROWDED: Duration = Duration::from_secs(12);

/// Those who are not known, or do not speak TLS
pub(super) fn strangers(docker: &Docker) -> Result<()> {
    let own = format!(
        "--tlscacert {FILES}/ca.pem --tlscert {FILES}/stranger.pem --tlskey {FILES}/stranger-key.pem"
    );
    for (who, flags) in [
        ("without a certificate", "--tls"),
        ("with another's certificate", &format!("--tlsverify {own}")),
        ("without TLS", ""),
    ] {
        // The files of the one who has no certificate are nowhere.
        let asks = format!("export HOME=/run/tmp; docker -H tcp://{SECURED} {flags} version");
        let told = docker.shell(&asks)?;
        ensure!(!told.status.success(), "{who}: {told}");
        ensure!(!told.stdout.contains("Server"), "{who}: {told}");
        if flags.is_empty() {
            ensure!(told.stderr.contains("this port speaks TLS"), "{who}: {told}");
        }
    }
    let namespace = docker.host().namespace();
    for said in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03garbage"[..],
        &[0; 70_000],
        b"GET /containers/json HTTP/1.1\r\nHost: d\r\n\r\n",
    ] {
        let mut stream = namespace.enter(|| Ok(TcpStream::connect_timeout(&SECURED, PATIENCE)?))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        // It may be turned away before all is said.
        let _said = stream.write_all(said);
        let begun = Instant::now();
        let mut answer = Vec::new();
        let _reset = stream.read_to_end(&mut answer);
        ensure!(
            begun.elapsed() < CROWDED && !answer.windows(2).any(|two| two == b"[{"),
            "after {:?}: {}",
            begun.elapsed(),
            String::from_utf8_lossy(&answer)
        );
    }
    serves(docker, PATIENCE)
}

/// Many that say nothing, or not all, hold up others for a while at most, and those at the socket not at all
pub(super) fn crowd(docker: &Docker) -> Result<()> {
    let namespace = docker.host().namespace();
    let silent: Vec<TcpStream> = namespace.enter(|| {
        let connect = |number| {
            let mut stream = TcpStream::connect_timeout(&SECURED, PATIENCE)?;
            if number % 2 == 0 {
                stream.write_all(b"\x16\x03\x01")?;
            }
            Ok(stream)
        };
        (0..SILENT).map(connect).collect()
    })?;
    let begun = Instant::now();
    docker.proxied().run(&["version"])?.ok()?;
    ensure!(
        begun.elapsed() < Duration::from_secs(3),
        "at the socket it took {:?}",
        begun.elapsed()
    );
    serves(docker, CROWDED)?;
    drop(silent);
    Ok(())
}

/// A client with a certificate is served in time
pub(super) fn serves(docker: &Docker, deadline: Duration) -> Result<()> {
    let begun = Instant::now();
    docker.shell(&version("client"))?.ok()?;
    let took = begun.elapsed();
    ensure!(took < deadline, "a client was served after {took:?}");
    Ok(())
}

/// The command line of a client with these files
pub(super) fn version(who: &str) -> String {
    format!("DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH={FILES}/{who} docker -H tcp://{SECURED} version")
}
