//! Flow set-ups: pairs of stations whose first frame has no flow, as many as weaved answers.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use lab::judge::ovs;
use lab::topology::{Container, ETHERNET, Host, Lab};
use lab::weave::{Launch, launch_mesh};
use model::PathKind;
use serde::{Deserialize, Serialize};

use super::batch::{BATCH, Batch};
use super::station::{EVERYBODY, Frame, Mac, PacketSocket, fresh};
use crate::rest::resident_memory;

/// Containers that send: each port has limits of its own
const PORTS: usize = 4;
/// Made-up stations on each of them
const STATIONS: usize = 30;
/// Made-up stations on the one container of the other host
const FAR_STATIONS: usize = 100;
/// Of the pairs of a station here and a station there that have no flow
const PAIRS: usize = 10_000;

/// Frames under way: more would only overflow the kernel's queues, one of which holds 1,000
const WINDOW: usize = 768;

/// Before anything is sent that is counted: what the stations' greetings led to is over by then
const SETTLED: Duration = Duration::from_millis(500);

/// What was seen of the set-ups
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Setups {
    /// Pairs of stations, each a frame to be delivered
    pub pairs: usize,
    /// From the first frame to the arrival of the last pair's, in seconds
    pub seconds: f64,
    /// Frames that had to be sent again
    pub again: usize,
    /// Flows that came to be, on the sending host and the receiving one
    pub flows: [u64; 2],
    /// Frames that the kernels handed up
    pub misses: [u64; 2],
    /// Frames that they could not hand up
    pub lost: [u64; 2],
    /// Resident memory of the sending host's weaved with these flows, in MB
    pub resident_mb: f64,
}

impl Setups {
    /// Flows of both hosts a second
    pub fn per_second(&self) -> f64 {
        let flows: u64 = self.flows.iter().sum();
        flows as f64 / self.seconds
    }
}

/// Two hosts; then a frame for each of 10,000 pairs of a station on one and a station on the other
pub fn measure(lab: &mut Lab) -> Result<Setups> {
    let [near, far] = lab.hosts(["m1", "m2"])?;
    lab.link(&near, &far, ETHERNET)?;
    launch_mesh(&[&near, &far], &Launch::plain(), PathKind::Fastdp)?;
    let mut ends = Vec::new();
    for port in 0..=PORTS {
        let container = lab.container(&format!("mc{port}"))?;
        let host = if port < PORTS { &near } else { &far };
        host.attach(&container, &[&format!("10.32.0.{}/24", port + 1)])?;
        ends.push(PacketSocket::open(container.namespace(), Container::INTERFACE)?);
    }
    let far_end = ends.pop().context("no container at the other host")?;
    let sources: Vec<Vec<Mac>> = ends.iter().map(|_end| stations(STATIONS)).collect();
    let destinations = stations(FAR_STATIONS);
    let greeting = |station: &Mac| (EVERYBODY, *station);
    for (end, stations) in ends.iter().zip(&sources) {
        let greetings = stations.iter().map(greeting).collect();
        deliver(&[end], vec![greetings], &far_end)?;
    }
    let greetings = destinations.iter().map(greeting).collect();
    deliver(&[&far_end], vec![greetings], ends.first().context("no end")?)?;
    std::thread::sleep(SETTLED);

    // Some pairs have flows already: weaved puts a few for stations that it hears of.
    let known: BTreeSet<(Mac, Mac)> = ovs::flows(near.namespace())?
        .iter()
        .filter_map(|flow| pair(&flow.line))
        .collect();
    let pairs: Vec<Vec<(Mac, Mac)>> = sources
        .iter()
        .map(|own| {
            let pairs = destinations
                .iter()
                .flat_map(|to| own.iter().map(move |from| (*to, *from)));
            pairs
                .filter(|pair| !known.contains(pair))
                .take(PAIRS / PORTS)
                .collect()
        })
        .collect();
    let count = pairs.iter().map(Vec::len).sum();
    let before = counters(&near, &far)?;
    let delivered = deliver(&ends.iter().collect::<Vec<_>>(), pairs, &far_end)?;
    std::thread::sleep(SETTLED);
    let after = counters(&near, &far)?;
    let risen = |count: fn(&ovs::Shown) -> u64| {
        [0, 1].map(|host: usize| count(&after[host]).saturating_sub(count(&before[host])))
    };
    Ok(Setups {
        pairs: count,
        seconds: delivered.took.as_secs_f64(),
        again: delivered.again,
        flows: risen(|shown| shown.flows),
        misses: risen(|shown| shown.missed),
        lost: risen(|shown| shown.lost),
        resident_mb: resident_memory(near.weaved_pid()?)?,
    })
}

/// The `(to, from)` of a flow as `ovs-dpctl` prints it
fn pair(line: &str) -> Option<(Mac, Mac)> {
    let (_before, tail) = line.split_once("eth(src=")?;
    let (from, tail) = tail.split_once(",dst=")?;
    let (to, _after) = tail.split_once(')')?;
    Some((mac(to)?, mac(from)?))
}

fn mac(text: &str) -> Option<Mac> {
    let bytes: Vec<u8> = text
        .split(':')
        .map_while(|byte| u8::from_str_radix(byte, 16).ok())
        .collect();
    bytes.try_into().ok()
}

fn counters(near: &Host, far: &Host) -> Result<[ovs::Shown; 2]> {
    let shown = |host: &Host| ovs::show(host.namespace())?.context("no datapath");
    Ok([shown(near)?, shown(far)?])
}

fn stations(count: usize) -> Vec<Mac> {
    (0..count).map(|_station| fresh()).collect()
}

struct Delivered {
    took: Duration,
    again: usize,
}

/// Sends a frame for each `(to, from)`, each list from its end in turn, until all have arrived at one;
/// what does not arrive is sent again
fn deliver(ends: &[&PacketSocket], lists: Vec<Vec<(Mac, Mac)>>, at: &PacketSocket) -> Result<Delivered> {
    // A frame's number is its place in `arrived`.
    let mut frames: Vec<(usize, Vec<u8>)> = Vec::new();
    for (end, list) in lists.into_iter().enumerate() {
        for (to, from) in list {
            let number = u32::try_from(frames.len())?;
            frames.push((end, Frame { to, from, number }.bytes()));
        }
    }
    let mut waiting = interleaved(&frames, ends.len());
    let mut arrived = vec![false; frames.len()];
    let (mut left, mut sent, mut again) = (frames.len(), 0, 0);
    let mut batch = Batch::new();
    let begun = Instant::now();
    let mut last = begun;
    while left > 0 {
        let under_way = sent - (frames.len() - left).min(sent);
        if under_way < WINDOW
            && let Some((end, mut numbers)) = waiting.pop_front()
        {
            let socket = ends.get(end).context("no such end")?;
            let bytes = numbers.iter().filter_map(|number| frames.get(*number));
            let count = batch.send(*socket, bytes.map(|(_end, bytes)| bytes.as_slice()))?;
            sent += count;
            if count == numbers.len() {
                continue;
            }
            // The kernel's queue is full: the rest goes when some have arrived.
            waiting.push_front((end, numbers.split_off(count)));
        }
        let count = batch.receive(at, |bytes| {
            let number = Frame::read(bytes).and_then(|frame| usize::try_from(frame.number).ok());
            if let Some(arrived) = number.and_then(|number| arrived.get_mut(number))
                && !*arrived
            {
                *arrived = true;
                left -= 1;
            }
        })?;
        if count > 0 {
            last = Instant::now();
        } else if begun.elapsed() > GIVEN_UP {
            bail!("{left} of {} frames have not arrived", frames.len());
        } else {
            let missing: Vec<usize> = (0..frames.len()).filter(|number| !arrived[*number]).collect();
            again += missing.len();
            sent = frames.len() - left;
            waiting = batches(&frames, &missing, ends.len());
        }
    }
    Ok(Delivered {
        took: last.duration_since(begun),
        again,
    })
}

/// All frames in batches, one end after the other
fn interleaved(frames: &[(usize, Vec<u8>)], ends: usize) -> VecDeque<(usize, Vec<usize>)> {
    batches(frames, &(0..frames.len()).collect::<Vec<_>>(), ends)
}

/// These frames in batches of one end each, one end after the other
fn batches(frames: &[(usize, Vec<u8>)], numbers: &[usize], ends: usize) -> VecDeque<(usize, Vec<usize>)> {
    let of_end = |end| {
        let own = numbers.iter().copied();
        own.filter(|number| frames.get(*number).is_some_and(|frame| frame.0 == end))
            .collect::<Vec<_>>()
    };
    let lists: Vec<Vec<usize>> = (0..ends).map(of_end).collect();
    let rounds = lists
        .iter()
        .map(|list| list.len().div_ceil(BATCH))
        .max()
        .unwrap_or(0);
    let mut batches = VecDeque::new();
    for round in 0..rounds {
        for (end, list) in lists.iter().enumerate() {
            if let Some(batch) = list.chunks(BATCH).nth(round) {
                batches.push_back((end, batch.to_vec()));
            }
        }
    }
    batches
}

const GIVEN_UP: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pair_of_a_flow_is_read() {
        let line = "recirc_id(0),in_port(2),eth(src=02:be:00:00:00:0a,dst=02:be:00:00:00:0b), packets:3";
        let expected = ([2, 0xbe, 0, 0, 0, 11], [2, 0xbe, 0, 0, 0, 10]);
        assert_eq!(pair(line), Some(expected));
        assert_eq!(pair("eth(src=02:be:00:00:00:0a,dst=ff:ff:ff:ff:ff:ff/00)"), None);
    }

    #[test]
    fn batches_take_turns() {
        let frames: Vec<(usize, Vec<u8>)> = (0..100).map(|n| (usize::from(n >= 70), vec![])).collect();
        let turns: Vec<(usize, usize)> = interleaved(&frames, 2)
            .iter()
            .map(|(end, numbers)| (*end, numbers.len()))
            .collect();
        assert_eq!(turns, [(0, 64), (1, 30), (0, 6)]);
    }
}
