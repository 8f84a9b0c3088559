//! The handler.

use crate::bindings::exports::wasi::http::handler::Guest;
use crate::bindings::wasi::clocks::monotonic_clock::wait_for;
use crate::bindings::wasi::filesystem::preopens::get_directories;
use crate::bindings::wasi::filesystem::types::{DescriptorFlags, OpenFlags, PathFlags};
use crate::bindings::wasi::http::types::{ErrorCode, Fields, Request, Response};
use crate::bindings::wit_future;
use crate::body::{Reply, echo, pass, read_all, reply};
use crate::{fetch, request};
use std::sync::atomic::{AtomicU64, Ordering};
use wit_bindgen::spawn_local as spawn;

struct Handler;

crate::bindings::export!(Handler with_types_in crate::bindings);

/// How many requests this instance has handled.
static COUNT: AtomicU64 = AtomicU64::new(0);

impl Guest for Handler {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let count = COUNT.fetch_add(1, Ordering::Relaxed) + 1;
        let target = request.get_path_with_query().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let mut parts = path.trim_start_matches('/').splitn(2, '/');
        let (action, argument) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        let number = argument.parse().unwrap_or(0);
        Ok(match action {
            "hello" => reply(200, "Hello, world!\n"),
            "echo" => echo(request),
            "pass" => pass(request),
            "size" => {
                let read = read_all(request).await;
                reply(200, format!("{}\n", read.unwrap_or_else(|error| error)))
            }
            "strict" => {
                let read = read_all(request).await.unwrap();
                reply(200, format!("{read}\n"))
            }
            "request" => reply(200, request::described(&request, &target)),
            "status" => {
                let status = u16::try_from(number).unwrap_or(0);
                let body = match status {
                    204 | 304 => String::new(),
                    _ => format!("status {status}\n"),
                };
                reply(status, body)
            }
            "set" => match request::header(query) {
                Ok(headers) => written(headers, b"set\n"),
                Err(error) => reply(200, format!("{error:?}\n")),
            },
            "bytes" => {
                let (response, mut body) = Reply::new(200, Fields::new());
                spawn(async move {
                    body.write_bytes(number).await;
                    body.finish(Ok(None)).await;
                });
                response
            }
            "length" => {
                let headers = Fields::new();
                headers
                    .append("content-length", argument.as_bytes())
                    .unwrap();
                written(headers, b"12345")
            }
            "trailers" => {
                let headers = Fields::new();
                headers.append("trailer", b"x-sum").unwrap();
                let (response, mut body) = Reply::new(200, headers);
                spawn(async move {
                    body.write(b"body\n").await;
                    let trailers = Fields::new();
                    trailers.append("x-sum", b"5").unwrap();
                    body.finish(Ok(Some(trailers))).await;
                });
                response
            }
            "endless" => {
                let (response, body) = Reply::new(200, Fields::new());
                spawn(body.write_endlessly());
                response
            }
            "never" => {
                let (response, mut body) = Reply::new(200, Fields::new());
                spawn(async move {
                    body.write(b"begun\n").await;
                    body.forget();
                });
                response
            }
            "count" => reply(200, format!("{count}\n")),
            "print" => {
                println!("printed on standard output");
                eprintln!("printed on standard error \u{1b}[2J");
                reply(200, "printed\n")
            }
            "sleep" => {
                sleep(number).await;
                reply(200, "slept\n")
            }
            "sleep-after" => {
                spawn(async move {
                    sleep(number).await;
                    println!("slept");
                });
                reply(200, "sleeping\n")
            }
            "sent" => {
                let (response, mut body, sent) = Reply::with_result(200, Fields::new());
                spawn(async move {
                    body.write(b"text\n").await;
                    body.finish(Ok(None)).await;
                    println!("sent: {:?}", sent.await);
                });
                response
            }
            "fetch" => reply(200, format!("{}\n", fetch::get(query).await)),
            "forward" => fetch::forward(query).await?,
            "file" => file(query).await,
            "connect" => {
                let text = match std::net::TcpStream::connect(query) {
                    Ok(_) => "connected\n".to_owned(),
                    Err(error) => format!("{:?}\n", error.kind()),
                };
                reply(200, text)
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
                let (response, mut body) = Reply::new(200, Fields::new());
                spawn(async move {
                    body.write(b"begun\n").await;
                    std::process::abort();
                });
                response
            }
            "trap-after" => {
                spawn(async {
                    // The host has to take the response first.
                    sleep(200).await;
                    std::process::abort();
                });
                reply(200, "complete\n")
            }
            "code" => return Err(ErrorCode::ConnectionRefused),
            "abort" => {
                let (response, mut body) = Reply::new(200, Fields::new());
                spawn(async move {
                    body.write(b"begun\n").await;
                    body.finish(Err(ErrorCode::InternalError(None))).await;
                });
                response
            }
            _ => reply(404, "not found\n"),
        })
    }
}

async fn sleep(milliseconds: u64) {
    wait_for(milliseconds.saturating_mul(1_000_000)).await;
}

/// A response with these headers and this body.
fn written(headers: Fields, bytes: &'static [u8]) -> Response {
    let (response, mut body) = Reply::new(200, headers);
    spawn(async move {
        body.write(bytes).await;
        body.finish(Ok(None)).await;
    });
    response
}

/// Respond with the stream of a file.
async fn file(name: &str) -> Response {
    let directories = get_directories();
    let (directory, _) = &directories[0];
    let file = directory
        .open_at(
            PathFlags::empty(),
            name.to_owned(),
            OpenFlags::empty(),
            DescriptorFlags::READ,
        )
        .await
        .unwrap();
    let (contents, _) = file.read_via_stream(0);
    let (_, trailers) = wit_future::new(|| Ok(None));
    Response::new(Fields::new(), Some(contents), trailers).0
}
