//! The one way to standard output, and that of warnings to standard error.

use std::fmt::Display;
use std::io::{self, Write};

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::cli::Format;
use crate::exit::clean;

/// Prints an answer as JSON, or as the text that `as_text` makes of it
pub(crate) fn answer<'a, Answer, Text>(
    answer: &'a Answer,
    format: Format,
    as_text: impl FnOnce(&'a Answer) -> Text,
) -> Result<()>
where
    Answer: Serialize,
    Text: Display,
{
    match format {
        Format::Text => text(&as_text(answer)),
        Format::Json => {
            let json = serde_json::to_string_pretty(answer).context("cannot write JSON")?;
            text(&format_args!("{json}\n"))
        }
    }
}

/// Prints text as it is
///
/// That the reader went away is no failure: `weavectl report | head` has shown what was asked for.
pub(crate) fn text(text: &(impl Display + ?Sized)) -> Result<()> {
    write(&text.to_string(), io::stdout().lock()).context("cannot write to standard output")
}

/// Tells what did not work beside what was asked for
pub(crate) fn warning(text: &str) {
    // With standard error gone there is nobody left to tell.
    let _nobody = writeln!(io::stderr(), "weavectl: warning: {}", clean(text));
}

fn write(text: &str, mut to: impl Write) -> io::Result<()> {
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Failing(io::ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(self.0.into())
        }
    }

    #[test]
    fn only_a_reader_that_went_away_is_no_failure() {
        assert!(write("x", Failing(io::ErrorKind::BrokenPipe)).is_ok());
        assert!(write("x", Failing(io::ErrorKind::StorageFull)).is_err());
    }
}
