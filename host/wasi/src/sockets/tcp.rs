//! TCP of WASI 0.2: the functions that are replaced.

use super::*;

/// Replace what is ours in a linker that has all of WASI already.
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
            let address = match state.adopted(&this) {
                Some(adopted) => Ok(adopted.local_address().into()),
                None => state.local_address(this)?,
            };
            Ok((address,))
        },
    )?;
    tcp.func_wrap(
        TCP.item("[method]tcp-socket.remote-address"),
        |mut store: StoreContextMut<'_, T>, (this,): (Resource<TcpSocket>,)| {
            let mut state = store.data_mut().sockbox();
            let address = match connection(&state, &this) {
                Some(connection) => Ok(connection.remote.into()),
                None => state.remote_address(this)?,
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
                // The end comes behind all that was written.
                if let Some(unsent) = state.ctx.sockets.unsent.get(&this.rep())
                    && how != ShutdownType::Receive
                {
                    unsent.gone().await;
                }
                let done = match connection(&state, &this) {
                    Some(connection) => {
                        connection.shutdown(how.into());
                        Ok(())
                    }
                    None => plain(state.sockets().shutdown(this, how))?,
                };
                Ok((done,))
            })
        },
    )?;
    tcp.resource(
        TCP.item("tcp-socket"),
        ResourceType::host::<TcpSocket>(),
        |mut store: StoreContextMut<'_, T>, rep| {
            let mut state = store.data_mut().sockbox();
            state.ctx.inherited.close(rep);
            let adopted = Resource::<Connection>::new_own(rep);
            if state.table.get(&adopted).is_ok() {
                state.table.delete(adopted)?;
            } else {
                HostTcpSocket::drop(&mut state.sockets(), Resource::new_own(rep))?;
            }
            state.ctx.sockets.connecting.remove(&rep);
            state.ctx.sockets.accepting.remove(&rep);
            state.ctx.sockets.unsent.remove(&rep);
            state.ctx.sockets.addresses.closed(rep);
            state.ctx.sockets.count.dropped(rep);
            Ok(())
        },
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
                let bound = match state.inherit(&this, address.into())? {
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
                Ok((match state.adopted(&this) {
                    Some(adopted) => adopted.go_on(Stage::Bound, Stage::Starting),
                    None => plain(state.sockets().start_listen(this).await)?,
                },))
            })
        },
    )?;
    tcp.func_wrap(
        TCP.item("[method]tcp-socket.finish-listen"),
        |mut store: StoreContextMut<'_, T>, (this,): (Resource<TcpSocket>,)| {
            let mut state = store.data_mut().sockbox();
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
            let listening = match state.adopted(&this) {
                Some(AdoptedSocket::Listening(listening))
                    if listening.stage() >= Stage::Starting =>
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
                    Some(listening) => listening.is_ready(),
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
