//! Which call a path is.

macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident = $path:literal,)*) => {
        /// What Docker asks a driver
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Call {
            $($(#[$doc])* $name,)*
        }

        impl Call {
            /// All of them
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The path that asks it
            pub const fn path(self) -> &'static str {
                match self {
                    $(Self::$name => $path,)*
                }
            }
        }
    };
}

calls! {
    /// What are you?
    Activate = "/Plugin.Activate",
    /// Whom do your networks concern?
    GetCapabilities = "/NetworkDriver.GetCapabilities",
    /// There is a network
    CreateNetwork = "/NetworkDriver.CreateNetwork",
    /// There is that network no more
    DeleteNetwork = "/NetworkDriver.DeleteNetwork",
    /// Only of swarms: a network for all hosts
    AllocateNetwork = "/NetworkDriver.AllocateNetwork",
    /// Only of swarms: that network is no more
    FreeNetwork = "/NetworkDriver.FreeNetwork",
    /// A container is to have an interface
    CreateEndpoint = "/NetworkDriver.CreateEndpoint",
    /// It has it no more
    DeleteEndpoint = "/NetworkDriver.DeleteEndpoint",
    /// What is there to say of it?
    EndpointOperInfo = "/NetworkDriver.EndpointOperInfo",
    /// Which interface is to be moved into the container?
    Join = "/NetworkDriver.Join",
    /// The container ends
    Leave = "/NetworkDriver.Leave",
    /// Another host was found
    DiscoverNew = "/NetworkDriver.DiscoverNew",
    /// Another host is gone
    DiscoverDelete = "/NetworkDriver.DiscoverDelete",
    /// Ports are published
    ProgramExternalConnectivity = "/NetworkDriver.ProgramExternalConnectivity",
    /// Ports are published no more
    RevokeExternalConnectivity = "/NetworkDriver.RevokeExternalConnectivity",
    /// What has the driver of addresses to know?
    IpamGetCapabilities = "/IpamDriver.GetCapabilities",
    /// What are the spaces of addresses called?
    GetDefaultAddressSpaces = "/IpamDriver.GetDefaultAddressSpaces",
    /// A network is to have a subnet
    RequestPool = "/IpamDriver.RequestPool",
    /// It has it no more
    ReleasePool = "/IpamDriver.ReleasePool",
    /// A container is to have an address
    RequestAddress = "/IpamDriver.RequestAddress",
    /// It has it no more
    ReleaseAddress = "/IpamDriver.ReleaseAddress",
}

impl Call {
    /// The call of a path; nothing if it is none that is known here
    pub fn of(path: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|call| call.path() == path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_has_a_path_of_its_own() {
        for call in Call::ALL {
            assert_eq!(Call::of(call.path()), Some(*call));
        }
        for path in [
            "",
            "/",
            "/NetworkDriver.Join/",
            "/networkdriver.join",
            "/NetworkDriver.GwAllocCheck",
        ] {
            assert_eq!(Call::of(path), None, "{path}");
        }
    }
}
