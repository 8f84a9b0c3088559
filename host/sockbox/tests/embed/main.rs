//! The library as an embedder uses it, on the loopback interface, with nothing but the standard
//! library at the other end.

mod bytes;
mod decider;
mod fetch;
mod handler;
mod limits;
mod options;
mod peer;
mod plugin;
mod policy;
mod proxy;
mod redirect;
mod run;
mod serve;
mod site;
mod streams;
mod tls;
mod wasi_0_3;

use sockbox::{Instance, Policy, Sandbox, origin_of};
use std::time::Duration;

/// Long enough on any machine. Only a test that hangs reaches it.
const DEADLINE: Duration = Duration::from_secs(60);

/// Long enough for a failure to show, and short enough to wait for in a test that expects none.
const MOMENT: Duration = Duration::from_millis(50);

async fn instance(policy: Policy) -> Instance {
    let sandbox = Sandbox::new().unwrap();
    sandbox.instance().policy(policy).build().await.unwrap()
}

async fn granted(url: &str) -> Instance {
    instance(Policy::new().allow_origin(origin_of(url).unwrap())).await
}
