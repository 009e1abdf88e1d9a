//! Kernel network devices: bridge, veth, TAP, namespaces, addresses, routes
