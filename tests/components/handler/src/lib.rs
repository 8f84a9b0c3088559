//! Handles HTTP requests. The path says how:
//!
//! | path | response |
//! |---|---|
//! | `/hello` | `Hello, world!` |
//! | `/echo` | the request's body, streamed |
//! | `/size` | the number of bytes of the request's body, and its trailers; or the error code of reading it |
//! | `/strict` | as `/size`, but it panics at an error |
//! | `/request` | the request's method, scheme, authority, path and headers |
//! | `/status/N` | the status N |
//! | `/set?NAME:VALUE` | the header, or the error of setting it; `%XX` is a byte |
//! | `/bytes/N` | N bytes, streamed |
//! | `/length/N` | 5 bytes, with the header `content-length: N` |
//! | `/trailers` | a body and a trailer |
//! | `/endless` | bytes without end |
//! | `/count` | how many requests this instance has handled |
//! | `/print` | writes to standard output and standard error |
//! | `/sleep/MS`, `/sleep-after/MS` | waits before the response, or after it |
//! | `/fetch?AUTHORITY/PATH` | the status of that URL over http, or the error code |
//! | `/connect?ADDRESS` | whether a TCP connection can be made |
//! | `/loop`, `/memory`, `/trap`, `/exit` | none: computes without end, takes memory without end, aborts, exits |
//! | `/trap-late`, `/trap-after` | aborts in the middle of the response's body, or after it |
//! | `/nothing`, `/code`, `/abort`, `/leak` | sets no response, an error code, drops the body unfinished, or keeps it |

#![cfg(target_family = "wasm")]

mod body;
mod fetch;

use body::{Reply, read_all, reply, stream_endlessly};
use std::sync::atomic::{AtomicU64, Ordering};
use wasip2::clocks::monotonic_clock::subscribe_duration;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{ErrorCode, Fields, IncomingRequest, ResponseOutparam};

wasip2::http::proxy::export!(Handler);

struct Handler;

/// How many requests this instance has handled.
static COUNT: AtomicU64 = AtomicU64::new(0);

impl Guest for Handler {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let count = COUNT.fetch_add(1, Ordering::Relaxed) + 1;
        let target = request.path_with_query().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let mut parts = path.trim_start_matches('/').splitn(2, '/');
        let (action, argument) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        let number = argument.parse().unwrap_or(0);
        match action {
            "hello" => reply(out, 200, "Hello, world!\n"),
            "echo" => body::echo(&request, out),
            "size" => {
                let read = read_all(&request).unwrap_or_else(|error| error);
                reply(out, 200, &format!("{read}\n"));
            }
            "strict" => {
                let read = read_all(&request).unwrap();
                reply(out, 200, &format!("{read}\n"));
            }
            "request" => reply(out, 200, &described(&request, &target)),
            "status" => {
                let status = u16::try_from(number).unwrap_or(0);
                let body = match status {
                    204 | 304 => String::new(),
                    _ => format!("status {status}\n"),
                };
                reply(out, status, &body);
            }
            "set" => set_header(out, query),
            "bytes" => Reply::new(out, 200, Fields::new()).bytes(number).finish(),
            "length" => {
                let headers = Fields::new();
                headers
                    .append("content-length", argument.as_bytes())
                    .unwrap();
                let mut reply = Reply::new(out, 200, headers);
                reply.write(b"12345");
                reply.finish();
            }
            "trailers" => {
                let headers = Fields::new();
                headers.append("trailer", b"x-sum").unwrap();
                let mut reply = Reply::new(out, 200, headers);
                reply.write(b"body\n");
                let trailers = Fields::new();
                trailers.append("x-sum", b"5").unwrap();
                reply.finish_with(trailers);
            }
            "endless" => stream_endlessly(out),
            "count" => reply(out, 200, &format!("{count}\n")),
            "print" => {
                println!("printed on standard output");
                eprintln!("printed on standard error \u{1b}[2J");
                reply(out, 200, "printed\n");
            }
            "sleep" => {
                sleep(number);
                reply(out, 200, "slept\n");
            }
            "sleep-after" => {
                reply(out, 200, "sleeping\n");
                sleep(number);
                println!("slept");
            }
            "fetch" => reply(out, 200, &format!("{}\n", fetch::get(query))),
            "connect" => {
                let text = match std::net::TcpStream::connect(query) {
                    Ok(_) => "connected\n".to_owned(),
                    Err(error) => format!("{:?}\n", error.kind()),
                };
                reply(out, 200, &text);
            }
            "loop" => loop {
                std::hint::black_box(count);
            },
            "memory" => {
                let mut all = Vec::new();
                loop {
                    all.push(vec![1_u8; 1 << 20]);
                    std::hint::black_box(&all);
                }
            }
            "trap" => std::process::abort(),
            "exit" => std::process::exit(3),
            "trap-late" => {
                let mut reply = Reply::new(out, 200, Fields::new());
                reply.write(b"begun\n");
                std::process::abort();
            }
            "trap-after" => {
                reply(out, 200, "complete\n");
                // The host has to take the response first.
                sleep(200);
                std::process::abort();
            }
            "nothing" => drop(out),
            "code" => ResponseOutparam::set(out, Err(ErrorCode::ConnectionRefused)),
            "abort" => {
                let mut reply = Reply::new(out, 200, Fields::new());
                reply.write(b"begun\n");
                reply.abort();
            }
            "leak" => {
                let mut reply = Reply::new(out, 200, Fields::new());
                reply.write(b"kept\n");
                std::mem::forget(reply);
            }
            _ => reply(out, 404, "not found\n"),
        }
    }
}

fn sleep(milliseconds: u64) {
    subscribe_duration(milliseconds.saturating_mul(1_000_000)).block();
}

fn described(request: &IncomingRequest, target: &str) -> String {
    let mut text = format!(
        "{:?} {:?} {} {target}\n",
        request.method(),
        request.scheme(),
        request.authority().unwrap_or_default()
    );
    for (name, value) in request.headers().entries() {
        text.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(&value)));
    }
    text
}

fn set_header(out: ResponseOutparam, header: &str) {
    let (name, value) = header.split_once(':').unwrap_or((header, ""));
    let headers = Fields::new();
    let name = String::from_utf8_lossy(&decoded(name)).into_owned();
    match headers.append(&name, &decoded(value)) {
        Ok(()) => {
            let mut reply = Reply::new(out, 200, headers);
            reply.write(b"set\n");
            reply.finish();
        }
        Err(error) => reply(out, 200, &format!("{error:?}\n")),
    }
}

/// Decodes `%XX`.
fn decoded(text: &str) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        let code = others
            .get(..2)
            .and_then(|hex| std::str::from_utf8(hex).ok());
        let code = code.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (first, code) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                rest = &others[2..];
            }
            _ => {
                decoded.push(*first);
                rest = others;
            }
        }
    }
    decoded
}
