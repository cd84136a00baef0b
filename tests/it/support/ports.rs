//! TCP ports on loopback that stay the same while nobody listens on them.
//!
//! They are below the ephemeral range: a client that reconnects to a free ephemeral port can be given
//! that very port as its own and be connected to itself.

use std::net::{Ipv4Addr, TcpListener};

/// `N` adjacent ports, ours as long as this lives.
pub struct Ports<const N: u16> {
    first: u16,
    /// Held on the port before the first: two test processes never get the same block.
    _claim: TcpListener,
}

impl<const N: u16> Ports<N> {
    /// Finds a free block.
    pub fn reserve() -> Self {
        let found = (0..1000).find_map(|_| {
            let claim = fastrand::u16(15_000..30_000);
            let claimed = listen(claim)?;
            let free = (1..=N).all(|offset| listen(claim + offset).is_some());
            free.then_some(Self {
                first: claim + 1,
                _claim: claimed,
            })
        });
        found.expect("a free block of ports")
    }

    /// The first of the block.
    pub fn first(&self) -> u16 {
        self.first
    }
}

fn listen(port: u16) -> Option<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()
}
