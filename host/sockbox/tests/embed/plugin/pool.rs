//! Pools of a plugin's instances.

use super::functions;
use crate::{DEADLINE, MOMENT};
use sockbox::{
    AuditEvent, Error, EventKind, Grant, Plugin, PluginInstance, PluginState, Pool, PoolOptions,
    Pooled, Sandbox, Value,
};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

fn times(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

/// How many times the instance was called, this time included.
async fn count(instance: &mut PluginInstance) -> u32 {
    let count = instance.call("count", &[]).await.unwrap().unwrap();
    u32::try_from(count).unwrap()
}

#[test]
fn what_tasks_share_can_be_shared() {
    fn shared<T: Send + Sync + 'static>() {}
    fn sent<T: Send + 'static>() {}
    shared::<Sandbox>();
    shared::<Plugin>();
    shared::<Plugin<std::cell::Cell<u8>>>();
    shared::<Pool>();
    shared::<PoolOptions>();
    shared::<Grant>();
    shared::<Error>();
    shared::<Value>();
    sent::<PluginInstance>();
    sent::<Pooled>();
    sent::<PluginState<Vec<u8>>>();
}

#[tokio::test]
async fn by_default_each_use_has_a_fresh_instance() {
    let pool = functions().pool(PoolOptions::new());
    for _ in 0..3 {
        let mut instance = pool.get().await.unwrap();
        assert_eq!(count(&mut instance).await, 1);
        assert_eq!(count(&mut instance).await, 2);
        drop(instance);
        assert_eq!(pool.idle(), 0);
    }
}

#[tokio::test]
async fn an_instance_is_lent_as_often_as_is_set() {
    let pool = functions().pool(PoolOptions::new().reuse(times(3)));
    for expected in [1, 2, 3, 1, 2, 3] {
        let mut instance = pool.get().await.unwrap();
        assert_eq!(count(&mut instance).await, expected);
    }
}

#[tokio::test]
async fn no_more_instances_than_the_bound_exist() {
    let pool = functions().pool(PoolOptions::new().max_instances(2).wait(Some(MOMENT)));
    let one = pool.get().await.unwrap();
    let two = pool.get().await.unwrap();
    let error = pool.get().await.map(drop).unwrap_err();
    let Error::PoolTimeout { instances, limit } = error else {
        panic!("{error:?}");
    };
    assert_eq!((instances, limit), (2, MOMENT));
    drop(one);
    drop(pool.get().await.unwrap());
    drop(two);

    let at_once = functions().pool(
        PoolOptions::new()
            .max_instances(1)
            .wait(Some(Duration::ZERO)),
    );
    let one = at_once.get().await.unwrap();
    let error = at_once.get().await.map(drop).unwrap_err();
    assert!(matches!(error, Error::PoolTimeout { .. }), "{error:?}");
    drop(one);
    at_once.get().await.unwrap();
}

#[tokio::test]
async fn a_task_gets_the_instance_that_another_gives_back() {
    let options = PoolOptions::new().max_instances(1).reuse(times(2));
    let pool = functions().pool(options);
    let mut one = pool.get().await.unwrap();
    assert_eq!(count(&mut one).await, 1);
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { count(&mut pool.get().await.unwrap()).await }
    });
    // It waits, on this thread, until it can go on.
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    drop(one);
    assert_eq!(waiting.await.unwrap(), 2);
}

#[tokio::test]
async fn an_instance_that_failed_or_was_abandoned_is_not_lent_again() {
    let options = PoolOptions::new().max_instances(1).reuse(NonZeroU32::MAX);
    let pool = functions().pool(options);
    assert_eq!(count(&mut pool.get().await.unwrap()).await, 1);
    assert_eq!(count(&mut pool.get().await.unwrap()).await, 2);
    let error = pool.call("trap", &[]).await.unwrap_err();
    assert!(matches!(error, Error::Trapped { .. }), "{error:?}");
    assert_eq!(pool.idle(), 0);
    assert_eq!(count(&mut pool.get().await.unwrap()).await, 1);
    // A call that is dropped while the component computes.
    let spin = tokio::time::timeout(MOMENT, pool.call("spin", &[]));
    spin.await.unwrap_err();
    assert_eq!(pool.idle(), 0);
    assert_eq!(count(&mut pool.get().await.unwrap()).await, 1);
    // A mistake of the caller's changes nothing.
    pool.call("missing", &[]).await.unwrap_err();
    assert_eq!(count(&mut pool.get().await.unwrap()).await, 2);
}

#[tokio::test]
async fn instances_that_wait_are_released() {
    let ended = Arc::new(AtomicUsize::new(0));
    let sink = {
        let ended = ended.clone();
        move |event: &AuditEvent| {
            if event.what == EventKind::Ended {
                ended.fetch_add(1, Ordering::SeqCst);
            }
        }
    };
    let plugin = functions();
    let grant = plugin.granted().clone().audit(sink);
    let plugin = plugin.grant(grant);
    let options = PoolOptions::new().reuse(NonZeroU32::MAX);
    let pool = plugin.pool(options.clone().idle(Duration::from_millis(1)));
    for round in 1..=2 {
        pool.call("count", &[]).await.unwrap();
        let released = async {
            while ended.load(Ordering::SeqCst) < round {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(DEADLINE, released).await.unwrap();
        assert_eq!(pool.idle(), 0);
    }
    let patient = plugin.pool(options.clone().idle(Duration::MAX));
    patient.call("count", &[]).await.unwrap();
    tokio::task::yield_now().await;
    assert_eq!(patient.idle(), 1);
    patient.release_idle();
    assert_eq!((patient.idle(), ended.load(Ordering::SeqCst)), (0, 3));
    // The last clone of a pool takes its instances with it.
    patient.call("count", &[]).await.unwrap();
    drop(patient);
    assert_eq!(ended.load(Ordering::SeqCst), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_share_a_pool() {
    let options = PoolOptions::new().max_instances(3).reuse(times(5));
    let pool = functions().pool(options);
    let tasks: Vec<_> = (0..60)
        .map(|number: u32| {
            let pool = pool.clone();
            tokio::spawn(async move {
                match number % 3 {
                    0 => pool.call("trap", &[]).await.is_err(),
                    1 => pool.call("same", &["a".into()]).await.unwrap() == Some("a".into()),
                    _ => count(&mut pool.get().await.unwrap()).await <= 5,
                }
            })
        })
        .collect();
    for task in tasks {
        assert!(task.await.unwrap());
    }
    assert!(pool.idle() <= 3);
}

#[test]
fn a_pool_outlives_a_runtime() {
    let options = PoolOptions::new().reuse(NonZeroU32::MAX);
    let pool = functions().pool(options.idle(DEADLINE));
    for expected in 1..=2 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let counted = runtime
            .unwrap()
            .block_on(async { count(&mut pool.get().await.unwrap()).await });
        assert_eq!(counted, expected);
        assert_eq!(pool.idle(), 1);
    }
}
