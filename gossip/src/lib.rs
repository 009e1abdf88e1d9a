//! The mesh: handshake, connections, topology, routes, gossip channels
