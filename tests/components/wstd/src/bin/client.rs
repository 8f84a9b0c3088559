//! Takes URLs and addresses as its arguments. It sends a GET request for a URL, through `wasi:http`. It connects to an
//! address over TCP, sends `ping`, and reads until the peer closes.
//!
//! It prints a line for each: `ok`, the status and the body; `ok` and what the peer sent; or `failed` and the error.

use wstd::http::{Body, Client, Request};
use wstd::io::{AsyncRead, AsyncWrite};
use wstd::net::TcpStream;

/// The error of `wstd::http`, which any other error converts into.
type Outcome = wstd::http::error::Result<String>;

#[wstd::main]
async fn main() {
    for word in std::env::args().skip(1) {
        let outcome = if word.contains("://") {
            get(&word).await
        } else {
            ask(&word).await
        };
        match outcome {
            Ok(answer) => println!("ok {answer}"),
            Err(error) => println!("failed {error}"),
        }
    }
}

async fn get(url: &str) -> Outcome {
    let request = Request::get(url).body(Body::empty())?;
    let mut response = Client::new().send(request).await?;
    let status = response.status().as_u16();
    let body = response.body_mut().str_contents().await?;
    Ok(format!("{status} {}", body.trim_end()))
}

async fn ask(address: &str) -> Outcome {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"ping").await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
