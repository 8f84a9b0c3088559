//! The component's calls on private UDP sockets, of either version of WASI.
//!
//! A function here returns None if the call is not about the private loopback. The caller then uses wasmtime-wasi.

use super::datagrams::{Delivery, Inbox};
use crate::ctx::SockboxCtxView;
use sockbox_policy::{Limit, Target};
use std::net::{IpAddr, SocketAddr};
use wasmtime_wasi::p2::bindings::sockets::network::ErrorCode;

/// The most bytes of a datagram over IPv4, and over IPv6 without jumbograms: what 16 bits can say, without the headers.
const MOST_V4: usize = 65_507;
const MOST_V6: usize = 65_527;

type Done = Result<(), ErrorCode>;

impl SockboxCtxView<'_> {
    /// Bind the socket with this number. `may_be_bound` says whether wasmtime-wasi could bind it to an address of this
    /// family: it is new.
    ///
    /// A socket on the unspecified address and port 0 is private if no rule grants it and the run has a private socket that
    /// it can send to. Programs bind like that before they send.
    pub(in crate::sockets) fn bind_datagrams_privately(
        &mut self,
        rep: u32,
        asked: SocketAddr,
        may_be_bound: bool,
    ) -> Option<Done> {
        let datagrams = &self.ctx.sockets.datagrams;
        if let Some(private) = datagrams.get(rep) {
            return Some(Err(match private.is_binding {
                true => ErrorCode::ConcurrencyConflict,
                false => ErrorCode::InvalidState,
            }));
        }
        let authority = self.ctx.authority.clone();
        let has_peers = || datagrams.has_any(asked.is_ipv4()) && !authority.has_decider();
        if !may_be_bound || asked.ip().is_unspecified() && !has_peers() {
            return None;
        }
        Some(match authority.allows_private(Target::UdpBind(asked))? {
            false => Err(ErrorCode::AccessDenied),
            true => {
                let avoided = |address| authority.may_send_to_loopback(address);
                self.ctx.sockets.datagrams.bind(rep, asked, avoided)
            }
        })
    }

    /// Finish binding the socket with this number.
    pub(in crate::sockets) fn finish_private_datagrams(&mut self, rep: u32) -> Option<Done> {
        let private = self.ctx.sockets.datagrams.get_mut(rep)?;
        Some(match std::mem::take(&mut private.is_binding) {
            true => Ok(()),
            false => Err(ErrorCode::NotInProgress),
        })
    }

    /// Connect the private socket with this number to a peer.
    pub(in crate::sockets) fn connect_datagrams_privately(
        &mut self,
        rep: u32,
        to: SocketAddr,
    ) -> Done {
        self.judge_private_peer(rep, to)?;
        self.ctx.sockets.datagrams.connect(rep, Some(to));
        Ok(())
    }

    /// Send a datagram of the private socket with this number, to its peer if no address is given. A datagram is lost if
    /// its receiver has no room for it, as with UDP.
    pub(in crate::sockets) fn send_privately(
        &mut self,
        rep: u32,
        to: Option<SocketAddr>,
        data: Vec<u8>,
    ) -> Done {
        let connected = self.ctx.sockets.datagrams.get(rep).and_then(|it| it.remote);
        let to = match (to, connected) {
            (Some(to), Some(peer)) if to != peer => return Err(ErrorCode::InvalidArgument),
            (Some(to), _) | (None, Some(to)) => to,
            (None, None) => return Err(ErrorCode::InvalidArgument),
        };
        self.judge_private_peer(rep, to)?;
        let most = match to {
            SocketAddr::V4(_) => MOST_V4,
            SocketAddr::V6(_) => MOST_V6,
        };
        if data.len() > most {
            return Err(ErrorCode::DatagramTooLarge);
        }
        match self.ctx.sockets.datagrams.send(rep, to, data) {
            Delivery::NoMemory => {
                let target = Some(Target::UdpSend(to));
                self.ctx.authority.reached(Limit::Memory, target);
            }
            Delivery::Delivered | Delivery::Lost => self.ctx.authority.has_room(Limit::Memory),
        }
        Ok(())
    }

    /// Whether the private socket with this number may send to `to`: a private socket of the run that no rule denies.
    fn judge_private_peer(&self, rep: u32, to: SocketAddr) -> Done {
        let Some(private) = self.ctx.sockets.datagrams.get(rep) else {
            return Err(ErrorCode::InvalidState);
        };
        let is_mapped = matches!(to.ip(), IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some());
        if to.ip().is_unspecified()
            || to.port() == 0
            || is_mapped
            || private.local.is_ipv4() != to.is_ipv4()
        {
            return Err(ErrorCode::InvalidArgument);
        }
        let authority = &self.ctx.authority;
        if !self.ctx.sockets.datagrams.receives(to) {
            // A private socket sends to private sockets only. For another destination the component would need a socket
            // that is bound on the machine, so the denial names the bind.
            if authority.allows(Target::UdpSend(to)) {
                authority.refuse(Target::UdpBind(private.asked));
            }
            return Err(ErrorCode::AccessDenied);
        }
        match authority.allows_private(Target::UdpSend(to)) {
            Some(true) => Ok(()),
            _ => Err(ErrorCode::AccessDenied),
        }
    }

    /// Take the next datagram that the policy allows to receive. Those before it that the policy denies are dropped.
    pub(in crate::sockets) fn receive_privately(
        &self,
        inbox: &Inbox,
    ) -> Option<(Vec<u8>, SocketAddr)> {
        loop {
            let (data, from) = inbox.pop()?;
            if self.ctx.authority.allows_private(Target::UdpReceive(from)) == Some(true) {
                return Some((data, from));
            }
        }
    }
}
