//! TCP of WASI 0.2: the functions that are replaced.

use super::*;

/// Replace the functions of this module in a linker that already has all of WASI.
pub(crate) fn add_to_linker<T: SockboxView>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    let mut create = linker.instance(TCP_CREATE.name())?;
    create.func_wrap(
        TCP_CREATE.item("create-tcp-socket"),
        |mut store: StoreContextMut<'_, T>, (family,): (IpAddressFamily,)| {
            let mut state = store.data_mut().sockbox();
            Ok((counted(&mut state, |state| {
                state.noted(|sockets| sockets.create_tcp_socket(family))
            })?,))
        },
    )?;

    udp::add_to_linker(linker)?;
    let mut tcp = linker.instance(TCP.name())?;
    options::add_to_linker(&mut tcp)?;
    connecting::add_to_linker(&mut tcp)?;
    add_listening(&mut tcp)?;
    tcp.func_wrap(
        TCP.item("[method]tcp-socket.local-address"),
        |mut store: StoreContextMut<'_, T>, (this,): (Resource<TcpSocket>,)| {
            let mut state = store.data_mut().sockbox();
            let address = match (state.adopted(&this), state.private(&this)) {
                (Some(adopted), _) => Ok(adopted.local_address().into()),
                (None, Some(private)) => Ok(private.local.into()),
                (None, None) => state.local_address(this)?,
            };
            Ok((address,))
        },
    )?;
    tcp.func_wrap(
        TCP.item("[method]tcp-socket.remote-address"),
        |mut store: StoreContextMut<'_, T>, (this,): (Resource<TcpSocket>,)| {
            let mut state = store.data_mut().sockbox();
            let address = match (connection(&state, &this), state.private(&this)) {
                (Some(connection), _) => Ok(connection.remote.into()),
                (None, Some(private)) => private.remote().map(IpSocketAddress::from),
                (None, None) => state.remote_address(this)?,
            };
            Ok((address,))
        },
    )?;
    tcp.func_wrap_async(
        TCP.item("[method]tcp-socket.shutdown"),
        |mut store: StoreContextMut<'_, T>,
         (this, how): (Resource<TcpSocket>, ShutdownType)|
         -> Box<dyn Future<Output = _> + Send + '_> {
            Box::new(async move {
                let mut state = store.data_mut().sockbox();
                // The shutdown follows all written bytes.
                if let Some(unsent) = state.ctx.sockets.unsent.get(&this.rep())
                    && how != ShutdownType::Receive
                {
                    unsent.gone().await;
                }
                let private = state.shut_privately(&this, how.into());
                let done = match (connection(&state, &this), private) {
                    (Some(connection), _) => {
                        connection.shutdown(how.into());
                        Ok(())
                    }
                    (None, Some(done)) => done,
                    (None, None) => plain(state.sockets().shutdown(this, how))?,
                };
                Ok((done,))
            })
        },
    )?;
    tcp.resource(
        TCP.item("tcp-socket"),
        ResourceType::host::<TcpSocket>(),
        |mut store: StoreContextMut<'_, T>, rep| store.data_mut().sockbox().drop_socket(rep),
    )?;

    let mut streams = linker.instance(STREAMS.name())?;
    streams.resource_async(
        STREAMS.item("output-stream"),
        ResourceType::host::<DynOutputStream>(),
        |mut store: StoreContextMut<'_, T>, rep| -> Box<dyn Future<Output = _> + Send + '_> {
            Box::new(async move {
                let state = store.data_mut().sockbox();
                let stream = Resource::<DynOutputStream>::new_own(rep);
                let mut stream = state.table.delete(stream)?;
                if !state.ctx.dropping_breaks_off {
                    stream.cancel().await;
                }
                Ok(())
            })
        },
    )
}

impl SockboxCtxView<'_> {
    /// The component has dropped its handle of the socket with this number.
    pub(super) fn drop_socket(&mut self, rep: u32) -> wasmtime::Result<()> {
        self.ctx.inherited.close(rep);
        let adopted = Resource::<Connection>::new_own(rep);
        if self.table.get(&adopted).is_ok() {
            self.table.delete(adopted)?;
        } else {
            HostTcpSocket::drop(&mut self.sockets(), Resource::new_own(rep))?;
        }
        let sockets = &mut self.ctx.sockets;
        sockets.loopback.closed(rep);
        sockets.tunnels.closed(rep);
        sockets.starting.remove(&rep);
        sockets.connecting.remove(&rep);
        sockets.accepting.remove(&rep);
        sockets.unsent.remove(&rep);
        sockets.addresses.closed(rep);
        sockets.count.dropped(rep);
        Ok(())
    }
}

/// What a listening socket does, which may be an inherited one.
fn add_listening<T: SockboxView>(tcp: &mut LinkerInstance<'_, T>) -> wasmtime::Result<()> {
    tcp.func_wrap_async(
        TCP.item("[method]tcp-socket.start-bind"),
        |mut store: StoreContextMut<'_, T>,
         (this, network, address): (
            Resource<TcpSocket>,
            Resource<NetworkHandle>,
            IpSocketAddress,
        )|
         -> Box<dyn Future<Output = _> + Send + '_> {
            Box::new(async move {
                let mut state = store.data_mut().sockbox();
                let inherited = state.inherit(&this, address.into())?;
                let bound = match inherited {
                    Some(bound) => Some(bound),
                    None => state.bind_private(&this, address.into())?,
                };
                let bound = match bound {
                    Some(bound) => bound,
                    None => plain(state.sockets().start_bind(this, network, address).await)?,
                };
                Ok((bound,))
            })
        },
    )?;
    tcp.func_wrap(
        TCP.item("[method]tcp-socket.finish-bind"),
        |mut store: StoreContextMut<'_, T>, (this,): (Resource<TcpSocket>,)| {
            let mut state = store.data_mut().sockbox();
            if let Some(done) = state.finish_private_bind(&this) {
                return Ok((done,));
            }
            Ok((match state.adopted(&this) {
                Some(adopted) => adopted.go_on(Stage::Binding, Stage::Bound),
                None => plain(state.sockets().finish_bind(this))?,
            },))
        },
    )?;
    tcp.func_wrap_async(
        TCP.item("[method]tcp-socket.start-listen"),
        |mut store: StoreContextMut<'_, T>,
         (this,): (Resource<TcpSocket>,)|
         -> Box<dyn Future<Output = _> + Send + '_> {
            Box::new(async move {
                let mut state = store.data_mut().sockbox();
                let rep = this.rep();
                let private = state.listen_privately(&this);
                let started = match (private, state.adopted(&this)) {
                    (Some(done), _) => done,
                    (None, Some(adopted)) => adopted.go_on(Stage::Bound, Stage::Starting),
                    (None, None) => plain(state.sockets().start_listen(this).await)?,
                };
                if started.is_ok() {
                    state.ctx.sockets.starting.insert(rep);
                }
                Ok((started,))
            })
        },
    )?;
    tcp.func_wrap(
        TCP.item("[method]tcp-socket.finish-listen"),
        |mut store: StoreContextMut<'_, T>, (this,): (Resource<TcpSocket>,)| {
            let mut state = store.data_mut().sockbox();
            state.ctx.sockets.starting.remove(&this.rep());
            if let Some(done) = state.finish_private_listen(&this) {
                return Ok((done,));
            }
            Ok((match state.adopted(&this) {
                Some(adopted) => adopted.go_on(Stage::Starting, Stage::Listening),
                None => plain(state.sockets().finish_listen(this))?,
            },))
        },
    )?;
    tcp.func_wrap(
        TCP.item("[method]tcp-socket.subscribe"),
        |mut store: StoreContextMut<'_, T>, (this,): (Resource<TcpSocket>,)| {
            let mut state = store.data_mut().sockbox();
            if let Some(pollable) = state.subscribe_privately(&this)? {
                return Ok((pollable,));
            }
            if let Some(pollable) = state.subscribe_to_tunnel(&this)? {
                return Ok((pollable,));
            }
            let pollable = match state.adopted(&this) {
                Some(AdoptedSocket::Listening(listening)) => {
                    let listening = listening.clone();
                    let listening = state.table.push_child(listening, &this)?;
                    subscribe(state.table, listening)?
                }
                Some(AdoptedSocket::Connection(_)) => {
                    let connection = Resource::<Connection>::new_borrow(this.rep());
                    subscribe(state.table, connection)?
                }
                None => state.sockets().subscribe(this)?,
            };
            Ok((pollable,))
        },
    )?;
    tcp.func_wrap(
        TCP.item("[method]tcp-socket.accept"),
        |mut store: StoreContextMut<'_, T>, (this,): (Resource<TcpSocket>,)| {
            let mut state = store.data_mut().sockbox();
            let rep = this.rep();
            // wasmtime-wasi accepts before `finish-listen`. WASI does not permit that.
            if state.ctx.sockets.starting.contains(&rep) {
                return Ok((Err(ErrorCode::InvalidState),));
            }
            if let Some(accepted) = state.accept_privately(&this)? {
                return Ok((accepted,));
            }
            let listening = match state.adopted(&this) {
                Some(AdoptedSocket::Listening(listening))
                    if listening.stage() == Stage::Listening =>
                {
                    Some(listening.clone())
                }
                Some(_) => return Ok((Err(ErrorCode::InvalidState),)),
                None => None,
            };
            state.make_room();
            let limit = state.ctx.sockets.keeps_from_accepting();
            let accepted: Result<Accepted, ErrorCode> = if let Some(limit) = limit {
                let somebody_waits = match &listening {
                    Some(listening) => listening.has_next(&state.ctx.authority),
                    None => is_ready(state.table.get_mut(&this)?),
                };
                Err(match somebody_waits {
                    true => {
                        state.ctx.authority.reached(limit, None);
                        ErrorCode::NewSocketLimit
                    }
                    false => ErrorCode::WouldBlock,
                })
            } else {
                counted(&mut state, |state| match &listening {
                    Some(listening) => accept(state, listening),
                    None => state.sockets().accept(this),
                })?
            };
            if let Ok((socket, input, output)) = &accepted {
                state.ctx.sockets.count.has_streams(socket.rep());
                if listening.is_none() {
                    state.remember(rep, socket)?;
                }
                state.accepted(rep, socket.rep(), input, output)?;
            }
            Ok((accepted,))
        },
    )
}
