//! A unix socket that others connect to, and its file.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{UnixListener, UnixSocket, UnixStream};

use crate::own_file::OwnFile;

/// A program that answers this slowly is not one to wait for.
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);

/// Until somebody gives back what accepting a connection lacked, descriptors mostly
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// Of the file: its owner and group connect, nobody else
const MODE: u32 = 0o660;

/// Connections that the kernel keeps for us to accept
const BACKLOG: u32 = 1024;

/// A bound socket; its file goes away with it
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    file: OwnFile,
}

impl Socket {
    /// Binds the socket, mode 0660, taking the place of one that nobody answers on
    pub async fn bind(path: &Path) -> Result<Self, BindError> {
        let error = |source| BindError::Socket {
            path: path.to_owned(),
            source,
        };
        if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true).mode(0o755).create(dir).map_err(error)?;
        }
        match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.file_type().is_socket() => {
                if let Ok(Ok(_stream)) = tokio::time::timeout(PROBE_TIMEOUT, UnixStream::connect(path)).await
                {
                    return Err(BindError::InUse {
                        path: path.to_owned(),
                    });
                }
                fs::remove_file(path).map_err(error)?;
            }
            Ok(_other) => {
                return Err(BindError::NotASocket {
                    path: path.to_owned(),
                });
            }
            Err(_absent) => {}
        }
        let socket = bound(path).map_err(error)?;
        let file = OwnFile::at(path);
        // The mask of this process may have taken bits from the mode; none is ever to be taken back.
        fs::set_permissions(path, fs::Permissions::from_mode(MODE)).map_err(error)?;
        let listener = socket.listen(BACKLOG).map_err(error)?;
        Ok(Self { listener, file })
    }

    /// Gives the socket to the owner and the group of another file, as far as this process may
    pub fn owned_like(self, other: &Path) -> Self {
        let path = self.path();
        let given = fs::metadata(other).and_then(|theirs| {
            let ours = fs::symlink_metadata(path)?;
            if (ours.uid(), ours.gid()) == (theirs.uid(), theirs.gid()) {
                return Ok(());
            }
            std::os::unix::fs::lchown(path, Some(theirs.uid()), Some(theirs.gid()))
        });
        if let Err(error) = given {
            log::info!(
                "{} does not get the owner and group of {}: {error}",
                path.display(),
                other.display()
            );
        }
        self
    }

    /// Where it is
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// The next who connects
    ///
    /// Cancel-safe: nobody is lost who was not returned.
    pub async fn accept(&self) -> UnixStream {
        loop {
            match self.listener.accept().await {
                Ok((stream, _unnamed)) => return stream,
                Err(error) => {
                    log::warn!("cannot accept at {}: {error}", self.path().display());
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// A socket whose file nobody could ever open who may not
///
/// Linux gives the file that `bind` makes the mode of the socket itself, less the umask.
fn bound(path: &Path) -> io::Result<UnixSocket> {
    let socket = UnixSocket::new_stream()?;
    let descriptor = File::from(socket.as_fd().try_clone_to_owned()?);
    descriptor.set_permissions(fs::Permissions::from_mode(MODE))?;
    socket.bind(path)?;
    Ok(socket)
}

/// A socket could not be bound; nothing was changed
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another answers there
    #[error("another program answers on {}; stop it, or give this one another path", path.display())]
    InUse {
        /// The socket
        path: PathBuf,
    },
    /// Something that is not a socket is in the way
    #[error("{} is in the way of a socket; move it or give another path", path.display())]
    NotASocket {
        /// The file
        path: PathBuf,
    },
    /// The kernel refused
    #[error("cannot make the socket {}", path.display())]
    Socket {
        /// The socket
        path: PathBuf,
        /// What the kernel said
        #[source]
        source: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use nix::sys::stat::{Mode, umask};

    use super::*;

    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("api-{}-{name}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _left_behind = fs::remove_dir_all(&self.0);
        }
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_one_that_answers_is_not() {
        let directory = Directory::new("stale");
        let path = directory.path("deep/er/docker.sock");
        let first = Socket::bind(&path).await.unwrap();
        let error = Socket::bind(&path).await.unwrap_err().to_string();
        assert!(error.starts_with("another program answers on"), "{error}");
        drop(first);
        assert!(!path.exists());
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let second = Socket::bind(&path).await.unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        drop(second);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn the_file_of_a_socket_is_made_with_its_mode() {
        let directory = Directory::new("mode");
        let before = umask(Mode::empty());
        let made = bound(&directory.path("made")).map(|_socket| ());
        umask(Mode::from_bits_truncate(0o077));
        let served = Socket::bind(&directory.path("served")).await;
        umask(before);
        made.unwrap();
        let _served = served.unwrap();
        for name in ["made", "served"] {
            let mode = fs::metadata(directory.path(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o660, "{name}");
        }
    }

    #[tokio::test]
    async fn what_is_no_socket_stays() {
        let directory = Directory::new("file");
        let path = directory.path("file");
        fs::write(&path, "kept").unwrap();
        assert!(matches!(
            Socket::bind(&path).await,
            Err(BindError::NotASocket { .. })
        ));
        assert_eq!(fs::read_to_string(&path).unwrap(), "kept");
    }

    #[tokio::test]
    async fn a_file_that_took_the_place_stays() {
        let directory = Directory::new("place");
        let path = directory.path("docker.sock");
        let socket = Socket::bind(&path).await.unwrap();
        fs::rename(&path, directory.path("elsewhere")).unwrap();
        fs::write(&path, "another's").unwrap();
        drop(socket);
        assert!(path.exists());
    }
}
