//! One client, which checks what it is answered.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// How long an answer may take before it counts as none.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Client {
    stream: TcpStream,
    /// What is sent in one write, and what comes back for it.
    messages: Vec<u8>,
    answers: Vec<u8>,
    received: Vec<u8>,
}

impl Client {
    /// Connects; `number` makes its messages its own, `batch` is how many it sends in one write.
    pub async fn connect(server: SocketAddr, number: usize, batch: usize) -> io::Result<Self> {
        let stream = TcpSocket::new_v4()?.connect(server).await?;
        stream.set_nodelay(true)?;
        let (mut messages, mut answers) = (Vec::new(), Vec::new());
        for index in 0..batch {
            let message = format!("client {number}.{index}");
            messages.extend_from_slice(format!("{message}\n").as_bytes());
            answers.extend_from_slice(format!("Hello, {message}!\n").as_bytes());
        }
        Ok(Self {
            stream,
            messages,
            received: Vec::new(),
            answers,
        })
    }

    /// Sends its messages and takes the answers; gives the time in between.
    pub async fn ask(&mut self) -> io::Result<Duration> {
        let sent = Instant::now();
        match tokio::time::timeout(PATIENCE, self.exchange()).await {
            Err(_) => Err(io::Error::other("an answer didn't come")),
            Ok(Err(error)) => Err(error),
            Ok(Ok(())) => Ok(sent.elapsed()),
        }
    }

    /// The same without a time limit.
    pub async fn exchange(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.messages).await?;
        self.received.resize(self.answers.len(), 0);
        self.stream.read_exact(&mut self.received).await?;
        let right = self.received == self.answers;
        // Ten thousand of these that wait should not weigh on the machine.
        if self.messages.len() < 64 {
            self.received = Vec::new();
        }
        match right {
            true => Ok(()),
            false => Err(io::Error::other("a wrong answer came")),
        }
    }
}
