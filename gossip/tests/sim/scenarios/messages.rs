//! What travels between neighbours.

use crate::world::CHANNEL;
use gossip::SendError;

use super::*;

#[test]
fn messages_arrive_whole_and_in_order_whatever_their_size() {
    let mut world = full_mesh(16, 2);
    let (from, to) = (world.hosts[0].name, world.hosts[1].name);
    let sizes = [0, 1, 65_535, 65_536, gossip::MAX_CHANNEL_BYTES, 3];
    for (n, size) in sizes.iter().enumerate() {
        let sent = world.with(0, |mesh, now| mesh.send(to, CHANNEL, vec![n as u8; *size], now));
        assert_eq!(sent, Some(Ok(())));
    }
    world.run_for(secs(1));
    let received = world.hosts[1]
        .events
        .iter()
        .filter(|event| matches!(event, Event::Message { .. }));
    let message = |(n, size): (usize, &usize)| Event::Message {
        peer: from,
        channel: CHANNEL,
        bytes: vec![n as u8; *size],
    };
    let expected: Vec<Event> = sizes.iter().enumerate().map(message).collect();
    assert!(received.eq(&expected));
}

#[test]
fn a_message_that_cannot_be_sent_is_refused() {
    let mut world = full_mesh(17, 2);
    let (stranger, to) = (World::new(99, 1).hosts[0].name, world.hosts[1].name);
    let too_long = vec![0; gossip::MAX_CHANNEL_BYTES + 1];
    let len = too_long.len();
    assert_eq!(
        world.with(0, |mesh, now| mesh.send(to, CHANNEL, too_long, now)),
        Some(Err(SendError::TooLong(len)))
    );
    assert_eq!(
        world.with(0, |mesh, now| mesh.send(stranger, CHANNEL, vec![], now)),
        Some(Err(SendError::NotConnected(stranger)))
    );
}
