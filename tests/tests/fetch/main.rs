//! `sockbox fetch`, beside real servers and real clients.

mod again;
mod basics;
mod bounds;
mod client_certificate;
mod codings;
mod connect;
mod failures;
mod inputs;
mod output;
mod proxy;
mod proxy_failures;
mod proxy_options;
mod redirects;
mod report;
mod request;
mod retries;
mod reuse;
mod saving;
mod several;
mod tls;
mod trust;
mod wasmtime_run;
