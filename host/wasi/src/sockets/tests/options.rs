//! The options of sockets.

use super::*;

#[tokio::test]
async fn what_an_option_is_set_to_is_so_for_the_system() {
    let mut bench = Bench::new("127.0.0.1").await;
    let (listener, _) = bench.listen(bench.inherited).await;
    let (connection, _client) = bench.connection(listener).await;
    for socket in [listener, connection] {
        let set = [Val::U64(5_000_000_000)];
        bench.call(socket, "set-keep-alive-idle-time", &set).await;
        let socket: Resource<TcpSocket> = socket.try_into_resource(&mut bench.store).unwrap();
        let state = bench.store.data_mut().sockbox();
        let adopted = state.adopted(&socket).unwrap();
        let time = rustix::net::sockopt::tcp_keepidle(adopted.fd()).unwrap();
        assert_eq!(time, Duration::from_secs(5));
    }
}

#[tokio::test]
async fn only_a_new_socket_of_the_right_kind_inherits() {
    let mut bench = Bench::new("127.0.0.1").await;
    let inherited = bench.endpoint(bench.inherited);
    let any = bench.endpoint(bench.any);
    // Bound already.
    let bound = bench.socket();
    for name in ["start-bind", "finish-bind"] {
        let parameters = if name == "start-bind" { &any[..] } else { &[] };
        bench.call(bound, name, parameters).await;
    }
    let told = bench.told(bound, "start-bind", &inherited).await;
    assert!(told.contains("invalid-state"), "{told}");
    // Of the other family.
    bench.family = IpAddressFamily::Ipv6;
    let other = bench.socket();
    let told = bench.told(other, "start-bind", &inherited).await;
    assert!(told.contains("invalid-argument"), "{told}");
    // It is still to be had.
    bench.family = IpAddressFamily::Ipv4;
    bench.listen(bench.inherited).await;
}
