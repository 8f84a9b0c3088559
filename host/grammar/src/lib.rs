//! The grammar that two command lines share: that of the component, which runs under any WASI runtime, and that of
//! the command `sockbox`. An option that both have accepts the same text in both, and means the same.
//!
//! This crate reads text and nothing else: it opens no file and knows neither WASI nor wasmtime.
//!
//! | module | reads |
//! | --- | --- |
//! | [`header`] | `-H`: `Name: value`, `Name:`, `Name;` |
//! | [`data`] | `-d`: the pieces of a body, and the contents of `@FILE` |
//! | [`static_host`] | `--resolve`: `HOST:ADDRESS`, `HOST:PORT:ADDRESS` |
//! | [`values`] | seconds, numbers of redirects, credentials, URLs without a scheme |

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod data;
pub mod header;
pub mod static_host;
pub mod values;
