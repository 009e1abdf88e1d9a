//! Garbage on every port, from an address that nobody expects anything from.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::time::Duration;

use anyhow::{Result, ensure};

use super::unharmed;
use crate::judge::transfer::{pattern, speak};
use crate::judge::{ovs, sockets};
use crate::site::{launch_and_attach, on_one_network, ping_all_pairs};
use crate::topology::{ETHERNET, Host, Lab};
use crate::wait::{Look, wait_for};
use crate::weave::{Launch, PORT, VXLAN_PORT, usual_path};

/// Datagrams to each of the two ports
const DATAGRAMS: usize = 5000;
/// As many as the port's queue takes at once, large ones included
const BATCH: usize = 100;
/// What weaved may grow by under all of it, in kB: what the allocator keeps of large buffers
const GROWTH: u64 = 8 * 1024;

const PATIENCE: Duration = Duration::from_secs(20);

pub(in crate::scenario) fn act(lab: &mut Lab) -> Result<()> {
    let sites = on_one_network(lab, ["host1", "host2"], ETHERNET)?;
    let stranger = lab.host("stranger")?;
    // Linked, not on the network: its address is one that nobody expects anything from.
    lab.link(&stranger, &sites[1].host, ETHERNET)?;
    let [one, two] = &sites;
    let path = usual_path();
    launch_and_attach(&sites, &Launch::plain(), path)?;
    ping_all_pairs(&sites)?;
    let pid = two.host.weaved_pid()?;
    let before = two.host.weaved_kilobytes()?;

    let full = sockets::udp(two.host.namespace(), PORT)?.dropped;
    let counted = unharmed(one, two, || to_port(&stranger, &two.host, PORT))?;
    let full = sockets::udp(two.host.namespace(), PORT)?.dropped - full;
    println!("{DATAGRAMS} to the sleeve are counted as {counted:?}, and {full} by the kernel");
    let sum: u64 = counted.values().sum();
    ensure!(
        sum + full >= DATAGRAMS as u64,
        "{DATAGRAMS} sent, {sum} and {full} counted"
    );

    let counted = unharmed(one, two, || to_port(&stranger, &two.host, VXLAN_PORT))?;
    println!("{DATAGRAMS} to the VXLAN port are counted as {counted:?}");
    // Without a datapath nothing listens there.
    ensure!(
        counted.is_empty() != ovs::is_here(),
        "garbage by VXLAN is counted as {counted:?}"
    );

    unharmed(one, two, || by_tcp(&stranger, &two.host))?;
    let after = two.host.weaved_kilobytes()?;
    println!("weaved went from {before} kB to {after} kB");
    ensure!(
        after <= before + GROWTH,
        "weaved has grown from {before} kB to {after} kB"
    );
    ensure!(two.host.weaved_pid()? == pid, "weaved is not the one it was");
    Ok(())
}

/// Sends as fast as they are read: what overflows the queue would show nothing
fn to_port(stranger: &Host, host: &Host, port: u16) -> Result<()> {
    let to = SocketAddrV4::new(host.address_for(stranger)?, port);
    let all = datagrams(port == VXLAN_PORT);
    for batch in all.chunks(BATCH) {
        speak(stranger.namespace(), Ipv4Addr::UNSPECIFIED, to, batch)?;
        wait_for("the queue is empty", PATIENCE, || {
            let waiting = sockets::udp(host.namespace(), port)?.waiting;
            Ok(match waiting {
                0 => Look::Done(()),
                bytes => Look::NotYet(format!("{bytes} bytes wait")),
            })
        })?;
    }
    Ok(())
}

/// Noise of sizes from nothing to 65,000 bytes, most of them of one packet; every other one may begin
/// with a VXLAN header
fn datagrams(with_headers: bool) -> Vec<Vec<u8>> {
    let noise = pattern(65_000 + DATAGRAMS);
    let sizes = pattern(2 * DATAGRAMS);
    let sizes = sizes
        .chunks_exact(2)
        .map(|pair| usize::from(pair[0]) << 8 | usize::from(pair[1]));
    let datagram = |(number, drawn): (usize, usize)| {
        let size = match number % 50 {
            0 => 0,
            1 => 65_000,
            2 => drawn % 65_000,
            3..=6 => drawn % 20,
            _ => drawn % 1473,
        };
        let mut bytes = noise.get(number..number + size).unwrap_or_default().to_vec();
        if with_headers && number % 2 == 1 {
            for (place, byte) in bytes.iter_mut().zip([8, 0, 0, 0]) {
                *place = byte;
            }
        }
        bytes
    };
    sizes.enumerate().map(datagram).collect()
}

fn by_tcp(stranger: &Host, host: &Host) -> Result<()> {
    let to = SocketAddr::from((host.address_for(stranger)?, PORT));
    stranger.namespace().enter(|| {
        let mut silent = Vec::new();
        for number in 0..60_usize {
            let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(5))?;
            // Nothing, less than a header, lengths without end, noise; weaved may close at any byte.
            let bytes = match number % 4 {
                0 => Vec::new(),
                1 => pattern(7),
                2 => vec![0xff; 4096],
                _ => pattern(100_000),
            };
            stream.set_write_timeout(Some(Duration::from_secs(1)))?;
            let _closed_early = stream.write_all(&bytes);
            silent.push(stream);
        }
        Ok(())
    })
}
