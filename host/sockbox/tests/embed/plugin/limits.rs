//! The limits of a plugin's instances and calls.

use super::functions;
use crate::MOMENT;
use sockbox::limits::Limit;
use sockbox::{Error, Limits, Plugin, Sandbox, Value};
use std::time::Duration;

fn limited(change: impl FnOnce(Limits) -> Limits) -> Plugin {
    let plugin = functions();
    let grant = plugin.granted().clone();
    plugin.grant(grant.limits(change(Limits::default())))
}

#[tokio::test]
async fn a_call_that_computes_without_end_is_ended() {
    type Change = fn(Limits) -> Limits;
    let cpu: Change = |limits| limits.cpu_time(Some(MOMENT));
    let wall: Change = |limits| limits.wall_time(Some(MOMENT));
    for (change, expected) in [
        (cpu, "CpuTime { limit: 50ms }"),
        (wall, "WallTime { limit: 50ms }"),
    ] {
        let mut instance = limited(change).instance().await.unwrap();
        let error = instance.call("spin", &[]).await.unwrap_err();
        assert_eq!(format!("{error:?}"), expected);
        assert!(!instance.is_usable());
        let error = instance.call("count", &[]).await.unwrap_err();
        assert!(matches!(error, Error::Abandoned), "{error:?}");
    }
}

#[tokio::test]
async fn time_limits_hold_for_each_call() {
    let mut instance = limited(|limits| limits.cpu_time(Some(Duration::from_secs(1))))
        .instance()
        .await
        .unwrap();
    // More than the limit altogether: a thousand calls of a millisecond at most, and a pause would count as none.
    for number in 1..=100_u32 {
        let count = instance.call("count", &[]).await.unwrap();
        assert_eq!(count, Some(Value::U32(number)));
    }
    assert!(instance.is_usable());
}

#[tokio::test]
async fn memory_is_bounded_in_each_instance() {
    let plugin = limited(|limits| limits.memory_bytes(4 << 16));
    let mut other = plugin.instance().await.unwrap();
    let mut instance = plugin.instance().await.unwrap();
    instance.call("grow", &[3_u32.into()]).await.unwrap();
    let error = instance.call("grow", &[1_u32.into()]).await.unwrap_err();
    assert_eq!(format!("{error:?}"), "MemoryLimit { limit: 262144 }");
    let reached = instance.incidents().has_reached(Limit::Memory);
    assert!(reached);
    other.call("grow", &[3_u32.into()]).await.unwrap();

    let error = limited(|limits| limits.memory_bytes(65_535))
        .instance()
        .await
        .map(drop)
        .unwrap_err();
    assert_eq!(format!("{error:?}"), "MemoryLimit { limit: 65535 }");
}

#[tokio::test]
async fn what_takes_too_much_is_not_compiled() {
    let sandbox = Sandbox::builder()
        .limits(Limits::default().memory_bytes(65_535))
        .build()
        .unwrap();
    let error = sandbox.plugin_bytes(super::FUNCTIONS).unwrap_err();
    assert!(
        matches!(error, Error::NeedsTooMuch { needs: 65_536, .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_trap_ends_the_instance_and_no_other() {
    let plugin = functions();
    let mut other = plugin.instance().await.unwrap();
    let mut instance = plugin.instance().await.unwrap();
    assert_ne!(instance.run_id(), other.run_id());
    let error = instance.call("trap", &[]).await.unwrap_err();
    let Error::Trapped { reason, backtrace } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(
        reason,
        "it aborted (wasm `unreachable` instruction executed)"
    );
    assert!(backtrace.is_some());
    assert!(!instance.is_usable());
    let count = other.call("count", &[]).await.unwrap();
    assert_eq!(count, Some(1_u32.into()));
}

#[tokio::test]
async fn a_call_can_be_dropped_at_any_time() {
    let mut instance = functions().instance().await.unwrap();
    let spin = tokio::time::timeout(MOMENT, instance.call("spin", &[]));
    spin.await.unwrap_err();
    let error = instance.call("count", &[]).await.unwrap_err();
    assert!(matches!(error, Error::Abandoned), "{error:?}");
}

#[test]
fn it_runs_in_each_kind_of_runtime() {
    let plugin = functions();
    let task = async {
        let mut instance = plugin.instance().await.unwrap();
        let spin = tokio::time::timeout(MOMENT, instance.call("spin", &[]));
        assert!(spin.await.is_err());
        plugin.call("count", &[]).await.unwrap()
    };
    let current = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    assert_eq!(current.unwrap().block_on(task), Some(1_u32.into()));
    let many = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let plugin = plugin.clone();
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let plugin = plugin.clone();
            many.spawn(async move { plugin.call("count", &[]).await.unwrap() })
        })
        .collect();
    many.block_on(async {
        for task in tasks {
            assert_eq!(task.await.unwrap(), Some(1_u32.into()));
        }
    });
}
