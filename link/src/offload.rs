//! Device offloads, by the ethtool ioctl.

use model::IfName;
use nix::errno::Errno;

/// Makes the kernel fill in checksums before frames reach `device`
///
/// For a device whose frames are read by something that cannot finish checksums. Works in the
/// calling thread's network namespace; see [`Netns::run`](crate::Netns::run) for another one.
pub fn disable_tx_checksum(device: &IfName) -> Result<(), OffloadError> {
    let error = |errno| OffloadError::from_errno(device, errno);
    crate::ioctl::set_tx_checksum(device, false).map_err(error)?;
    // A device may keep a feature without saying so.
    match crate::ioctl::tx_checksum(device).map_err(error)? {
        false => Ok(()),
        true => Err(OffloadError::Fixed(device.clone())),
    }
}

/// The offload is as it was
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OffloadError {
    /// There is no such device in this namespace
    #[error("no device {0}")]
    NoDevice(IfName),
    /// The device does not let go of the offload
    #[error("the transmit checksum offload of {0} cannot be turned off")]
    Fixed(IfName),
    /// The kernel, for another reason: `CAP_NET_ADMIN`, most likely
    #[error("cannot change the transmit checksum offload of {device}")]
    Kernel {
        /// Which one
        device: IfName,
        /// What the kernel said
        #[source]
        errno: Errno,
    },
}

impl OffloadError {
    fn from_errno(device: &IfName, errno: Errno) -> Self {
        let device = device.clone();
        if errno == Errno::ENODEV {
            Self::NoDevice(device)
        } else if errno == Errno::EOPNOTSUPP {
            Self::Fixed(device)
        } else {
            Self::Kernel { device, errno }
        }
    }
}
