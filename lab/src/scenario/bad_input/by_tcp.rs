//! Programs that speak something else, at the port where peers meet: they are turned away, and peers
//! are not.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::judge::transfer::pattern;
use crate::topology::{ETHERNET, Host, Lab};
use crate::weave::{Launch, MEETING, PORT, usual_path};

/// A handshake has five seconds
const PATIENCE: Duration = Duration::from_secs(20);

const FOREIGN: &str = "gossip: connections that speak something else";
const REFUSED: &str = "gossip: connections refused";

pub(in crate::scenario) fn act(lab: &mut Lab) -> Result<()> {
    let [host, stranger] = lab.hosts(["host1", "stranger"])?;
    lab.link(&host, &stranger, ETHERNET)?;
    host.launch(&Launch::plain())?;

    for (name, bytes, counter) in others() {
        let count = || -> Result<u64> { Ok(host.status()?.drops.get(counter).copied().unwrap_or(0)) };
        let before = count()?;
        let answer = say(&stranger, &host, &bytes).with_context(|| name)?;
        let now = count()?;
        ensure!(
            now == before + 1,
            "{name} is not counted as {counter}: {:?}",
            host.status()?.drops
        );
        // The versions that weaved speaks, its flags and its network's name, and then why it does not speak to this one.
        let why = answer.get(8).and_then(|len| answer.get(9 + usize::from(*len)));
        let is_told = answer.starts_with(b"weave\x04\x04") && why == Some(&2);
        ensure!(
            is_told || counter != REFUSED,
            "{name} is answered by {answer:02x?}"
        );
    }
    // After all of them, a peer from the same address.
    stranger.launch(&Launch::plain().peer(host.address()?))?;
    let path = usual_path();
    stranger.wait_path(&host, path, MEETING)?;
    Ok(())
}

fn others() -> [(&'static str, Vec<u8>, &'static str); 8] {
    let http = b"GET / HTTP/1.1\r\nHost: host1:6783\r\n\r\n".to_vec();
    // A record of TLS 1.0 with a ClientHello of TLS 1.2.
    let mut hello = vec![0x16, 3, 1, 0, 0xc8, 1, 0, 0, 0xc4, 3, 3];
    hello.extend(pattern(194));
    // Weave's prologue: the lowest version, the highest, flags.
    let versions = |low, high| [&b"weave"[..], &[low, high, 0]].concat();
    [
        ("HTTP", http, FOREIGN),
        ("TLS", hello, FOREIGN),
        ("SSH", b"SSH-2.0-OpenSSH_9.2p1\r\n".to_vec(), FOREIGN),
        ("a word that begins as weave does", b"weather!".to_vec(), FOREIGN),
        ("Weave Net", versions(1, 2), REFUSED),
        ("the far future", versions(200, 255), REFUSED),
        ("version nought", versions(0, 0), REFUSED),
        ("a range upside down", versions(255, 0), REFUSED),
    ]
}

/// Says it, and tells what comes back until weaved hangs up
fn say(from: &Host, to: &Host, bytes: &[u8]) -> Result<Vec<u8>> {
    let to = SocketAddr::from((to.address_for(from)?, PORT));
    let mut stream = from
        .namespace()
        .enter(|| Ok(TcpStream::connect_timeout(&to, PATIENCE)?))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(bytes)?;
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => {
            Err(error).context("weaved does not hang up")
        }
        Ok(_) | Err(_) => Ok(answer),
    }
}
