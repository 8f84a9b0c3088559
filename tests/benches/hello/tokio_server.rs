//! The same protocol in native code: a task for each connection, one thread, nothing in between.

use std::io;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

/// Serves until it is killed.
pub fn run() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("listening on {}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(async move {
                // A client that has gone away is no reason to stop serving the others.
                let _ = serve(stream).await;
            });
        }
    })
}

async fn serve(mut stream: TcpStream) -> io::Result<()> {
    let mut partial = Vec::new();
    let mut answers = Vec::new();
    loop {
        stream.readable().await?;
        let goes_on = receive(&stream, &mut partial, &mut answers)?;
        stream.write_all(&answers).await?;
        if !goes_on {
            return Ok(());
        }
        // A connection that waits holds no buffer.
        answers = Vec::new();
    }
}

/// Reads once and answers what came; whether the conversation goes on.
fn receive(stream: &TcpStream, partial: &mut Vec<u8>, answers: &mut Vec<u8>) -> io::Result<bool> {
    let mut buffer = [0; 16 * 1024];
    let read = match stream.try_read(&mut buffer) {
        Ok(0) => return Ok(false),
        Ok(read) => read,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
        Err(error) => return Err(error),
    };
    let mut rest = &buffer[..read];
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        partial.extend_from_slice(&rest[..end]);
        if partial == b"exit" {
            return Ok(false);
        }
        answer(partial, answers);
        answers.push(b'\n');
        rest = &rest[end + 1..];
    }
    partial.extend_from_slice(rest);
    if !partial.is_empty() && read < buffer.len() {
        answer(partial, answers);
    }
    Ok(true)
}

fn answer(message: &mut Vec<u8>, answers: &mut Vec<u8>) {
    answers.extend_from_slice(b"Hello, ");
    answers.append(message);
    answers.push(b'!');
}
