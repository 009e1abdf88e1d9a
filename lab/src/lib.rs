//! Hosts as namespaces, scenarios, and the judges of what they saw
