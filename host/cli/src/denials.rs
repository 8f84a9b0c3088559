//! What the policy refused, to explain why a component failed.

use crate::{stderr, words};
use sockbox::audit::{HttpExchange, ProxyUse};
use sockbox::{AuditEvent, EventKind};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// How many refusals are told: more do not help to find the cause.
const SHOWN: usize = 5;

/// Collects refusals while a component runs.
#[derive(Clone, Default)]
pub struct Denials {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    lines: BTreeSet<String>,
    more: bool,
}

impl Denials {
    /// Take note of what was refused, and of limits that were reached.
    pub fn record(&self, event: &AuditEvent) {
        if let EventKind::Http(exchange) = &event.what
            && let Some(line) = of_proxy(exchange)
        {
            return self.note(line);
        }
        if !event.is_denial() && !matches!(event.what, EventKind::Limit { .. }) {
            return;
        }
        self.note(words::of_event(event));
    }

    /// Take note of something else that a component has failed of, in a line for people.
    pub fn note(&self, line: String) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.lines.len() < SHOWN {
            state.lines.insert(line);
        } else if !state.lines.contains(&line) {
            state.more = true;
        }
    }

    /// Tell them, each once.
    pub fn tell(&self) {
        for line in self.lines() {
            stderr::line(format_args!("sockbox: {line}"));
        }
    }

    fn lines(&self) -> Vec<String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines: Vec<_> = state.lines.iter().cloned().collect();
        if state.more {
            lines.push("and more than these (-v tells all)".to_owned());
        }
        lines
    }
}

/// What a proxy has to do with the failure of a request, in a line for people. None: nothing.
fn of_proxy(exchange: &HttpExchange) -> Option<String> {
    let ProxyUse { proxy, status } = exchange.proxy.as_ref()?;
    let server = exchange.request.url.authority();
    match (status, exchange.error) {
        (Some(401 | 407), _) => Some(format!(
            "proxy: {proxy} wants other credentials for {server} (--proxy http://USER:PASSWORD@{proxy} gives them)"
        )),
        (Some(200..=299), _) | (_, None) => None,
        (Some(status), Some(_)) => Some(format!(
            "proxy: {proxy} does not connect to {server}: it answered {status}"
        )),
        (None, Some(error)) => Some(format!(
            "proxy: {proxy} can't be used for {server}: {error}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sockbox::{Policy, Request, Sandbox};

    async fn lines(ports: impl IntoIterator<Item = u16>) -> Vec<String> {
        let denials = Denials::default();
        let sandbox = Sandbox::new().unwrap();
        let sink = {
            let denials = denials.clone();
            move |event: &AuditEvent| denials.record(event)
        };
        let instance = sandbox.instance().policy(Policy::new()).audit(sink);
        let mut instance = instance.build().await.unwrap();
        for port in ports {
            let request = Request::get(format!("http://127.0.0.1:{port}/"));
            instance.fetch(request).await.map(|_| ()).unwrap_err();
        }
        denials.lines()
    }

    #[tokio::test]
    async fn each_is_told_once_and_only_a_few() {
        let line = |port| {
            format!(
                "denied: connect to 127.0.0.1:{port}: no rule grants it (--allow-connect \
                 127.0.0.1:{port} would)"
            )
        };
        assert_eq!(lines([]).await, Vec::<String>::new());
        assert_eq!(lines([1, 1, 2, 1]).await, [line(1), line(2)]);
        let all: Vec<_> = (1..=5).map(line).collect();
        assert_eq!(lines(1..=5).await, all);
        let more = lines((1..=6).chain(1..=3)).await;
        assert_eq!(more[..5], all);
        assert_eq!(more[5..], ["and more than these (-v tells all)"]);
    }
}
