//! What waits to be polled.

use std::collections::VecDeque;

use crate::output::{ConnId, Event, Output};

/// The queue; the driver empties it after every call, so it holds what one call came to
#[derive(Debug, Default)]
pub(crate) struct Outputs(VecDeque<Output>);

impl Outputs {
    pub(crate) fn push(&mut self, output: Output) {
        self.0.push_back(output);
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.push(Output::Event(event));
    }

    /// Bytes that follow each other to one connection are one write
    pub(crate) fn send(&mut self, conn: ConnId, bytes: Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        match self.0.back_mut() {
            Some(Output::Send {
                conn: last,
                bytes: before,
            }) if *last == conn => before.extend(bytes),
            Some(Output::Send { .. } | Output::Dial { .. } | Output::Close { .. } | Output::Event(_))
            | None => {
                self.push(Output::Send { conn, bytes });
            }
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Output> {
        self.0.pop_front()
    }
}
