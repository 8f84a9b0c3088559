//! Resolving names.

use super::instance::Instance;
use super::reactor::Urgency;
use crate::bindings::wasi::sockets::ip_name_lookup::resolve_addresses;
use crate::bindings::wasi::sockets::network::ErrorCode;
use crate::net::NetError;
use crate::net::address::ip_from_wasi;
use std::net::IpAddr;

pub async fn resolve(instance: &Instance, name: &str) -> Result<Vec<IpAddr>, NetError> {
    let answers = resolve_addresses(&instance.network, name).map_err(from_resolver)?;
    let ready = instance
        .reactor
        .register(answers.subscribe(), Urgency::Scheduled);
    let mut addresses = Vec::new();
    // `ready` is a child of `answers` and has to be dropped first, as locals that are declared
    // later are.
    loop {
        match answers.resolve_next_address() {
            Ok(Some(address)) => addresses.push(ip_from_wasi(address)),
            Ok(None) if addresses.is_empty() => return Err(NetError::NameUnresolvable),
            Ok(None) => return Ok(addresses),
            Err(ErrorCode::WouldBlock) => ready.ready().await,
            Err(code) => return Err(from_resolver(code)),
        }
    }
}

/// An invalid argument is a text that can't be a host name.
fn from_resolver(code: ErrorCode) -> NetError {
    match code {
        ErrorCode::InvalidArgument => NetError::NameUnresolvable,
        code => code.into(),
    }
}
