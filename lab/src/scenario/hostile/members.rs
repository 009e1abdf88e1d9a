//! What a member does that sends well-formed messages without measure: weaved keeps its memory, answers, keeps its
//! neighbors, and keeps what honest peers told.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use api::ConnectionState;
use dns::{Domain, Names};
use gossip::hostile::Forged;
use gossip::{Channel, Exchange, Identity};
use model::PeerName;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::judge::ping::Ping;
use crate::member::{Member, invented, unix_ms};
use crate::site::{Site, launch_and_attach, on_one_network, ping_all_pairs};
use crate::topology::{ETHERNET, Host, Lab};
use crate::wait::wait_until;
use crate::weave::{Launch, PORT, usual_path};

const ADDRESSES: Channel = Channel(2);
const NAMES: Channel = Channel(3);

/// The most memory that weaved may have held at any moment
const MEMORY: u64 = 150_000;

/// The longest that weaved may take for an answer on a machine that is busy with other things; it takes a tenth of it
const ANSWER: Duration = Duration::from_secs(1);

/// How long an attack lasts that could go on for ever
const LASTS: Duration = Duration::from_secs(3);

type Attack = fn(&mut Member, &mut StdRng) -> Result<()>;

const ATTACKS: [(&str, Attack); 7] = [
    ("asking for all records", wants),
    ("asking for one record again and again", repeated_wants),
    ("telling of 4094 peers", invented_peers),
    ("telling of 300 peers with 2000 links each", invented_links),
    ("refusing 1024 keys", bans),
    ("telling of more names than there is room for", names),
    ("sending bytes without a meaning", noise),
];

pub(in crate::scenario) fn act(lab: &mut Lab) -> Result<()> {
    let sites = on_one_network(lab, ["host1", "host2"], ETHERNET)?;
    launch_and_attach(&sites, &Launch::plain(), usual_path())?;
    let [one, two] = &sites;
    let stranger = lab.host("stranger")?;
    lab.link(&one.host, &stranger, ETHERNET)?;
    for site in &sites {
        let container = site.container.namespace().name();
        let name = format!("name-of-{}", site.host.name());
        site.host.weavectl(&["dns-add", container, "-h", &name])?.ok()?;
    }
    ping_all_pairs(&sites)?;
    let known = || -> Result<bool> {
        let entries = one.host.names()?;
        let named = |site: &Site| {
            let name = format!("name-of-{}", site.host.name());
            entries.iter().any(|entry| entry.name.starts_with(&name))
        };
        Ok(sites.iter().all(named))
    };
    wait_until("both names are known", Duration::from_secs(10), known)?;
    let to = SocketAddr::from((one.host.address_for(&stranger)?, PORT));
    let mut rng = StdRng::seed_from_u64(7);
    for (number, (name, attack)) in ATTACKS.into_iter().enumerate() {
        let member = Member::join(stranger.namespace(), to, u64::try_from(number)? + 1)
            .with_context(|| format!("before {name}"))?;
        under(name, &sites, || {
            let mut member = member;
            attack(&mut member, &mut rng)?;
            member.run_for(Duration::from_secs(1));
            Ok(member.ended().map(str::to_owned))
        })
        .with_context(|| format!("a member was {name}"))?;
        ensure!(known()?, "a name is lost after a member was {name}");
    }
    // What all of them left behind keeps nobody from joining.
    let late = Site::create(lab, "host3")?;
    lab.link(&one.host, &late.host, ETHERNET)?;
    late.host
        .launch(&Launch::plain().peer(one.host.address_for(&late.host)?))?;
    late.host
        .wait_path(&one.host, usual_path(), Duration::from_secs(20))?;
    late.attach()?;
    late.ping(two, |ping| ping)?.all_answered()?;
    Ok(())
}

/// Runs an attack, and judges what others notice of it
fn under(name: &str, [one, two]: &[Site; 2], attack: impl FnOnce() -> Result<Option<String>>) -> Result<()> {
    let ping = Ping::to(two.address)
        .every(Duration::from_millis(20))
        .start(one.container.namespace())?;
    let over = AtomicBool::new(false);
    let (ended, slowest) = std::thread::scope(|scope| {
        let watch = scope.spawn(|| -> Result<Duration> {
            let mut slowest = Duration::ZERO;
            while !over.load(Ordering::Relaxed) {
                slowest = slowest.max(time_of_answer(&one.host)?);
                std::thread::sleep(Duration::from_millis(50));
            }
            Ok(slowest)
        });
        let ended = attack();
        over.store(true, Ordering::Relaxed);
        let slowest = watch.join().map_err(|_panic| anyhow!("the watch panicked"))?;
        Ok::<_, anyhow::Error>((ended?, slowest?))
    })?;
    ping.wait_answers(10, Duration::from_secs(5))?;
    let pings = ping.stop()?;
    let peak = one.host.weaved_peak_kilobytes()?;
    let drops = one.host.status()?.drops;
    let told = |reason: &&String| {
        ["gossip", "names", "addresses"]
            .iter()
            .any(|of| reason.starts_with(of))
    };
    let counted: Vec<String> = drops
        .iter()
        .filter(|(reason, _)| told(reason))
        .map(|(reason, count)| format!("{reason}: {count}"))
        .collect();
    println!(
        "{name}: {}; at most {} MB, an answer after {slowest:.1?} at the latest, {} of {} pings lost; counted so far: {}",
        ended.as_deref().unwrap_or("the connection stays"),
        peak / 1000,
        pings.lost(),
        pings.sent,
        counted.join(", ")
    );
    ensure!(peak < MEMORY, "weaved held {peak} kB");
    ensure!(
        slowest <= ANSWER,
        "weaved answered after {slowest:?}; {ANSWER:?} are allowed"
    );
    // The request under way when ping was ended has no answer.
    ensure!(pings.lost() <= 1, "pings lost: {pings:?}");
    let connection = one
        .host
        .connection_to(&two.host)?
        .context("the neighbor is lost")?;
    ensure!(
        connection.state == ConnectionState::Established,
        "the connection is {}",
        connection.state
    );
    Ok(())
}

fn time_of_answer(host: &Host) -> Result<Duration> {
    let begun = Instant::now();
    host.status()?;
    Ok(begun.elapsed())
}

fn wants(member: &mut Member, rng: &mut StdRng) -> Result<()> {
    let mut all: Vec<PeerName> = (0..4096).map(|_| Identity::generate(rng).peer_name()).collect();
    all.sort_unstable();
    all.dedup();
    let begun = Instant::now();
    while begun.elapsed() < LASTS && member.ended().is_none() {
        member.forge(Forged::Want(all.clone()));
        member.run_for(Duration::from_millis(5));
    }
    Ok(())
}

fn repeated_wants(member: &mut Member, _: &mut StdRng) -> Result<()> {
    let own = member.identity.peer_name();
    member.forge(Forged::Want(vec![own; 4096]));
    member.run_for(LASTS);
    ensure!(member.ended().is_some(), "a name twice in one request was taken");
    Ok(())
}

fn invented_peers(member: &mut Member, rng: &mut StdRng) -> Result<()> {
    let own = member.identity.peer_name();
    for _ in 0..8 {
        let identities = (0..512).map(|_| Identity::generate(rng)).collect::<Vec<_>>();
        let records = identities
            .into_iter()
            .map(|identity| Ok((invented(&identity, [own], rng)?, identity)));
        member.forge(Forged::Records(records.collect::<Result<_>>()?));
        member.run_for(Duration::from_millis(100));
    }
    member.run_for(LASTS);
    Ok(())
}

fn invented_links(member: &mut Member, rng: &mut StdRng) -> Result<()> {
    let identities: Vec<Identity> = (0..2000).map(|_| Identity::generate(rng)).collect();
    let names: Vec<PeerName> = identities.iter().map(Identity::peer_name).collect();
    // As many as a message has room for.
    for some in identities.chunks(10).take(30) {
        let records = some
            .iter()
            .map(|identity| Ok((invented(identity, names.iter().copied(), rng)?, identity.clone())));
        member.forge(Forged::Records(records.collect::<Result<_>>()?));
        member.run_for(Duration::from_millis(20));
    }
    member.run_for(LASTS);
    Ok(())
}

fn bans(member: &mut Member, rng: &mut StdRng) -> Result<()> {
    let now_ms = unix_ms();
    for _ in 0..64 {
        let by = Identity::generate(rng);
        let keys = (0..16).map(|_| Identity::generate(rng));
        let keys = keys.map(|identity| (identity.key(), identity.peer_name()));
        member.forge(Forged::Bans(by, keys.collect(), now_ms));
    }
    member.run_for(LASTS);
    Ok(())
}

/// As many as a peer may have, of the member itself and of peers that it invents
fn names(member: &mut Member, rng: &mut StdRng) -> Result<()> {
    let own = member.identity.peer_name();
    let others: Vec<Identity> = (0..40).map(|_| Identity::generate(rng)).collect();
    let mut records = vec![];
    for identity in &others {
        records.push((invented(identity, [own], rng)?, identity.clone()));
    }
    let neighbors = others.iter().map(Identity::peer_name);
    let mut of_own = invented(&member.identity, neighbors, rng)?;
    // Later than what its own mesh says of it.
    of_own.version = 1 << 32;
    records.push((of_own, member.identity.clone()));
    member.forge(Forged::Records(records));
    // Only so many peers are taken up in a second.
    member.run_for(Duration::from_secs(12));
    let identities = std::iter::once(member.identity.clone()).chain(others);
    for identity in identities {
        let origin = identity.peer_name();
        let mut table = Names::new(origin, identity, 1, Domain::default());
        let mut exchange = Exchange::new(origin);
        exchange.up(own, &table, Instant::now());
        for number in 0..20_000_u32 {
            let [_, a, b, c] = number.to_be_bytes();
            let name = format!("{number}-{}", "x".repeat(50));
            let container = format!("{number:012}").parse()?;
            table.add(&name, container, [10, a, b, c].into())?;
        }
        exchange.flood(&mut table);
        while let Some((_, bytes)) = exchange.poll_send() {
            member.send(NAMES, bytes);
            member.run_for(Duration::ZERO);
        }
    }
    member.run_for(LASTS);
    Ok(())
}

fn noise(member: &mut Member, _: &mut StdRng) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < LASTS && member.ended().is_none() {
        for channel in [ADDRESSES, NAMES] {
            member.send(channel, vec![0xa5; 1 << 19]);
            member.run_for(Duration::ZERO);
        }
    }
    member.run_for(Duration::from_secs(1));
    ensure!(
        member.ended().is_some(),
        "the connection outlives bytes without a meaning"
    );
    Ok(())
}
