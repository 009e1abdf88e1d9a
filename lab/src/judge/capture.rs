//! `tcpdump` and `tshark`: what is on the wire.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

use crate::command::{Background, run_here};
use crate::namespace::Namespace;
use crate::wait::wait_until;

/// How long nothing is written before everything counts as written, where nothing more comes
const QUIET: Duration = Duration::from_millis(200);

static FILES: AtomicU32 = AtomicU32::new(0);

/// A capture under way
#[derive(Debug)]
pub struct Capturing {
    tcpdump: Background,
    file: PathBuf,
}

/// Captures what a device carries and the filter lets through; returns once that has begun
pub fn start(namespace: &Namespace, device: &str, filter: &str, directory: &Path) -> Result<Capturing> {
    begin(namespace, device, &[], filter, directory)
}

/// The same, of what comes in by the device alone
pub fn start_incoming(
    namespace: &Namespace,
    device: &str,
    filter: &str,
    directory: &Path,
) -> Result<Capturing> {
    begin(namespace, device, &["-Q", "in"], filter, directory)
}

fn begin(
    namespace: &Namespace,
    device: &str,
    options: &[&str],
    filter: &str,
    directory: &Path,
) -> Result<Capturing> {
    let file = directory.join(format!("capture-{}.pcap", FILES.fetch_add(1, Ordering::Relaxed)));
    let path = file.to_str().context("a path that is no text")?;
    // -Z root: the file's directory is root's own. --immediate-mode and -U: nothing stays in a buffer.
    let mut line = vec![
        "tcpdump",
        "-i",
        device,
        "-w",
        path,
        "-U",
        "--immediate-mode",
        "-Z",
        "root",
        "-s",
        "0",
        "-B",
        "16384",
    ];
    line.extend(options);
    line.extend(filter.split_whitespace());
    let tcpdump = namespace.start(&line)?;
    wait_until("tcpdump captures", Duration::from_secs(10), || {
        Ok(tcpdump.complained().contains("listening on"))
    })
    .with_context(|| tcpdump.complained())?;
    Ok(Capturing { tcpdump, file })
}

impl Capturing {
    /// The frames that were written by now
    pub fn frames_so_far(&self) -> Result<Vec<Vec<u8>>> {
        frames(&self.file)
    }

    /// Ends it, once everything that came so far is in the file
    pub fn stop(self) -> Result<Capture> {
        // At its end tcpdump leaves unread what the kernel still holds for it, in the order in which it came.
        let until = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        let mut last_growth = (0, Instant::now());
        wait_until("tcpdump has written everything", Duration::from_secs(10), || {
            let bytes = fs::read(&self.file)?;
            if bytes.len() != last_growth.0 {
                last_growth = (bytes.len(), Instant::now());
            }
            let is_later = parse(&bytes)?.last().is_some_and(|record| record.at > until);
            Ok(is_later || last_growth.1.elapsed() > QUIET)
        })?;
        let finished = self.tcpdump.stop(Signal::SIGINT)?;
        ensure!(finished.status.success(), "{finished}");
        Ok(Capture { file: self.file })
    }
}

/// What was captured
#[derive(Debug, Clone)]
pub struct Capture {
    file: PathBuf,
}

impl Capture {
    /// The frames, as on the wire
    pub fn frames(&self) -> Result<Vec<Vec<u8>>> {
        frames(&self.file)
    }

    /// These bytes stand somewhere in one of the frames
    pub fn contains(&self, wanted: &[u8]) -> Result<bool> {
        let found = |frame: &Vec<u8>| frame.windows(wanted.len()).any(|part| part == wanted);
        Ok(self.frames()?.iter().any(found))
    }

    /// `tcpdump`'s words, a line for each frame; UDP payloads are taken for VXLAN
    pub fn as_vxlan(&self) -> Result<Vec<String>> {
        let path = self.file.to_str().context("a path that is no text")?;
        let text = run_here(&["tcpdump", "-nn", "-T", "vxlan", "-r", path])?.ok()?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// `tshark`'s words for these fields, a row for each frame that passes its display filter;
    /// UDP to `vxlan_port` is decoded as VXLAN; its start takes seconds in a guest
    pub fn fields(&self, vxlan_port: u16, filter: &str, names: &[&str]) -> Result<Vec<Vec<String>>> {
        let path = self.file.to_str().context("a path that is no text")?;
        let decode = format!("udp.port=={vxlan_port},vxlan");
        let mut line = vec![
            "tshark",
            "-n",
            "-r",
            path,
            "-d",
            &decode,
            "-T",
            "fields",
            "-E",
            "separator=|",
        ];
        if !filter.is_empty() {
            line.extend(["-Y", filter]);
        }
        line.extend(names.iter().flat_map(|name| ["-e", name]));
        let text = run_here(&line)?.ok()?;
        Ok(text
            .lines()
            .map(|row| row.split('|').map(str::to_owned).collect())
            .collect())
    }
}

/// A frame, and when the kernel had it, since 1970
#[derive(Debug, PartialEq, Eq)]
struct Record {
    at: Duration,
    frame: Vec<u8>,
}

fn frames(file: &Path) -> Result<Vec<Vec<u8>>> {
    let read = || parse(&fs::read(file)?);
    let records = read().with_context(|| format!("cannot read {}", file.display()))?;
    Ok(records.into_iter().map(|record| record.frame).collect())
}

/// What is in a pcap file: a header of 24 bytes, then 16 bytes before each frame, with its time in
/// microseconds and its length
///
/// A frame that tcpdump was still writing is left out.
fn parse(bytes: &[u8]) -> Result<Vec<Record>> {
    ensure!(
        bytes.starts_with(&[0xd4, 0xc3, 0xb2, 0xa1]),
        "not a little-endian pcap file"
    );
    let mut rest = bytes.get(24..).context("no header")?;
    let mut records = Vec::new();
    while let Some((head, tail)) = rest.split_first_chunk::<16>() {
        let word = |index: usize| {
            let bytes = head.as_chunks().0.get(index).copied();
            u32::from_le_bytes(bytes.unwrap_or_default())
        };
        let Some((frame, next)) = tail.split_at_checked(word(2) as usize) else {
            break;
        };
        records.push(Record {
            at: Duration::from_secs(word(0).into()) + Duration::from_micros(word(1).into()),
            frame: frame.to_vec(),
        });
        rest = next;
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_frames_are_read_and_a_cut_one_is_left_out() {
        let mut file = vec![0; 24];
        file[..4].copy_from_slice(&[0xd4, 0xc3, 0xb2, 0xa1]);
        for frame in [&b"abc"[..], b"defg"] {
            file.extend([1, 0, 0, 0, 2, 0, 0, 0]);
            file.extend((frame.len() as u32).to_le_bytes());
            file.extend((frame.len() as u32).to_le_bytes());
            file.extend(frame);
        }
        let record = |frame: &[u8]| Record {
            at: Duration::from_micros(1_000_002),
            frame: frame.to_vec(),
        };
        assert_eq!(parse(&file).unwrap(), [record(b"abc"), record(b"defg")]);
        assert_eq!(parse(&file[..file.len() - 1]).unwrap(), [record(b"abc")]);
        assert!(parse(b"pcapng").is_err());
    }
}
