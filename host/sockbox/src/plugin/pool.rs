//! Instances for many tasks, up to a bound.

use super::{Plugin, PluginInstance, Value};
use crate::error::{Error, Result};
use crate::idle::Idle;
use std::fmt;
use std::num::NonZeroU32;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many instances a [`Pool`] may have, and how they are used.
///
/// # Examples
/// ```
/// use sockbox::PoolOptions;
/// use std::num::NonZeroU32;
/// use std::time::Duration;
///
/// let options = PoolOptions::new()
///     .max_instances(16)
///     .wait(Some(Duration::from_secs(1)))
///     .reuse(NonZeroU32::MAX);
/// ```
#[derive(Clone, Debug)]
pub struct PoolOptions {
    max_instances: usize,
    wait: Option<Duration>,
    idle: Duration,
    reuse: NonZeroU32,
}

impl Default for PoolOptions {
    fn default() -> PoolOptions {
        PoolOptions {
            max_instances: 16,
            wait: None,
            idle: Duration::from_secs(30),
            reuse: NonZeroU32::MIN,
        }
    }
}

impl PoolOptions {
    /// The defaults.
    pub fn new() -> PoolOptions {
        PoolOptions::default()
    }

    /// The most instances at a time, those that wait included. Default: 16. At least one is possible.
    #[must_use]
    pub fn max_instances(mut self, instances: usize) -> PoolOptions {
        self.max_instances = instances.clamp(1, Semaphore::MAX_PERMITS);
        self
    }

    /// How long [`Pool::get`] waits for an instance at most, while all are in use. Default: None, without a bound. With 0 it
    /// does not wait.
    #[must_use]
    pub fn wait(mut self, longest: Option<Duration>) -> PoolOptions {
        self.wait = longest;
        self
    }

    /// How long an instance waits for its next use before it is dropped. Default: 30 seconds.
    #[must_use]
    pub fn idle(mut self, longest: Duration) -> PoolOptions {
        self.idle = longest;
        self
    }

    /// How many times an instance is lent. Default: 1, a fresh instance each time.
    ///
    /// Different uses of an instance share its memory, all that is in it, and its limits on sockets, bytes and the like. An
    /// instance that has trapped, whose call was dropped before its end or that has exceeded a limit is not lent again.
    #[must_use]
    pub fn reuse(mut self, times: NonZeroU32) -> PoolOptions {
        self.reuse = times;
        self
    }
}

/// Lends instances of a [`Plugin`] to any number of tasks. [`Plugin::pool`] makes one.
///
/// Cloning it is cheap, and gives the same pool. With the last clone its idle instances are dropped.
///
/// # Examples
/// ```
/// use sockbox::{PoolOptions, Sandbox, Value};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let text = r#"
/// #     (component
/// #         (core module $module (func (export "answer") (result i32) i32.const 42))
/// #         (core instance $core (instantiate $module))
/// #         (func (export "answer") (result u32) (canon lift (core func $core "answer"))))
/// # "#;
/// let plugin = Sandbox::new()?.plugin_bytes(text)?;
/// let pool = plugin.pool(PoolOptions::new().max_instances(2));
/// let calls = (0..10).map(|_| {
///     let pool = pool.clone();
///     tokio::spawn(async move { pool.call("answer", &[]).await })
/// });
/// for call in calls.collect::<Vec<_>>() {
///     assert_eq!(call.await??, Some(Value::U32(42)));
/// }
/// # Ok(())
/// # }
/// ```
pub struct Pool<T: 'static = ()> {
    inner: Arc<Inner<T>>,
}

struct Inner<T: 'static> {
    plugin: Plugin<T>,
    options: PoolOptions,
    permits: Arc<Semaphore>,
    idle: Idle<Lent<T>>,
    /// Whether a task waits to drop instances that wait for too long.
    is_watched: AtomicBool,
}

/// An instance, and how many times it was lent.
struct Lent<T: 'static> {
    instance: PluginInstance<T>,
    times: u32,
}

impl<T: 'static> Clone for Pool<T> {
    fn clone(&self) -> Pool<T> {
        Pool {
            inner: self.inner.clone(),
        }
    }
}

impl<T: Send + 'static> Pool<T> {
    pub(super) fn new(plugin: Plugin<T>, options: PoolOptions) -> Pool<T> {
        Pool {
            inner: Arc::new(Inner {
                plugin,
                permits: Arc::new(Semaphore::new(options.max_instances)),
                options,
                idle: Idle::default(),
                is_watched: AtomicBool::new(false),
            }),
        }
    }

    /// Borrow an instance: one that waits, or else a new one. While all are in use, wait for one, in the order of the calls.
    ///
    /// # Errors
    /// - [`Error::PoolTimeout`]: none became free in time ([`PoolOptions::wait`]).
    /// - Those of [`Plugin::instance`].
    ///
    /// # Cancel safety
    /// The future can be dropped at any time.
    pub async fn get(&self) -> Result<Pooled<T>> {
        let inner = &self.inner;
        let permit = inner.permit().await?;
        inner.idle.expire(Instant::now(), inner.options.idle);
        let mut lent = match inner.idle.take() {
            Some(lent) => lent,
            None => Lent {
                instance: inner.plugin.instance().await?,
                times: 0,
            },
        };
        lent.times += 1;
        Ok(Pooled {
            lent: Some(lent),
            pool: self.inner.clone(),
            _permit: permit,
        })
    }

    /// Call an exported function in an instance of the pool: see [`PluginInstance::call`].
    ///
    /// # Errors
    /// Those of [`Pool::get`] and of [`PluginInstance::call`].
    ///
    /// # Cancel safety
    /// The future can be dropped at any time. That ends the instance.
    pub async fn call(&self, function: &str, arguments: &[Value]) -> Result<Option<Value>> {
        self.get().await?.call(function, arguments).await
    }

    /// What the instances are made from.
    pub fn plugin(&self) -> &Plugin<T> {
        &self.inner.plugin
    }

    /// How many instances wait for their next use.
    pub fn idle(&self) -> usize {
        self.inner.idle.len()
    }

    /// Drop the instances that wait for their next use.
    pub fn release_idle(&self) {
        self.inner.idle.clear();
    }
}

impl<T: Send + 'static> Inner<T> {
    async fn permit(&self) -> Result<OwnedSemaphorePermit> {
        let permits = self.permits.clone();
        let acquired = match self.options.wait {
            None => Ok(permits.acquire_owned().await),
            Some(wait) => match permits.clone().try_acquire_owned() {
                Ok(permit) => return Ok(permit),
                Err(_) => tokio::time::timeout(wait, permits.acquire_owned()).await,
            },
        };
        match acquired {
            Ok(Ok(permit)) => Ok(permit),
            // The semaphore is never closed.
            Ok(Err(closed)) => Err(Error::internal(closed)),
            Err(_) => Err(Error::PoolTimeout {
                instances: self.options.max_instances,
                limit: self.options.wait.unwrap_or_default(),
            }),
        }
    }

    /// Take an instance back.
    fn take_back(self: &Arc<Self>, lent: Lent<T>) {
        if !lent.instance.is_usable() || lent.times >= self.options.reuse.get() {
            return;
        }
        self.idle.keep(lent);
        // Without a runtime, instances that wait for too long are dropped by the next use of the pool.
        if let Ok(runtime) = Handle::try_current()
            && !self.is_watched.swap(true, Ordering::SeqCst)
        {
            runtime.spawn(watch(Arc::downgrade(self)));
        }
    }
}

/// Drop the instances of a pool that wait for too long, until none waits.
async fn watch<T: Send + 'static>(pool: Weak<Inner<T>>) {
    let mut watch = Watch {
        pool,
        is_over: false,
    };
    while let Some(wait) = watch.look() {
        tokio::time::sleep(wait).await;
    }
}

struct Watch<T: 'static> {
    pool: Weak<Inner<T>>,
    is_over: bool,
}

impl<T: 'static> Watch<T> {
    /// Drop what waits for too long. Returns when to look again. None: nothing waits.
    fn look(&mut self) -> Option<Duration> {
        let inner = self.pool.upgrade()?;
        let longest = inner.options.idle;
        loop {
            let now = Instant::now();
            inner.idle.expire(now, longest);
            if let Some(since) = inner.idle.since() {
                return Some(longest.saturating_sub(now.saturating_duration_since(since)));
            }
            inner.is_watched.store(false, Ordering::SeqCst);
            // An instance that was given back before is seen here. One that is given back later begins another watch.
            if inner.idle.since().is_none() || inner.is_watched.swap(true, Ordering::SeqCst) {
                self.is_over = true;
                return None;
            }
        }
    }
}

impl<T: 'static> Drop for Watch<T> {
    /// If the runtime has ended the task, another runtime may watch.
    fn drop(&mut self) {
        if !self.is_over
            && let Some(inner) = self.pool.upgrade()
        {
            inner.is_watched.store(false, Ordering::SeqCst);
        }
    }
}

/// An instance that a [`Pool`] has lent. Dropping it gives it back.
pub struct Pooled<T: Send + 'static = ()> {
    /// None: it is being given back.
    lent: Option<Lent<T>>,
    pool: Arc<Inner<T>>,
    /// Dropped after the instance was given back.
    _permit: OwnedSemaphorePermit,
}

impl<T: Send + 'static> Deref for Pooled<T> {
    type Target = PluginInstance<T>;

    fn deref(&self) -> &PluginInstance<T> {
        match &self.lent {
            Some(lent) => &lent.instance,
            None => unreachable!("only `drop` takes it"),
        }
    }
}

impl<T: Send + 'static> DerefMut for Pooled<T> {
    fn deref_mut(&mut self) -> &mut PluginInstance<T> {
        match &mut self.lent {
            Some(lent) => &mut lent.instance,
            None => unreachable!("only `drop` takes it"),
        }
    }
}

impl<T: Send + 'static> Drop for Pooled<T> {
    fn drop(&mut self) {
        if let Some(lent) = self.lent.take() {
            self.pool.take_back(lent);
        }
    }
}

impl<T: Send + 'static> fmt::Debug for Pooled<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pooled").field(&**self).finish()
    }
}

impl<T: 'static> fmt::Debug for Pool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("options", &self.inner.options)
            .finish_non_exhaustive()
    }
}
