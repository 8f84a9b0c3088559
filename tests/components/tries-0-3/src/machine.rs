//! Standard streams, memory, time and the environment.

use crate::attempt::{At, Attempt, Failure};
use crate::bindings::wasi::cli::environment::get_environment;
use crate::bindings::wasi::cli::exit::exit_with_code;
use crate::bindings::wasi::cli::{stdin, stdout};
use crate::bindings::wasi::clocks::monotonic_clock::wait_for;
use crate::bindings::wit_stream;
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

/// Print a line, and wait until it is written.
pub async fn say(line: &str) -> Result<(), Failure> {
    let (mut output, data) = wit_stream::new();
    let written = stdout::write_via_stream(data);
    let left = output.write_all(format!("{line}\n").into_bytes()).await;
    drop(output);
    written.await.at("stdout")?;
    match left.is_empty() {
        true => Ok(()),
        false => Err(Failure::new("not-written", "stdout")),
    }
}

pub async fn hear() -> Attempt {
    let (input, ended) = stdin::read_via_stream();
    let bytes = input.collect().await;
    ended.await.at("stdin")?;
    Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}

pub fn grow(count: usize) -> Attempt {
    let mut bytes: Vec<u8> = Vec::new();
    match bytes.try_reserve_exact(count) {
        Ok(()) => {
            black_box(&bytes);
            std::mem::forget(bytes);
            Ok(count.to_string())
        }
        Err(_) => Err(Failure::new("out-of-memory", "grow")),
    }
}

pub fn compute() -> Attempt {
    let mut number = 0u64;
    loop {
        number = black_box(number.wrapping_add(1));
    }
}

pub async fn sleep(seconds: f64) -> Attempt {
    // The test gives a few seconds at most.
    wait_for((seconds * 1e9) as u64).await;
    Ok(String::new())
}

/// Wait for a stream that nothing is written to.
pub async fn stall() -> Attempt {
    let (output, mut input) = wit_stream::new::<u8>();
    input.read(Vec::with_capacity(1)).await;
    drop(output);
    Ok(String::new())
}

pub fn exit(code: u8) -> Attempt {
    exit_with_code(code);
    Err(Failure::new("it-goes-on", "exit"))
}

pub fn env() -> Attempt {
    let variables = get_environment().into_iter();
    let mut variables: Vec<String> = variables
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    variables.sort();
    Ok(variables.join(" "))
}

/// Connect with the standard library's sockets, which are those of WASI 0.2.
pub fn old_connect(address: &str) -> Attempt {
    let failed = |error: std::io::Error| Failure::new(format!("{:?}", error.kind()), "connect");
    let mut stream = TcpStream::connect(address).map_err(failed)?;
    stream.write_all(b"ping").map_err(failed)?;
    stream.shutdown(Shutdown::Write).map_err(failed)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(failed)?;
    Ok(answer)
}
