//! Where the network's password comes from.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::Args;

/// The network's password: `--password-file`, else `WEAVE_PASSWORD`, else systemd's credential
///
/// An empty variable counts as none, so that unit files can name it always.
pub(crate) fn password(args: &Args) -> Result<Option<Zeroizing<String>>, PasswordError> {
    let credential = || {
        let path = PathBuf::from(std::env::var_os("CREDENTIALS_DIRECTORY")?).join(CREDENTIAL);
        path.exists().then_some(path)
    };
    let path = match &args.password_file {
        Some(path) => path.clone(),
        None => match (from_variable(crate::secret::variable())?, credential()) {
            (Some(password), _) => return Ok(Some(password)),
            (None, Some(path)) => path,
            (None, None) => return Ok(None),
        },
    };
    let text = std::fs::read_to_string(&path).map_err(|source| PasswordError::File {
        path: path.clone(),
        source,
    })?;
    match checked(Zeroizing::new(text))? {
        Some(password) => Ok(Some(password)),
        None => Err(PasswordError::EmptyFile { path }),
    }
}

fn from_variable(variable: Option<OsString>) -> Result<Option<Zeroizing<String>>, PasswordError> {
    let text = variable.unwrap_or_default().into_string();
    checked(Zeroizing::new(text.map_err(|_bytes| PasswordError::NotText)?))
}

/// Without the end of its line; none if nothing is left
fn checked(text: Zeroizing<String>) -> Result<Option<Zeroizing<String>>, PasswordError> {
    let text = Zeroizing::new(text.trim_end_matches(['\n', '\r']).to_owned());
    if text.len() > PASSWORD_LIMIT {
        return Err(PasswordError::TooLong);
    }
    Ok((!text.is_empty()).then_some(text))
}

/// There is a password, and it cannot be used: nothing starts without it
#[derive(Debug, thiserror::Error)]
pub(crate) enum PasswordError {
    /// The file cannot be read, or is no text
    #[error("cannot read the password file {}", path.display())]
    File {
        /// The file
        path: PathBuf,
        /// What the kernel said
        #[source]
        source: io::Error,
    },
    /// A file is named for a password to be in it
    #[error("the password file {} is empty", path.display())]
    EmptyFile {
        /// The file
        path: PathBuf,
    },
    /// The variable has bytes that are no text
    #[error("WEAVE_PASSWORD is not UTF-8 text")]
    NotText,
    /// No hand typed this
    #[error("the password is longer than {PASSWORD_LIMIT} bytes")]
    TooLong,
}

const PASSWORD_LIMIT: usize = 1024;

/// The name of the password among the credentials of the unit (`LoadCredential=weave-password:FILE`)
const CREDENTIAL: &str = "weave-password";

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use clap::Parser as _;

    use super::*;
    use crate::testing::TempDir;

    #[test]
    fn a_password_file_has_the_password_or_nothing_starts() {
        let dir = TempDir::new("password");
        let path = dir.path().join("password");
        let read = || {
            let flags = ["weaved", "--password-file", path.to_str().unwrap()];
            let password = password(&Args::try_parse_from(flags).unwrap());
            let password = password.map(|password| password.map(|text| text.to_string()));
            password.map_err(|error| format!("{:#}", anyhow::Error::from(error)))
        };
        let file = path.display();
        let cannot = format!("cannot read the password file {file}: ");
        assert_eq!(
            read(),
            Err(format!("{cannot}No such file or directory (os error 2)"))
        );
        let empty = Err(format!("the password file {file} is empty"));
        let long = Err("the password is longer than 1024 bytes".to_owned());
        let no_text = Err(format!("{cannot}stream did not contain valid UTF-8"));
        let is = |password: &str| Ok(Some(password.to_owned()));
        for (content, expected) in [
            (&b""[..], empty.clone()),
            (b"\r\n\n", empty),
            (b"secret", is("secret")),
            (b"secret\n", is("secret")),
            (b" two words \r\n", is(" two words ")),
            (&[b'x'; 1024], is(&"x".repeat(1024))),
            (&[b'x'; 1025], long),
            (b"\xff", no_text),
        ] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(read(), expected, "{content:?}");
        }
    }

    #[test]
    fn a_password_variable_may_be_empty_but_not_garbled() {
        let read = |bytes: Option<&[u8]>| {
            let variable = bytes.map(|bytes| OsString::from_vec(bytes.to_vec()));
            let password = from_variable(variable).map_err(|error| error.to_string());
            password.map(|password| password.map(|text| text.to_string()))
        };
        assert_eq!(read(None), Ok(None));
        assert_eq!(read(Some(b"")), Ok(None));
        assert_eq!(read(Some(b"\n")), Ok(None));
        assert_eq!(read(Some(b"secret\n")), Ok(Some("secret".to_owned())));
        let garbled = "WEAVE_PASSWORD is not UTF-8 text".to_owned();
        assert_eq!(read(Some(b"secret\xff")), Err(garbled));
    }
}
