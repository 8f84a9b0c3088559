//! `sockbox run --listen-http`: components that handle HTTP requests.

mod basics;
mod bounds;
mod client;
mod clients;
mod failures;
mod grants;
mod operation;
mod refused;
