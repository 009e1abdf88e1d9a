//! Which of several sockets on one port gets a datagram: all of one neighbour's come to the same.
//!
//! The kernel asks a classic BPF program for the number of the socket. The program sees the datagram
//! from its UDP payload on (`reuseport_select_sock`, net/core/sock_reuseport.c), that is from the
//! sleeve's own header. What the kernel has joined (`UDP_GRO`) is of one sender, and so of one slot.

use std::io;
use std::os::fd::AsFd;

use libc::{sock_filter, sock_fprog};
use nix::sys::socket::{setsockopt, sockopt};

/// Where the slot is in a datagram
const SLOT: u32 = 1;

/// Gives every datagram for the port of `socket` to the socket that [`socket_of`] says
///
/// `count` sockets, bound one after another with `SO_REUSEPORT`, are numbered in that order.
pub(super) fn steer(socket: &impl AsFd, count: u16) -> io::Result<()> {
    let step = |code: u32, k: u32| sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    };
    let mut program = [
        // A datagram that ends before this ends the program, too, with 0: the first socket's thread
        // refuses and counts it.
        step(libc::BPF_LD | libc::BPF_H | libc::BPF_ABS, SLOT),
        step(
            libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K,
            u32::from(count.max(1)),
        ),
        step(libc::BPF_RET | libc::BPF_A, 0),
    ];
    let program = sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    Ok(setsockopt(socket, sockopt::AttachReusePortCbpf, &program)?)
}

/// The number, of `count` sockets, of the one that gets the datagrams of a slot
pub(super) fn socket_of(slot: u16, count: usize) -> usize {
    usize::from(slot) % count.max(1)
}

#[cfg(test)]
mod tests;
