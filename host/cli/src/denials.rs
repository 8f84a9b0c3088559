//! What the policy refused, to explain why a component failed.

use crate::{stderr, words};
use sockbox::audit::{HttpExchange, ProxyUse};
use sockbox::policy::Target;
use sockbox::{AuditEvent, EventKind};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// How many refusals are told: more do not help to find the cause.
const SHOWN: usize = 5;

/// Collects refusals while a component runs.
#[derive(Clone, Default)]
pub struct Denials {
    state: Arc<Mutex<State>>,
    /// Tells each refusal when it happens, in place of [`Denials::tell`].
    at_once: Option<Arc<dyn Fn(&str) + Send + Sync>>,
}

/// The line for refusals that are not told.
const MORE: &str = "and more than these (-v tells all)";

#[derive(Default)]
struct State {
    lines: BTreeSet<String>,
    more: bool,
}

impl Denials {
    /// Refusals of a server's components, which `tell` tells when they happen. Refused clients are not among them.
    pub fn at_once(tell: impl Fn(&str) + Send + Sync + 'static) -> Denials {
        Denials {
            at_once: Some(Arc::new(tell)),
            ..Denials::default()
        }
    }

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
        let is_of_client = |(target, _): (&Target, _)| matches!(target, Target::Accept(_));
        if self.at_once.is_some() && event.decision().is_some_and(is_of_client) {
            return;
        }
        self.note(words::of_event(event));
    }

    /// Take note of something else that a component has failed of, in a line for people.
    pub fn note(&self, line: String) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let told = if state.lines.len() < SHOWN {
            state.lines.insert(line.clone()).then_some(line.as_str())
        } else if !state.lines.contains(&line) {
            (!std::mem::replace(&mut state.more, true)).then_some(MORE)
        } else {
            None
        };
        if let (Some(line), Some(tell)) = (told, &self.at_once) {
            tell(line);
        }
    }

    /// Tell them, each once.
    pub fn tell(&self) {
        if self.at_once.is_some() {
            return;
        }
        for line in self.lines() {
            stderr::line(format_args!("sockbox: {line}"));
        }
    }

    fn lines(&self) -> Vec<String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines: Vec<_> = state.lines.iter().cloned().collect();
        if state.more {
            lines.push(MORE.to_owned());
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

    #[test]
    fn a_server_tells_each_when_it_happens_and_then_that_there_are_more() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let denials = Denials::at_once({
            let told = told.clone();
            move |line| told.lock().unwrap().push(line.to_owned())
        });
        for line in ["1", "1", "2", "3", "4", "5", "6", "7", "1"] {
            denials.note(line.to_owned());
        }
        denials.tell();
        assert_eq!(*told.lock().unwrap(), ["1", "2", "3", "4", "5", MORE]);
    }
}
