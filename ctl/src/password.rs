//! `genkey` and `password`: making and replacing the network's password.

use std::fs;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use api::{PasswordRequest, PasswordState, routes};

use crate::cli::{PasswordAddArgs, PasswordCommand};
use crate::daemon::Daemon;
use crate::print;

/// Letters and digits that are not taken for each other: 5 bits each
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// Groups of four characters: 140 bits
const GROUPS: usize = 7;
const LIMIT: usize = 1024;

/// Prints a password that nobody can guess
pub(crate) fn genkey() -> Result<()> {
    let mut random = [0; GROUPS * 4];
    let source = fs::File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut random));
    source.context("the kernel gives no randomness: cannot read /dev/urandom")?;
    print::text(&format_args!("{}\n", key(&random)))
}

fn key(random: &[u8; GROUPS * 4]) -> String {
    let letter = |byte: &u8| char::from(ALPHABET.get(usize::from(byte % 32)).copied().unwrap_or(b'a'));
    let groups: Vec<String> = random
        .chunks(4)
        .map(|group| group.iter().map(letter).collect())
        .collect();
    groups.join("-")
}

pub(crate) fn password(command: &PasswordCommand, daemon: &Daemon) -> Result<()> {
    let (request, advice) = match command {
        PasswordCommand::Add(args) => (
            PasswordRequest::Add {
                password: read(args)?,
            },
            "both passwords are accepted here; once every host has the new one: weavectl password promote",
        ),
        PasswordCommand::Promote => (
            PasswordRequest::Promote,
            "the new password is used here, both are accepted; put the new one where weaved is started from \
             (WEAVE_PASSWORD, --password-file); once every host has promoted it: weavectl password drop",
        ),
        PasswordCommand::Drop => (
            PasswordRequest::Drop,
            "the old password is accepted here no longer",
        ),
    };
    let state = daemon.send(&routes::PASSWORD, &request)?;
    debug_assert!(state != PasswordState::Open);
    print::text(&format_args!("{advice}\n"))
}

/// The new password: from a file, or from standard input
fn read(args: &PasswordAddArgs) -> Result<String> {
    let text = match &args.file {
        Some(path) => from_file(path)?,
        None => from_input()?,
    };
    let text = text.trim_end_matches(['\n', '\r']);
    ensure!(!text.is_empty(), "the new password is empty");
    ensure!(
        text.len() <= LIMIT,
        "the new password is longer than {LIMIT} bytes"
    );
    ensure!(
        !text.contains(char::is_control),
        "the new password contains a control character"
    );
    Ok(text.to_owned())
}

fn from_file(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read the new password from {}", path.display()))
}

fn from_input() -> Result<String> {
    if io::stdin().is_terminal() {
        let _best_effort = write!(io::stderr(), "new password (shown as it is typed): ");
    }
    let mut text = String::new();
    let read = io::stdin().read_line(&mut text);
    read.context("cannot read the new password from standard input")?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_groups_of_letters_that_are_told_apart() {
        let key = key(&std::array::from_fn(|at| at as u8 * 9));
        assert_eq!(key.len(), GROUPS * 5 - 1);
        assert!(key.split('-').all(|group| group.len() == 4));
        assert!(!key.contains(['l', 'o', '0', '1']));
    }
}
