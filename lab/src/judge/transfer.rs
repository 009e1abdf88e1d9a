//! Bytes over plain sockets of the kernel, compared by `sha256sum` at the far end; and who hears a
//! broadcast or a multicast, how often.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::sha256sum::Sha256Sum;
use crate::namespace::Namespace;

/// Bytes that no compression and no off-by-one survives
pub fn pattern(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let step = |_index| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..length).map(step).collect()
}

/// Sends bytes by TCP to `address` in the namespace `to`, and compares what arrives
pub fn tcp(
    from: &Namespace,
    to: &Namespace,
    address: Ipv4Addr,
    bytes: &[u8],
    patience: Duration,
) -> Result<Duration> {
    let begun = Instant::now();
    let listener = to.enter(|| Ok(TcpListener::bind((address, 0))?))?;
    let far = listener.local_addr()?;
    let arrived = std::thread::scope(|scope| {
        let receiver = scope.spawn(|| -> Result<Vec<u8>> {
            let mut stream = accept(&listener, patience)?;
            stream.set_read_timeout(Some(patience))?;
            let mut arrived = Vec::with_capacity(bytes.len());
            stream
                .read_to_end(&mut arrived)
                .context("the bytes stopped coming")?;
            Ok(arrived)
        });
        let sent = send(from, far, bytes, patience);
        let arrived = receiver
            .join()
            .map_err(|_panic| anyhow::anyhow!("the receiver panicked"))?;
        sent.and(arrived)
    })?;
    compare(&arrived, bytes)?;
    Ok(begun.elapsed())
}

/// Sends bytes in one UDP datagram to `address` in the namespace `to`, and compares what arrives
pub fn udp(
    from: &Namespace,
    to: &Namespace,
    address: Ipv4Addr,
    bytes: &[u8],
    patience: Duration,
) -> Result<()> {
    let far = to.enter(|| Ok(UdpSocket::bind((address, 0))?))?;
    far.set_read_timeout(Some(patience))?;
    let near = from.enter(|| Ok(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?))?;
    near.send_to(bytes, far.local_addr()?)?;
    let mut buffer = vec![0; usize::from(u16::MAX)];
    let length = far.recv(&mut buffer).context("the datagram did not come")?;
    compare(buffer.get(..length).unwrap_or_default(), bytes)
}

fn compare(arrived: &[u8], sent: &[u8]) -> Result<()> {
    let sums = [sha256sum(arrived)?, sha256sum(sent)?];
    ensure!(
        sums[0] == sums[1],
        "{} bytes arrived of {}, and their sums are {} and {}",
        arrived.len(),
        sent.len(),
        sums[0],
        sums[1]
    );
    Ok(())
}

fn sha256sum(bytes: &[u8]) -> Result<String> {
    let mut program = Sha256Sum::start()?;
    program.take(bytes)?;
    program.finish()
}

fn send(from: &Namespace, far: SocketAddr, bytes: &[u8], patience: Duration) -> Result<()> {
    let mut stream = from.enter(|| Ok(TcpStream::connect_timeout(&far, patience)?))?;
    stream.set_write_timeout(Some(patience))?;
    stream.write_all(bytes).context("the bytes did not go")?;
    stream.shutdown(Shutdown::Write)?;
    Ok(())
}

pub(super) fn accept(listener: &TcpListener, patience: Duration) -> Result<TcpStream> {
    listener.set_nonblocking(true)?;
    let until = Instant::now() + patience;
    loop {
        match listener.accept() {
            Ok((stream, _from)) => {
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock && Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => return Err(error).context("nobody connected"),
        }
    }
}

/// How long what is expected may take
const PATIENCE: Duration = Duration::from_secs(5);

/// A socket in a namespace that hears datagrams to all, or to a group
#[derive(Debug)]
pub struct Ear(UdpSocket);

impl Ear {
    /// Hears datagrams to this port, broadcast ones too
    pub fn open(namespace: &Namespace, port: u16) -> Result<Self> {
        let socket = namespace.enter(|| Ok(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))?))?;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        Ok(Self(socket))
    }

    /// Hears this group, too, by the interface with this address
    pub fn join(self, namespace: &Namespace, group: Ipv4Addr, interface: Ipv4Addr) -> Result<Self> {
        namespace.enter(|| Ok(self.0.join_multicast_v4(&group, &interface)?))?;
        Ok(self)
    }

    /// What was heard: as many as are expected, however long a busy machine takes for them, and then until
    /// nothing more has come for this long
    pub fn heard(&self, expected: usize, quiet: Duration) -> Result<Vec<Vec<u8>>> {
        let mut heard = Vec::new();
        let begun = Instant::now();
        let mut last = begun;
        let mut buffer = [0; 2048];
        while last.elapsed() < quiet || (heard.len() < expected && begun.elapsed() < PATIENCE) {
            match self.0.recv(&mut buffer) {
                Ok(length) => {
                    heard.push(buffer.get(..length).unwrap_or_default().to_vec());
                    last = Instant::now();
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                    ) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(heard)
    }
}

/// Sends datagrams from the interface with this address in a namespace, to all or to a group
pub fn speak(from: &Namespace, interface: Ipv4Addr, to: SocketAddrV4, payloads: &[Vec<u8>]) -> Result<()> {
    let socket = from.enter(|| Ok(UdpSocket::bind((interface, 0))?))?;
    socket.set_broadcast(true)?;
    socket.set_multicast_ttl_v4(4)?;
    for payload in payloads {
        socket.send_to(payload, to)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_compared_by_their_sums() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256sum(b"abc").unwrap(), abc);
        let long = pattern(100_000);
        compare(&long, &long).unwrap();
        let mut other = long.clone();
        other[50_000] ^= 1;
        let error = compare(&other, &long).unwrap_err().to_string();
        assert!(error.starts_with("100000 bytes arrived of 100000, and their sums are"));
        assert!(compare(&long[1..], &long).is_err());
    }
}
