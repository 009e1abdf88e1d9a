//! Reasons why the state cannot be read or written.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use api::StoreReason;

use super::FORMAT;

/// Why the state cannot be used, or why a change is not on disk
///
/// None of them says that nothing was changed: a change that was handed over is in memory, and is written as soon
/// as the disk takes it, unless whoever handed it over hands over its contrary.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum StoreError {
    /// The directory or file cannot be made or opened
    #[error("cannot open the state in {}", path.display())]
    Directory {
        /// What could not be opened
        path: PathBuf,
        /// What the kernel said
        #[source]
        source: Cause,
    },
    /// Another daemon has it open
    #[error("another weaved uses the state in {}; give this one its own --state-dir", path.display())]
    InUse {
        /// The state file, or its directory
        path: PathBuf,
    },
    /// Not a file of ours
    #[error("{} is not a weaved state file; move it away to start afresh", path.display())]
    Foreign {
        /// The file
        path: PathBuf,
    },
    /// Written by another version
    #[error("{} has format {found}, this weaved knows format {FORMAT}; move it away to start afresh", path.display())]
    Format {
        /// The state file
        path: PathBuf,
        /// The format found there
        found: u32,
    },
    /// The file has the state of another run, with another key
    #[error("{} became the state of another peer while this one ran; restart weaved to use it", path.display())]
    Replaced {
        /// The state file
        path: PathBuf,
    },
    /// The disk is full, is read-only, or fails
    #[error("the state file {} cannot be read or written ({})", path.display(), cure(*reason))]
    Disk {
        /// The state file
        path: PathBuf,
        /// What kind of failure it is
        reason: StoreReason,
        /// What the kernel or redb says
        #[source]
        source: Cause,
    },
    /// The disk takes its time
    #[error(
        "the state in {} has not been written for {:.1} s: the disk does not answer",
        path.display(),
        waited.as_secs_f32()
    )]
    Slow {
        /// The state file
        path: PathBuf,
        /// Age of the oldest change that is not on disk
        waited: Duration,
    },
    /// Broken
    #[error("the state file {} cannot be used; move it away to start afresh", path.display())]
    Damaged {
        /// The state file
        path: PathBuf,
        /// What is wrong with it
        #[source]
        source: Cause,
    },
}

/// What an error of the store comes from, as text: one failure is told to everybody who waits
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Cause(String);

impl Cause {
    /// The text of an error
    pub(super) fn of(error: &dyn std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

impl StoreError {
    /// Returns the kind of failure, for programs
    pub(crate) fn reason(&self) -> StoreReason {
        match self {
            Self::Disk { reason, .. } => *reason,
            Self::Slow { .. } => StoreReason::NoAnswer,
            Self::InUse { .. } => StoreReason::InUse,
            Self::Directory { .. } => StoreReason::Failing,
            Self::Foreign { .. } | Self::Format { .. } | Self::Replaced { .. } | Self::Damaged { .. } => {
                StoreReason::Unusable
            }
        }
    }

    /// Whether the disk is at fault, not what is on it: weaved runs without it until it is back
    pub(super) const fn is_of_the_disk(&self) -> bool {
        matches!(self, Self::Disk { .. })
    }
}

/// Returns the kind of failure that an error of the kernel is, if the disk is at fault
pub(super) fn disk_reason(error: &io::Error) -> Option<StoreReason> {
    match error.raw_os_error()? {
        libc::ENOSPC | libc::EDQUOT => Some(StoreReason::Full),
        libc::EROFS => Some(StoreReason::ReadOnly),
        libc::EIO | libc::ESTALE | libc::ENXIO | libc::ETIMEDOUT => Some(StoreReason::Failing),
        _ => None,
    }
}

const fn cure(reason: StoreReason) -> &'static str {
    match reason {
        StoreReason::Full => "free space on its file system, weaved goes on by itself",
        StoreReason::ReadOnly => "mount its file system writable, weaved goes on by itself",
        StoreReason::NoAnswer
        | StoreReason::Failing
        | StoreReason::InUse
        | StoreReason::Unusable
        | StoreReason::Unknown => "the log of the kernel may tell more; weaved tries again by itself",
    }
}
