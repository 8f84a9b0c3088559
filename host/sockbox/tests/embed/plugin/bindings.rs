//! Plugins with the types of `bindgen!`, with imports and data of the program's own.

use super::functions;
use sockbox::audit::AuditEvent;
use sockbox::policy::{DenialReason, Target};
use sockbox::wasmtime::component::{HasSelf, Linker, bindgen};
use sockbox::{Error, Incident, Limits, Plugin, PluginState, Policy, Sandbox};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

bindgen!({
    inline: "
        package example:plugin;

        interface host {
            log: func(text: string);
        }

        world connecting {
            import host;
            export connect: func(port: u16) -> bool;
        }
    ",
    imports: { default: trappable },
    exports: { default: async },
    wasmtime_crate: sockbox::wasmtime,
});

/// A plugin that connects to a port of 127.0.0.1, and says so to the host before.
const CONNECTING: &str = include_str!("../../../../wasi/examples/own_store.wat");

#[derive(Default)]
struct Log {
    lines: Vec<String>,
    fails: bool,
}

impl example::plugin::host::Host for Log {
    fn log(&mut self, text: String) -> sockbox::wasmtime::Result<()> {
        if self.fails {
            return Err(sockbox::wasmtime::Error::msg("the log is full"));
        }
        self.lines.push(text);
        Ok(())
    }
}

fn add(linker: &mut Linker<PluginState<Log>>) -> sockbox::wasmtime::Result<()> {
    Connecting::add_to_linker::<_, HasSelf<Log>>(linker, PluginState::data_mut)
}

fn connecting() -> Plugin<Log> {
    let plugin = Sandbox::new().unwrap().plugin_bytes(CONNECTING).unwrap();
    plugin.with(Log::default, add).unwrap()
}

fn to(port: u16) -> Policy {
    Policy::new()
        .allow_connect_to(&format!("127.0.0.1:{port}"))
        .unwrap()
}

#[tokio::test]
async fn a_world_of_ones_own_is_called_under_a_grant() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let events = Arc::new(Mutex::new(Vec::new()));
    let sink = {
        let events = events.clone();
        move |event: &AuditEvent| events.lock().unwrap().push(event.to_string())
    };
    let plugin = connecting();
    let grant = plugin.granted().clone().policy(to(port)).audit(sink);
    let plugin = plugin.grant(grant);
    let indices = ConnectingIndices::new(&plugin.instance_pre().unwrap()).unwrap();
    let data = Log {
        lines: vec!["before".to_owned()],
        fails: false,
    };
    let mut instance = plugin.instance_with(data).await.unwrap();
    let made = std::cell::Cell::new(0);
    for _ in 0..2 {
        let bindings = instance
            .bind(|store, instance| {
                made.set(made.get() + 1);
                indices.load(store, instance)
            })
            .unwrap();
        let connected = instance
            .run(async |store| bindings.call_connect(store, port).await)
            .await;
        assert!(connected.unwrap());
        listener.accept().unwrap();
    }
    assert_eq!(made.get(), 1, "the bindings are made once");
    assert_eq!(
        instance.data().lines,
        ["before", "about to connect", "about to connect"]
    );
    assert!(instance.incidents().latest().next().is_none());
    instance.data_mut().lines.clear();
    drop(instance);
    let events = events.lock().unwrap();
    let allowed = format!("allowed: connect to 127.0.0.1:{port}");
    assert!(
        events.iter().any(|event| event.contains(&allowed)),
        "{events:?}"
    );
    assert!(events.last().unwrap().contains("ended"), "{events:?}");
}

#[tokio::test]
async fn what_is_refused_is_an_incident_of_the_call() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let policy = Policy::new().private_loopback(sockbox::policy::PrivateLoopback::Off);
    let plugin = connecting();
    let grant = plugin.granted().clone().policy(policy);
    let mut instance = plugin.grant(grant).instance().await.unwrap();
    let connected = instance.call("connect", &[port.into()]).await.unwrap();
    assert_eq!(connected, Some(false.into()));
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let incidents = instance.incidents();
    let refused: Vec<_> = incidents.latest().collect();
    let [Incident::Denied(refusal)] = refused.as_slice() else {
        panic!("{refused:?}");
    };
    assert_eq!(refusal.target, Target::Connect(address));
    assert_eq!(refusal.reason, DenialReason::NoRule);
    listener.set_nonblocking(true).unwrap();
    let untouched = listener.accept().unwrap_err();
    assert_eq!(untouched.kind(), std::io::ErrorKind::WouldBlock);
    // They are those of the last call.
    instance.call("connect", &["a".into()]).await.unwrap_err();
    assert_eq!(instance.incidents().latest().count(), 1);
    instance.run(async |_| Ok(())).await.unwrap();
    assert_eq!(instance.incidents().latest().count(), 0);
}

#[tokio::test]
async fn an_import_that_fails_ends_the_call() {
    let plugin = connecting();
    let data = Log {
        fails: true,
        ..Log::default()
    };
    let mut instance = plugin.instance_with(data).await.unwrap();
    let error = instance.call("connect", &[1_u16.into()]).await.unwrap_err();
    let Error::Trapped { reason, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(reason, "the log is full");
    assert!(!instance.is_usable());
    let error = instance.call("connect", &[1_u16.into()]).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the component trapped: during an earlier call"
    );
}

#[tokio::test]
async fn an_import_that_is_not_offered_is_named() {
    let sandbox = Sandbox::new().unwrap();
    let plugin = sandbox.plugin_bytes(CONNECTING).unwrap();
    let expected = "it imports `example:plugin/host`, which sockbox does not provide: there are WASI 0.2 and 0.3, with \
                    wasi:http for requests that the component sends; `Plugin::with` adds imports of the program's own";
    let error = plugin.instance().await.map(drop).unwrap_err();
    assert_eq!(error.to_string(), expected);
    let error = plugin.instance_pre().map(drop).unwrap_err();
    assert_eq!(error.to_string(), expected);
    // What is offered is something else.
    let error = plugin.with(|| (), |_| Ok(())).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::NotRunnable { .. }), "{text}");
    assert!(text.contains("example:plugin/host"), "{text}");
    let error = plugin
        .with(Log::default, |linker| {
            linker
                .instance("example:plugin/host")?
                .func_wrap("log", |_, (_,): (u32,)| Ok(()))
        })
        .unwrap_err();
    assert!(matches!(error, Error::NotRunnable { .. }), "{error:?}");
    // sockbox has this one, and nothing may take its place.
    let error = plugin
        .with(Log::default, |linker| {
            add(linker)?;
            linker.instance("wasi:sockets/tcp@0.2.12").map(drop)?;
            linker
                .instance("wasi:random/random@0.2.12")?
                .func_wrap("get-random-u64", |_, ()| Ok((4_u64,)))
        })
        .unwrap_err();
    assert!(matches!(error, Error::InvalidOptions { .. }), "{error:?}");
}

#[tokio::test]
async fn another_world_is_found_out_before_a_call() {
    let plugin = functions();
    let error = ConnectingPre::new(plugin.instance_pre().unwrap()).map(drop);
    assert!(error.unwrap_err().to_string().contains("connect"));
    let mut instance = plugin.instance().await.unwrap();
    let error = instance
        .bind(|store, instance| Connecting::new(store, instance))
        .map(drop)
        .unwrap_err();
    assert!(
        error.to_string().starts_with("it has another world: "),
        "{error}"
    );
    assert!(instance.is_usable());
}

#[tokio::test]
async fn limits_hold_for_typed_calls_as_well() {
    let plugin = connecting();
    let grant = plugin.granted().clone();
    let grant = grant.policy(to(9)).limits(Limits::default().sockets(0));
    let mut instance = plugin.grant(grant).instance().await.unwrap();
    // Without a socket the component gives up, with a trap.
    let error = instance.call("connect", &[9_u16.into()]).await.unwrap_err();
    assert!(matches!(error, Error::Trapped { .. }), "{error:?}");
    let incidents = instance.incidents();
    assert!(incidents.has_reached(sockbox::limits::Limit::Sockets));
}
