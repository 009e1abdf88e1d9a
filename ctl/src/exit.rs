//! What a failure looks like from outside.

use std::io::Write as _;
use std::process::ExitCode;

use api::{ClientError, ErrorKind};

/// 4 where what was named does not exist, else 1
pub(crate) fn code(error: &anyhow::Error) -> ExitCode {
    if is_not_found(error) {
        ExitCode::from(4)
    } else {
        ExitCode::FAILURE
    }
}

fn is_not_found(error: &anyhow::Error) -> bool {
    if error.is::<NotFound>() {
        return true;
    }
    match error.downcast_ref::<ClientError>() {
        Some(ClientError::Refused(refusal)) => refusal.kind == ErrorKind::NotFound,
        Some(ClientError::Status { status, .. }) => status.as_u16() == 404,
        Some(_) | None => false,
    }
}

/// A command line that clap does not take, told in one line; or the help that was asked for
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind as Kind;

    let asked = matches!(error.kind(), Kind::DisplayHelp | Kind::DisplayVersion);
    if asked || error.kind() == Kind::DisplayHelpOnMissingArgumentOrSubcommand {
        let _nobody = error.print();
    } else {
        let line = usage_line(&error.to_string());
        let _nobody = writeln!(std::io::stderr(), "weavectl: {line}");
    }
    ExitCode::from(if asked { 0 } else { 2 })
}

/// What clap says is wrong, without its tips
fn usage_line(text: &str) -> String {
    let about: Vec<&str> = text
        .lines()
        .take_while(|line| !line.trim().is_empty())
        .map(str::trim)
        .collect();
    let about = about.join(" ");
    format!("{} (see --help)", clean(about.trim_start_matches("error: ")))
}

/// The whole chain of causes in one line without control characters
///
/// A part that its forerunner already says is left out.
pub(crate) fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(|cause| clean(&cause.to_string())) {
        if line.is_empty() {
            line = cause;
        } else if !line.contains(&cause) {
            line.push_str(": ");
            line.push_str(&cause);
        }
    }
    line
}

/// The text with a space for each control character, so that no other host writes to this terminal
pub(crate) fn clean(text: &str) -> String {
    text.trim().replace(char::is_control, " ")
}

/// What was named does not exist
#[derive(Debug)]
pub(crate) struct NotFound(pub(crate) String);

impl std::fmt::Display for NotFound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotFound {}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;
    use api::ApiError;

    use super::*;

    #[test]
    fn a_wrong_command_line_is_told_in_one_line() {
        let text = "error: the following required arguments were not provided:\n  <PEER>...\n\nUsage: x\n";
        let line = "the following required arguments were not provided: <PEER>... (see --help)";
        assert_eq!(usage_line(text), line);
    }

    fn refusal(kind: ErrorKind) -> anyhow::Error {
        ClientError::Refused(ApiError::new(kind, "no")).into()
    }

    #[test]
    fn only_what_does_not_exist_has_a_code_of_its_own() {
        assert!(is_not_found(&refusal(ErrorKind::NotFound)));
        assert!(is_not_found(&NotFound("no such container".to_owned()).into()));
        for kind in [
            ErrorKind::BadInput,
            ErrorKind::Conflict,
            ErrorKind::NotReady,
            ErrorKind::Internal,
        ] {
            assert!(!is_not_found(&refusal(kind)));
        }
        assert!(!is_not_found(&anyhow::anyhow!("other")));
    }

    #[test]
    fn a_chain_is_one_clean_line() {
        let error = std::io::Error::other("deep\n\x1b[31mred");
        let error = Err::<(), _>(error).context("shallow").unwrap_err();
        assert_eq!(one_line(&error), "shallow: deep  [31mred");
        let said = Err::<(), _>(std::io::Error::other("deep"))
            .context("it is deep")
            .unwrap_err();
        assert_eq!(one_line(&said), "it is deep");
    }
}
