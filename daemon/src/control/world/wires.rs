//! What can be cut, and the streams of TCP.

use gossip::ConnId;

/// A way between two hosts
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    Tcp,
    Vxlan,
    Sleeve,
    All,
}

/// Every TCP connection that there ever was
#[derive(Default)]
pub(super) struct Streams(Vec<Stream>);

struct Stream {
    ends: [End; 2],
}

struct End {
    host: usize,
    /// None once this end is closed
    conn: Option<ConnId>,
    /// On the way to this end
    bytes: Vec<u8>,
    /// The other end has closed
    eof: bool,
}

impl Streams {
    pub(super) fn open(&mut self, ends: [(usize, Option<ConnId>); 2]) -> usize {
        let ends = ends.map(|(host, conn)| End {
            host,
            conn,
            bytes: Vec::new(),
            eof: false,
        });
        self.0.push(Stream { ends });
        self.0.len() - 1
    }

    /// A port that no stream has had
    pub(super) fn next_port(&self) -> u16 {
        40_000 + self.0.len() as u16
    }

    pub(super) fn of(&self, host: usize, conn: ConnId) -> Option<usize> {
        self.0.iter().position(|stream| {
            let is = |end: &End| end.host == host && end.conn == Some(conn);
            stream.ends.iter().any(is)
        })
    }

    pub(super) fn write(&mut self, host: usize, conn: ConnId, bytes: &[u8]) -> Option<usize> {
        let stream = self.of(host, conn)?;
        let other = self.end(stream, self.other(stream, host));
        other.bytes.extend_from_slice(bytes);
        Some(stream)
    }

    pub(super) fn close(&mut self, stream: usize, host: usize) {
        self.end(stream, host).conn = None;
        let other = self.other(stream, host);
        self.end(stream, other).eof = true;
    }

    /// Closes every stream of a host that has ended; which they were
    pub(super) fn close_all_of(&mut self, host: usize) -> Vec<usize> {
        let is_open = |end: &End| end.host == host && end.conn.is_some();
        let open = (0..self.0.len()).filter(|stream| self.0[*stream].ends.iter().any(is_open));
        let open: Vec<usize> = open.collect();
        for stream in &open {
            self.close(*stream, host);
        }
        open
    }

    /// A host without power closes nothing
    pub(super) fn forget_all_of(&mut self, host: usize) {
        for end in self.0.iter_mut().flat_map(|stream| &mut stream.ends) {
            if end.host == host {
                end.conn = None;
            }
        }
    }

    /// What has come for a host's end of a stream, and whether that was all
    pub(super) fn take(&mut self, stream: usize, host: usize) -> (Option<ConnId>, Vec<u8>, bool) {
        let end = self.end(stream, host);
        let (conn, bytes) = (end.conn, std::mem::take(&mut end.bytes));
        if end.eof {
            end.conn = None;
        }
        (conn, bytes, end.eof)
    }

    pub(super) fn other(&self, stream: usize, host: usize) -> usize {
        let [one, two] = &self.0[stream].ends;
        if one.host == host { two.host } else { one.host }
    }

    fn end(&mut self, stream: usize, host: usize) -> &mut End {
        let [one, two] = &mut self.0[stream].ends;
        if one.host == host { one } else { two }
    }
}
