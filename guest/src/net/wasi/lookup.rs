//! Name lookup.

use super::WasiNet;
use super::reactor::Urgency;
use crate::bindings::wasi::sockets::ip_name_lookup::resolve_addresses;
use crate::bindings::wasi::sockets::network::ErrorCode;
use crate::net::NetError;
use crate::net::address::ip_from_wasi;
use std::net::IpAddr;

pub async fn lookup(net: &WasiNet, name: &str) -> Result<Vec<IpAddr>, NetError> {
    let answers = resolve_addresses(net.network(), name).map_err(from_lookup)?;
    let ready = net
        .reactor()
        .register(answers.subscribe(), Urgency::Scheduled);
    let mut addresses = Vec::new();
    // `ready` is a child of `answers` and has to go first, as locals declared later do.
    loop {
        match answers.resolve_next_address() {
            Ok(Some(address)) => addresses.push(ip_from_wasi(address)),
            Ok(None) if addresses.is_empty() => return Err(NetError::NameUnresolvable),
            Ok(None) => return Ok(addresses),
            Err(ErrorCode::WouldBlock) => ready.ready().await,
            Err(code) => return Err(from_lookup(code)),
        }
    }
}

/// An invalid argument to a lookup is a name that can't be one.
fn from_lookup(code: ErrorCode) -> NetError {
    match code {
        ErrorCode::InvalidArgument => NetError::NameUnresolvable,
        code => code.into(),
    }
}
