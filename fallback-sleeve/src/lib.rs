//! UDP encapsulation in user space: framing, sealing, path MTU, heartbeats, segmentation
