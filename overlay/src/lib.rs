//! The switch: which frame goes to which peer by which path
