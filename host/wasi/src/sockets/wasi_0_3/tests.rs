//! A socket before it is used.

use super::socket::{Socket, State, bind};
use crate::sockets::count::Count;
use std::net::SocketAddr;
use wasmtime_wasi::p3::bindings::sockets::types::{ErrorCode, IpAddressFamily};

fn socket(family: IpAddressFamily) -> (Socket, Count) {
    let count = Count::new();
    let open = count.shared().open_one(1).unwrap();
    (Socket::new(family, open).unwrap(), count)
}

#[tokio::test]
async fn what_addresses_it_takes() {
    let (v4, _) = socket(IpAddressFamily::Ipv4);
    let (v6, _) = socket(IpAddressFamily::Ipv6);
    for (address, socket, may_bind, may_connect) in [
        ("127.0.0.1:80", &v4, true, true),
        ("127.0.0.1:0", &v4, true, false),
        ("0.0.0.0:80", &v4, true, false),
        ("224.0.0.1:80", &v4, false, false),
        ("255.255.255.255:80", &v4, false, false),
        ("[::1]:80", &v4, false, false),
        ("[::1]:80", &v6, true, true),
        ("[::]:0", &v6, true, false),
        ("[ff02::1]:80", &v6, false, false),
        ("127.0.0.1:80", &v6, false, false),
        // These stand for an IPv4 address.
        ("[::ffff:127.0.0.1]:80", &v6, false, false),
        ("[::127.0.0.1]:80", &v6, false, false),
    ] {
        let address: SocketAddr = address.parse().unwrap();
        let told = |may| match may {
            true => Ok(()),
            false => Err("InvalidArgument".to_owned()),
        };
        let plain = |result: Result<(), ErrorCode>| {
            result.map_err(|code| match code {
                ErrorCode::InvalidArgument => "InvalidArgument".to_owned(),
                other => format!("{other:?}"),
            })
        };
        assert_eq!(plain(socket.may_bind(address)), told(may_bind), "{address}");
        let connects = plain(socket.may_connect(address));
        assert_eq!(connects, told(may_connect), "{address}");
    }
}

#[tokio::test]
async fn it_is_bound_once_and_counts_until_it_is_dropped() {
    let (socket, count) = socket(IpAddressFamily::Ipv4);
    assert!(matches!(
        socket.local_address(),
        Err(ErrorCode::InvalidState)
    ));
    let address: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let State::New(system) = &socket.state else {
        panic!("it is new");
    };
    bind(system, address).unwrap();
    let local = socket.local_address().unwrap();
    assert_eq!(local.ip(), address.ip());
    assert!(matches!(
        socket.may_bind(address),
        Err(ErrorCode::InvalidState)
    ));
    socket.may_connect(local).unwrap();
    assert!(count.shared().open_one(1).is_none());
    drop(socket);
    assert!(count.shared().open_one(1).is_some());
}
