//! Network namespaces: how one is named, opened, told apart and worked in.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use nix::sys::statfs::{FsType, fstatfs};

use crate::{Links, OpenError, ioctl};

/// How a network namespace is named
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NetnsRef {
    /// A file of the namespace: `/run/netns/blue`, `/proc/1234/ns/net`, a container runtime's sandbox key
    Path(PathBuf),
    /// That of a process of this host
    Pid(u32),
    /// A name given with `ip netns add`
    Name(String),
}

impl NetnsRef {
    /// The file that stands for the namespace
    pub fn path(&self) -> Result<PathBuf, NetnsError> {
        match self {
            Self::Path(path) => Ok(path.clone()),
            Self::Pid(pid) => Ok(PathBuf::from(format!("/proc/{pid}/ns/net"))),
            Self::Name(name)
                if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) =>
            {
                Err(NetnsError::BadName(name.clone()))
            }
            Self::Name(name) => Ok(Path::new(IP_NETNS_DIR).join(name)),
        }
    }

    /// Opens whichever namespace this names
    pub fn open(&self) -> Result<Netns, NetnsError> {
        let file = File::open(self.path()?).map_err(|error| self.missing_or(error))?;
        self.check(file)
    }

    /// Opens the namespace of a container: refuses `host`, the one that the container would be
    /// attached to
    pub fn open_container(&self, host: NetnsId) -> Result<Netns, NetnsError> {
        let netns = self.open()?;
        if netns.id == host {
            return Err(NetnsError::Host(self.clone()));
        }
        Ok(netns)
    }

    fn missing_or(&self, error: io::Error) -> NetnsError {
        let absent = matches!(
            error.raw_os_error().map(Errno::from_raw),
            Some(Errno::ENOENT | Errno::ESRCH | Errno::ENOTDIR)
        );
        match self {
            Self::Pid(pid) if absent => NetnsError::NoProcess(*pid),
            Self::Path(_) | Self::Name(_) if absent => NetnsError::Gone(self.clone()),
            Self::Pid(_) | Self::Path(_) | Self::Name(_) => NetnsError::Open {
                netns: self.clone(),
                source: error,
            },
        }
    }

    fn check(&self, file: File) -> Result<Netns, NetnsError> {
        let open_error = |source| NetnsError::Open {
            netns: self.clone(),
            source,
        };
        let kind = fstatfs(&file)
            .map_err(|errno| open_error(errno.into()))?
            .filesystem_type();
        if kind != NSFS_MAGIC || ioctl::namespace_type(file.as_fd()) != Ok(libc::CLONE_NEWNET) {
            return Err(NetnsError::NotANetworkNamespace(self.clone()));
        }
        let meta = file.metadata().map_err(open_error)?;
        let id = NetnsId {
            device: meta.dev(),
            inode: meta.ino(),
        };
        Ok(Netns { file, id })
    }
}

impl fmt::Display for NetnsRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Pid(pid) => write!(f, "process {pid}"),
            Self::Name(name) => write!(f, "netns {name}"),
        }
    }
}

/// Which namespace it is: two names with the same id name the same one
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetnsId {
    device: u64,
    inode: u64,
}

impl NetnsId {
    /// The inode number, as `ls -L -i /proc/PID/ns/net` and `lsns` print it
    pub const fn inode(self) -> u64 {
        self.inode
    }
}

/// An open network namespace; it lives at least as long as this
#[derive(Debug)]
pub struct Netns {
    file: File,
    id: NetnsId,
}

impl Netns {
    /// The namespace that the calling thread is in
    pub fn current() -> Result<Self, NetnsError> {
        NetnsRef::Path(PathBuf::from(THREAD_NETNS)).open()
    }

    /// Which namespace it is
    pub const fn id(&self) -> NetnsId {
        self.id
    }

    /// A second handle on the same namespace
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            file: self.file.try_clone()?,
            id: self.id,
        })
    }

    /// Runs `job` on a thread of its own inside the namespace and waits for it
    ///
    /// Sockets opened there stay in the namespace. Tokio's context is that of the caller, so that
    /// sockets and tasks made by `job` belong to the caller's runtime. Dropping the future does not
    /// stop the job.
    pub async fn run<T, F>(&self, job: F) -> Result<T, EnterError>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let file = self.file.try_clone().map_err(EnterError::Thread)?;
        let runtime = tokio::runtime::Handle::try_current().ok();
        let (reply, answer) = tokio::sync::oneshot::channel();
        std::thread::Builder::new()
            .name("netns".to_owned())
            .spawn(move || {
                let _context = runtime.as_ref().map(tokio::runtime::Handle::enter);
                let result = match setns(&file, CloneFlags::CLONE_NEWNET) {
                    Ok(()) => Ok(job()),
                    Err(errno) => Err(EnterError::Setns(errno)),
                };
                // The caller may have been dropped; then nobody wants the result.
                let _ = reply.send(result);
            })
            .map_err(EnterError::Thread)?;
        answer.await.map_err(|_dropped| EnterError::Panicked)?
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Runs an asynchronous job inside a namespace, on a thread and a runtime of its own
///
/// The thread ends with the job, and with it whatever the job spawned. For a few netlink requests
/// [`Links::open_in`] is cheaper; for something that blocks, [`Netns::run`].
pub async fn in_netns<T, F, Fut>(netns: &Netns, job: F) -> Result<T, EnterError>
where
    F: FnOnce(Links) -> Fut + Send + 'static,
    Fut: Future<Output = T>,
    T: Send + 'static,
{
    let file = netns.file.try_clone().map_err(EnterError::Thread)?;
    let (reply, answer) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("netns".to_owned())
        .spawn(move || {
            let work = || {
                setns(&file, CloneFlags::CLONE_NEWNET).map_err(EnterError::Setns)?;
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .map_err(EnterError::Thread)?;
                runtime.block_on(async {
                    let links = Links::open().map_err(|error| EnterError::Links(Box::new(error)))?;
                    Ok(job(links).await)
                })
            };
            // The caller may have been dropped; then nobody wants the result.
            let _ = reply.send(work());
        })
        .map_err(EnterError::Thread)?;
    answer.await.map_err(|_dropped| EnterError::Panicked)?
}

/// A network namespace could not be opened; nothing was changed
#[derive(Debug, thiserror::Error)]
pub enum NetnsError {
    /// There is no such process, or it has exited: the container died
    #[error("there is no process {0}")]
    NoProcess(u32),
    /// There is no such file or name: the namespace is gone, or never was
    #[error("there is no network namespace at {0}")]
    Gone(NetnsRef),
    /// The file is something else: a regular file left behind by `ip netns`, another kind of namespace
    #[error("{0} is not a network namespace")]
    NotANetworkNamespace(NetnsRef),
    /// It is the host's own namespace: a container that shares it cannot be attached
    #[error("{0} is in the host's own network namespace")]
    Host(NetnsRef),
    /// `ip netns` would not take this name
    #[error("{0:?} cannot be the name of a network namespace")]
    BadName(String),
    /// The kernel, for another reason: permissions, most likely
    #[error("cannot open the network namespace {netns}")]
    Open {
        /// Which one
        netns: NetnsRef,
        /// What the kernel said
        #[source]
        source: io::Error,
    },
}

/// No thread could work in the namespace
#[derive(Debug, thiserror::Error)]
pub enum EnterError {
    /// No thread, file descriptor or runtime: this process is at a limit. Nothing was done.
    #[error("cannot start a thread for the network namespace")]
    Thread(#[source] io::Error),
    /// The kernel refused the namespace: `CAP_SYS_ADMIN` is missing. Nothing was done.
    #[error("cannot enter the network namespace")]
    Setns(#[source] Errno),
    /// No netlink socket inside; nothing was done
    #[error("cannot open a netlink socket in the network namespace")]
    Links(#[source] Box<OpenError>),
    /// The job did not end normally; it is unknown how far it came
    #[error("the job in the network namespace panicked")]
    Panicked,
}

/// `thread-self`, not `self`: a thread may be in another namespace than the process's first one
const THREAD_NETNS: &str = "/proc/thread-self/ns/net";
const IP_NETNS_DIR: &str = "/run/netns";
const NSFS_MAGIC: FsType = FsType(0x6e73_6673);

#[cfg(test)]
mod tests;
