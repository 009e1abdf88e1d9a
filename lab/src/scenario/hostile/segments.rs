//! Segments forged into a live control connection: it may end, and say why; traffic goes on, and the
//! hosts connect again.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use model::PathKind;

use crate::judge::frames::{Injector, next_tcp_segment};
use crate::judge::ping::Ping;
use crate::judge::sockets::Tcp;
use crate::judge::transfer::pattern;
use crate::judge::{capture, sockets};
use crate::site::{Site, launch_and_attach, on_one_network, ping_all_pairs};
use crate::topology::{ETHERNET, Host, Lab};
use crate::wait::{Look, wait_for, wait_until};
use crate::weave::{Launch, PORT, usual_path};

/// Between the forged segment and a new connection
const RECONNECTION: Duration = Duration::from_secs(10);
/// Keepalives are half a second apart
const PAUSE: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(10);
const OFTEN: Duration = Duration::from_millis(10);
/// The most pings that one forged segment may cost; the aim is none
const LOST: u32 = 3;

pub(in crate::scenario) fn act(lab: &mut Lab) -> Result<()> {
    let sites = on_one_network(lab, ["host1", "host2"], ETHERNET)?;
    let path = usual_path();
    launch_and_attach(&sites, &Launch::plain(), path)?;
    ping_all_pairs(&sites)?;
    let [one, two] = &sites;
    for forged in forgeries() {
        for (mouth, ears) in [(one, two), (two, one)] {
            forged
                .goes_unnoticed(lab, mouth, ears, path)
                .with_context(|| format!("{}, to {}", forged.name, ears.host))?;
        }
    }
    ping_all_pairs(&sites)?;
    Ok(())
}

struct Forged {
    name: &'static str,
    bytes: Vec<u8>,
    /// What the log says of the connection's end
    reason: &'static str,
    /// What it is counted as
    counter: Option<&'static str>,
}

/// Frames are a type, a length and a body
fn forgeries() -> [Forged; 4] {
    let forged = |name, head: &[u8], body: &[u8], reason, counter| Forged {
        name,
        bytes: [head, body].concat(),
        reason,
        counter,
    };
    let malformed = ("malformed message", Some("gossip: malformed messages"));
    [
        forged(
            "a sealed frame of somebody else",
            &[3, 0, 200],
            &pattern(200),
            "unable to decrypt TCP msg",
            Some("gossip: forged messages"),
        ),
        forged("noise", &[0xee; 3], &pattern(600), malformed.0, malformed.1),
        // "Another password" in the clear, as in the handshake.
        forged("a reject", &[2, 0, 1], &[3], malformed.0, malformed.1),
        // What the other side says after that is not where the kernel expects it.
        forged(
            "the head of a long frame",
            &[3, 0xff, 0],
            &pattern(100),
            "no heartbeat from the remote",
            None,
        ),
    ]
}

impl Forged {
    fn goes_unnoticed(&self, lab: &Lab, mouth: &Site, ears: &Site, path: PathKind) -> Result<()> {
        let before = self.seen(mouth, ears)?;
        // After a reconnection from both sides there may be two for a moment.
        let (connection, _took) = wait_for("one control connection", PATIENCE, || {
            let found = sockets::tcp(ears.host.namespace(), PORT)?;
            Ok(match found.as_slice() {
                [only] => Look::Done(*only),
                _ => Look::NotYet(format!("{found:?}")),
            })
        })?;
        let ping = Ping::to(ears.address)
            .every(OFTEN)
            .start(mouth.container.namespace())?;
        wait_until("the ping runs", PATIENCE, || Ok(ping.answers() > 20))?;

        self.inject(lab, &mouth.host, &ears.host, connection)?;
        let begun = Instant::now();
        wait_for("the end is told and counted", PATIENCE, || {
            let seen = self.seen(mouth, ears)?;
            Ok(if seen.told > before.told && seen.counted > before.counted {
                Look::Done(())
            } else {
                Look::NotYet(format!("{:?}", ears.host.status()?.drops))
            })
        })?;
        wait_for("there is another connection", RECONNECTION, || {
            let found = sockets::tcp(ears.host.namespace(), PORT)?;
            Ok(if found.iter().any(|one| *one != connection) {
                Look::Done(())
            } else {
                Look::NotYet(format!("{found:?}"))
            })
        })?;
        for (near, far) in [(mouth, ears), (ears, mouth)] {
            near.host.wait_path(&far.host, path, RECONNECTION)?;
        }
        let took = begun.elapsed();
        ping.wait_answers(50, PATIENCE)?;
        let pings = ping.stop()?;
        println!(
            "{}, to {}: connected again after {took:.1?}; {} of {} pings lost",
            self.name,
            ears.host,
            pings.lost(),
            pings.sent
        );
        ensure!(pings.lost() <= LOST && pings.duplicates == 0, "{pings:?}");
        Ok(())
    }

    /// The forged bytes put both kernels out of step: of a silence that follows, either may tell first
    fn seen(&self, mouth: &Site, ears: &Site) -> Result<Seen> {
        let mut told = 0;
        for site in [mouth, ears] {
            let log = fs::read_to_string(site.host.log_file())?;
            told += log.matches(&format!("ended: {}", self.reason)).count() as u64;
        }
        let counted = match self.counter {
            Some(name) => ears.host.status()?.drops.get(name).copied().unwrap_or(0),
            None => told,
        };
        Ok(Seen { told, counted })
    }

    /// Puts the bytes where the next ones of one host would be, after its last word for the moment
    fn inject(&self, lab: &Lab, mouth: &Host, ears: &Host, connection: Tcp) -> Result<()> {
        let leg = ears.leg_towards(mouth)?;
        let filter = format!(
            "tcp src port {} and dst port {} and src host {}",
            connection.there.port(),
            connection.here.port(),
            connection.there.ip()
        );
        let capturing = capture::start(ears.namespace(), &leg.device, &filter, &lab.files())?;
        let injector = Injector::open(mouth.namespace(), &mouth.leg_towards(ears)?.device)?;
        let mut seen = 0;
        let mut since = Instant::now();
        let (forged, _took) = wait_for("a segment with bytes in it, then none", PATIENCE, || {
            let frames = capturing.frames_so_far()?;
            if frames.len() != seen {
                (seen, since) = (frames.len(), Instant::now());
            }
            let next = frames
                .iter()
                .rev()
                .find_map(|frame| next_tcp_segment(frame, &self.bytes));
            Ok(match next {
                Some(next) if since.elapsed() > PAUSE => Look::Done(next),
                Some(_) | None => Look::NotYet(format!("{seen} segments")),
            })
        })?;
        injector.send(&forged)?;
        capturing.stop()?;
        Ok(())
    }
}

/// How often the end was told, and counted
struct Seen {
    told: u64,
    counted: u64,
}
