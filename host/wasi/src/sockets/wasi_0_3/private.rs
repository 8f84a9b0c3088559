//! TCP sockets of WASI 0.3 on the run's private loopback.

use super::connection::Connection;
use super::socket::{Socket, State};
use super::stage::Stage;
use super::{View, code, none_left};
use crate::sockets::private::Queue;
use sockbox_policy::{Limit, Target};
use std::net::SocketAddr;
use std::sync::Arc;
use wasmtime_wasi::p3::bindings::sockets::types::ErrorCode;

type Done = Result<(), ErrorCode>;

/// A function here returns None if the call is not about the private loopback.
impl View<'_> {
    /// Bind the socket with this number, which is new and not bound.
    pub(super) fn bind_privately(
        &mut self,
        rep: u32,
        asked: SocketAddr,
    ) -> wasmtime::Result<Option<Done>> {
        let authority = self.0.ctx.authority.clone();
        match authority.allows_private(Target::Bind(asked)) {
            None => return Ok(None),
            Some(false) => return Ok(Some(Err(ErrorCode::AccessDenied))),
            Some(true) => {}
        }
        let avoided = |address| authority.may_reach_loopback(address);
        let loopback = &mut self.0.ctx.sockets.loopback;
        if let Err(error) = loopback.bind(rep, asked, avoided) {
            return Ok(Some(Err(code(error))));
        }
        let local = loopback.get(rep).map_or(asked, |socket| socket.local);
        let socket = self.socket(rep)?;
        socket.change_new(|options| {
            State::Private(Stage::Bound {
                asked,
                local,
                options,
            })
        });
        Ok(Some(Ok(())))
    }

    /// Make the socket with this number listen, if it is private and bound.
    pub(super) fn listen_privately(
        &mut self,
        rep: u32,
    ) -> wasmtime::Result<Option<Result<Arc<Queue>, ErrorCode>>> {
        let State::Private(Stage::Bound { local, .. }) = self.socket(rep)?.state else {
            return Ok(None);
        };
        let allowed = self.0.ctx.authority.allows_private(Target::Listen(local));
        if allowed != Some(true) {
            return Ok(Some(Err(ErrorCode::AccessDenied)));
        }
        let backlog = self.socket(rep)?.private_backlog();
        let loopback = &mut self.0.ctx.sockets.loopback;
        if let Some(backlog) = backlog {
            loopback.set_backlog(rep, backlog);
        }
        loopback.listen(rep);
        let Some(queue) = loopback.queue(rep) else {
            return Ok(Some(Err(ErrorCode::InvalidState)));
        };
        let socket = self.socket(rep)?;
        socket.change_private(|options| State::Private(Stage::Listening { local, options }));
        Ok(Some(Ok(queue)))
    }

    /// Connect the socket with this number, if the destination is a private listener or the socket is private.
    pub(super) fn connect_privately(
        &mut self,
        rep: u32,
        to: SocketAddr,
    ) -> wasmtime::Result<Option<Done>> {
        let socket = self.socket(rep)?;
        let bound = match &socket.state {
            State::New(_) if socket.as_new().is_some_and(|(_, is_bound)| is_bound) => {
                return Ok(None);
            }
            State::New(_) => None,
            State::Private(Stage::Bound { asked, local, .. }) => Some((*asked, *local)),
            State::Private(Stage::Listening { .. }) => {
                return Ok(Some(Err(ErrorCode::InvalidState)));
            }
            _ => return Ok(None),
        };
        let listens = self.0.ctx.sockets.loopback.listens(to);
        if bound.is_none() && !listens {
            return Ok(None);
        }
        let authority = self.0.ctx.authority.clone();
        if let Some((asked, local)) = bound {
            if to.ip().is_unspecified() || to.port() == 0 || local.is_ipv4() != to.is_ipv4() {
                return Ok(Some(Err(ErrorCode::InvalidArgument)));
            }
            if !listens {
                // A private socket reaches private listeners only. For another destination the component would need a
                // socket that is bound on the machine, so the denial names the bind.
                if authority.allows(Target::Connect(to)) {
                    authority.refuse(Target::Bind(asked));
                }
                return Ok(Some(Err(ErrorCode::AccessDenied)));
            }
        }
        let target = Target::Connect(to);
        if authority.allows_private(target.clone()) != Some(true) {
            return Ok(Some(Err(ErrorCode::AccessDenied)));
        }
        let loopback = &mut self.0.ctx.sockets.loopback;
        let connected = loopback.connect(rep, to).map_err(code);
        match &connected {
            Err(ErrorCode::OutOfMemory) => authority.reached(Limit::Memory, Some(target)),
            _ => authority.has_room(Limit::Memory),
        }
        if let Err(error) = connected {
            return Ok(Some(Err(error)));
        }
        let local = loopback.get(rep).map_or(to, |socket| socket.local);
        let Some(endpoint) = loopback.endpoint(rep) else {
            return Ok(Some(Err(ErrorCode::InvalidState)));
        };
        let socket = self.socket(rep)?;
        let open = socket.open.clone();
        let connect =
            |options| State::connected(Connection::private(endpoint, [local, to], options, open));
        match socket.state {
            State::New(_) => socket.change_new(connect),
            _ => socket.change_private(connect),
        }
        Ok(Some(Ok(())))
    }

    /// Accept a connection that has arrived at a private listener. None: none has.
    pub(super) fn accept_privately(
        &mut self,
        local: SocketAddr,
        queue: &Queue,
    ) -> wasmtime::Result<Option<Socket>> {
        let Some(arrived) = self.0.next_arrived(queue) else {
            return Ok(None);
        };
        let Some(open) = self.0.ctx.sockets.dialer.socket() else {
            queue.put_back(arrived);
            return Ok(None);
        };
        let open = Arc::new(open);
        let family = super::family_of(local);
        let options = match Socket::of_system(family) {
            Ok(options) => options,
            Err(_) => {
                arrived.endpoint.reset();
                return Ok(Some(Socket::failed(family, none_left(), open)));
            }
        };
        let ends = [local, arrived.from];
        let connection = Connection::private(Arc::new(arrived.endpoint), ends, options, open);
        Ok(Some(Socket::connected(family, connection)))
    }
}
