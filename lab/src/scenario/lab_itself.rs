//! The lab proves itself, with the kernel's own VXLAN in the place of weaved.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::fault::{self, Firewall, Traffic};
use crate::judge::frames::{Injector, frame_from};
use crate::judge::transfer::{Ear, pattern, speak, tcp};
use crate::judge::{capture, iperf, ping::Ping};
use crate::topology::{ETHERNET, Host, Lab};

const VXLAN: u16 = 6784;
const SHORT: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn act(lab: &mut Lab) -> Result<()> {
    println!("packets are dropped by {:?}", Firewall::of_this_kernel()?);
    let [a, b, c] = lab.hosts(["a", "b", "c"])?;
    lab.segment(&[&a, &b, &c], ETHERNET)?;
    let r = lab.router("r")?;
    let d = lab.host("d")?;
    lab.link(&c, &r, ETHERNET)?;
    lab.link(&r, &d, ETHERNET)?;
    c.route(d.address()?, &r)?;
    d.route(c.address_for(&r)?, &r)?;

    cuts_are_silent_and_heal(&a, &b, &c)?;
    one_port_is_cut_alone(&a, &b, &c)?;
    a_router_with_filtered_icmp_is_a_black_hole(&c, &r, &d)?;
    captures_decode_vxlan(lab, &a, &b)?;
    sockets_judge(&a, &b, &c)?;
    Ok(())
}

fn cuts_are_silent_and_heal(a: &Host, b: &Host, c: &Host) -> Result<()> {
    let [to_b, to_c] = [b.address()?, c.address()?].map(|address| Ping::to(address).patience(SHORT));
    to_b.run(a.namespace())?.all_answered()?;
    let cut = fault::cut(a, b, Traffic::All)?;
    let silent = to_b.run(a.namespace())?;
    ensure!(silent.received == 0, "{silent:?} across a cut");
    let udp = a.namespace().enter(|| Ok(UdpSocket::bind("0.0.0.0:0")?))?;
    ensure!(
        udp.send_to(b"x", (b.address()?, 9)).is_ok(),
        "a cut told its sender"
    );
    let links = a.namespace().ip_json(&["link", "show", "up"])?;
    ensure!(
        links.to_string().contains("LOWER_UP"),
        "a cut took the link down: {links}"
    );
    to_c.run(a.namespace())?.all_answered()?;
    cut.heal()?;
    to_b.run(a.namespace())?.all_answered()?;
    let lossy = fault::lose(a, b, Traffic::All, 300)?;
    let some = to_b
        .clone()
        .count(60)
        .every(Duration::from_millis(10))
        .run(a.namespace())?;
    ensure!(
        (5..=55).contains(&some.received),
        "{some:?} with 3 of 10 lost each way"
    );
    lossy.heal()?;
    Ok(())
}

fn one_port_is_cut_alone(a: &Host, b: &Host, c: &Host) -> Result<()> {
    let ears = [VXLAN, VXLAN - 1].map(|port| Ear::open(b.namespace(), port));
    let [cut_port, open_port] = ears;
    let (cut_port, open_port) = (cut_port?, open_port?);
    let cut = fault::cut(a, b, Traffic::Udp(VXLAN))?;
    for (from, word) in [(a, b"from a"), (c, b"from c")] {
        for port in [VXLAN, VXLAN - 1] {
            let to = SocketAddrV4::new(b.address()?, port);
            speak(from.namespace(), Ipv4Addr::UNSPECIFIED, to, &[word.to_vec()])?;
        }
    }
    let quiet = Duration::from_millis(200);
    let (heard, other) = (cut_port.heard(1, quiet)?, open_port.heard(2, quiet)?);
    ensure!(heard == [b"from c"], "port {VXLAN} heard {heard:?}");
    ensure!(other.len() == 2, "port {} heard {other:?}", VXLAN - 1);
    cut.heal()
}

fn a_router_with_filtered_icmp_is_a_black_hole(c: &Host, r: &Host, d: &Host) -> Result<()> {
    let to = d.address_for(r)?;
    Ping::to(to).run(c.namespace())?.all_answered()?;
    r.change_mtu(d, 1400)?;
    d.change_mtu(r, 1400)?;
    let filtered = fault::filter(c, Traffic::IcmpUnreachable)?;
    let big = Ping::to(to).whole_packets_of(1500).patience(SHORT);
    let hole = big.run(c.namespace())?;
    ensure!(
        hole.received == 0 && hole.too_big.is_empty(),
        "{hole:?} with ICMP filtered"
    );
    filtered.heal()?;
    let told = big.run(c.namespace())?;
    ensure!(
        told.received == 0 && !told.too_big.is_empty(),
        "{told:?} with ICMP let through"
    );
    Ok(())
}

fn captures_decode_vxlan(lab: &Lab, a: &Host, b: &Host) -> Result<()> {
    for (host, peer, inner) in [(a, b, "10.9.0.1/24"), (b, a, "10.9.0.2/24")] {
        let remote = peer.address_for(host)?.to_string();
        let namespace = host.namespace();
        let port = VXLAN.to_string();
        namespace.ip(&[
            "link", "add", "vx", "type", "vxlan", "id", "8193", "dstport", &port, "remote", &remote,
        ])?;
        namespace.ip(&["address", "add", inner, "dev", "vx"])?;
        namespace.ip(&["link", "set", "vx", "up"])?;
    }
    let leg = b.leg_towards(a)?;
    let capturing = capture::start(b.namespace(), &leg.device, "udp port 6784", &lab.files())?;
    let far = Ipv4Addr::new(10, 9, 0, 2);
    Ping::to(far).run(a.namespace())?.all_answered()?;
    let capture = capturing.stop()?;
    let text = capture.as_vxlan()?.join("\n");
    let times = |request: u32| {
        let words = [format!("> {far}: ICMP echo request"), format!(", seq {request},")];
        let is_it = |line: &&str| words.iter().all(|word| line.contains(word));
        text.lines().filter(is_it).count()
    };
    ensure!(
        [1, 2, 3].map(times) == [1; 3] && text.contains("vni 8193"),
        "the wire carried {text}"
    );
    let cut = fault::cut(a, b, Traffic::Udp(VXLAN))?;
    let through = Ping::to(far).patience(SHORT).run(a.namespace())?;
    ensure!(through.received == 0, "{through:?} through a cut tunnel");
    cut.heal()?;
    let rate = iperf::measure(a.namespace(), b.namespace(), far, Duration::from_secs(1))?;
    println!("kernel VXLAN between two hosts: {:.2} Gbit/s", rate.gigabits());
    Ok(())
}

fn sockets_judge(a: &Host, b: &Host, c: &Host) -> Result<()> {
    tcp(
        a.namespace(),
        b.namespace(),
        b.address()?,
        &pattern(1 << 20),
        PATIENCE,
    )?;
    let group = Ipv4Addr::new(239, 1, 2, 3);
    let ears =
        [b, c].map(|host| Ear::open(host.namespace(), 7)?.join(host.namespace(), group, host.address()?));
    let to_group = SocketAddrV4::new(group, 7);
    let to_all = SocketAddrV4::new(Ipv4Addr::new(192, 168, 101, 255), 7);
    for to in [to_group, to_all] {
        speak(a.namespace(), a.address()?, to, &[pattern(20)])?;
    }
    for ear in ears {
        let heard = ear?.heard(2, Duration::from_millis(200))?;
        ensure!(heard == [pattern(20), pattern(20)], "heard {heard:?}");
    }
    let injector = Injector::open(a.namespace(), &a.leg_towards(b)?.device)?;
    for number in 0..100 {
        injector.send(&frame_from([2, 0, 0, 0, 0, number], b"lab"))?;
    }
    Ok(())
}
