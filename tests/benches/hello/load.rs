//! The load: clients that ask without a pause beside clients that hold a connection and are silent.
//!
//! It runs in a process of its own. It prints `held` when all connections are open and each has been
//! answered once, waits for a line on its standard input, and prints what it has measured.

use super::client::Client;
use std::io::{self, BufRead};
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// How often a silent client says something while the others are busy. Much less than once per
/// connection: they are silent as far as the server is concerned.
const WAKE_EVERY: Duration = Duration::from_millis(50);

/// How long the busy are busy before it counts.
const WARM_UP: Duration = Duration::from_millis(500);

/// How the load's own event loop works. It decides how many messages are under way at once, and so what a server gains by
/// answering many in one turn.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// It looks for answers often, each with a time limit, and takes the time of each: for latencies.
    Watchful,
    /// A usual tokio program: default settings, a task for each connection, every reply checked, no time limit.
    Plain,
}

impl Shape {
    fn word(self) -> &'static str {
        match self {
            Shape::Watchful => "watchful",
            Shape::Plain => "plain",
        }
    }
}

/// What a process is to do.
#[derive(Clone, Copy)]
pub struct Load {
    /// How many clients ask without a pause.
    pub busy: usize,
    /// How many are silent.
    pub idle: usize,
    /// How many messages a busy one sends in one write.
    pub batch: usize,
    /// For how long.
    pub seconds: u64,
    pub shape: Shape,
}

impl Load {
    /// The words that [`run`] understands.
    pub fn words(&self, server: SocketAddr) -> [String; 6] {
        [
            server.to_string(),
            self.busy.to_string(),
            self.idle.to_string(),
            self.batch.to_string(),
            self.seconds.to_string(),
            self.shape.word().to_owned(),
        ]
    }
}

/// Puts a server under load, as the words say, and prints what came of it.
pub fn run(words: &[String]) -> io::Result<()> {
    let server: SocketAddr = word(words, 0)?;
    let load = Load {
        busy: word(words, 1)?,
        idle: word(words, 2)?,
        batch: word(words, 3)?,
        seconds: word(words, 4)?,
        shape: match word::<String>(words, 5)?.as_str() {
            "plain" => Shape::Plain,
            _ => Shape::Watchful,
        },
    };
    let mut builder = tokio::runtime::Builder::new_current_thread();
    if load.shape == Shape::Watchful {
        // Answers are looked for often, however many clients are busy: what is measured is how long the
        // server takes, not how long an answer lies here.
        builder.event_interval(16);
    }
    let runtime = builder.enable_all().build()?;
    runtime.block_on(put(server, load))
}

fn word<T: FromStr>(words: &[String], index: usize) -> io::Result<T> {
    let word = words.get(index).and_then(|word| word.parse().ok());
    word.ok_or_else(|| io::Error::other(format!("word {index} of {words:?} is no good")))
}

async fn put(server: SocketAddr, load: Load) -> io::Result<()> {
    let mut idle = Vec::with_capacity(load.idle);
    for number in 0..load.idle {
        let mut client = Client::connect(server, number, 1).await?;
        client.ask().await?;
        idle.push(client);
    }
    let mut busy = Vec::with_capacity(load.busy);
    for number in 0..load.busy {
        let mut client = Client::connect(server, load.idle + number, load.batch).await?;
        client.ask().await?;
        busy.push(client);
    }
    println!("held");
    io::stdin().lock().read_line(&mut String::new())?;

    let start = Instant::now() + WARM_UP;
    let end = start + Duration::from_secs(load.seconds);
    let tasks: Vec<_> = busy
        .into_iter()
        .map(|client| match load.shape {
            Shape::Watchful => tokio::spawn(keep_asking(client, start, end)),
            Shape::Plain => tokio::spawn(keep_exchanging(client, start, end)),
        })
        .collect();
    let wakes = match idle.is_empty() || load.busy == 0 {
        true => Vec::new(),
        false => wake_some(&mut idle, start, end).await?,
    };
    let (mut latencies, mut asked) = (Vec::new(), idle.len() + wakes.len());
    for task in tasks {
        let (all, counted) = task.await.map_err(io::Error::other)??;
        asked += all * load.batch;
        latencies.extend(counted);
    }
    ask_everybody(idle).await?;
    println!("asked {asked}");
    let messages = latencies.len() * load.batch;
    println!("messages/s {:.0}", messages as f64 / load.seconds as f64);
    print("latency", latencies);
    print("wake", wakes);
    Ok(())
}

/// Asks until the end; gives how often, and how long each answer took that was asked for after the
/// start.
async fn keep_asking(
    mut client: Client,
    start: Instant,
    end: Instant,
) -> io::Result<(usize, Vec<Duration>)> {
    let (mut asked, mut latencies) = (0, Vec::new());
    loop {
        let now = Instant::now();
        if now >= end {
            return Ok((asked, latencies));
        }
        let latency = client.ask().await?;
        asked += 1;
        if now >= start {
            latencies.push(latency);
        }
    }
}

/// The same without a time limit for each answer, and without their times: they are given as zero.
async fn keep_exchanging(
    mut client: Client,
    start: Instant,
    end: Instant,
) -> io::Result<(usize, Vec<Duration>)> {
    let (mut asked, mut counted) = (0, 0);
    loop {
        let now = Instant::now();
        if now >= end {
            return Ok((asked, vec![Duration::ZERO; counted]));
        }
        client.exchange().await?;
        asked += 1;
        counted += usize::from(now >= start);
    }
}

/// Lets every silent client send a message, to notice dropped connections.
async fn ask_everybody(idle: Vec<Client>) -> io::Result<()> {
    let tasks: Vec<_> = idle
        .into_iter()
        .map(|mut client| tokio::spawn(async move { client.ask().await }))
        .collect();
    for task in tasks {
        task.await.map_err(io::Error::other)??;
    }
    Ok(())
}

/// Lets one silent client after the other say something; gives how long each answer took.
async fn wake_some(idle: &mut [Client], start: Instant, end: Instant) -> io::Result<Vec<Duration>> {
    tokio::time::sleep_until(start.into()).await;
    let mut wakes = Vec::new();
    let count = idle.len();
    // A stride without a common divisor: all over the place, none of them twice.
    let mut next = (0..count).map(|index| index * 7919 % count);
    while Instant::now() < end
        && let Some(index) = next.next()
    {
        wakes.push(idle[index].ask().await?);
        tokio::time::sleep(WAKE_EVERY).await;
    }
    Ok(wakes)
}

fn print(name: &str, mut times: Vec<Duration>) {
    if times.is_empty() {
        return;
    }
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e6;
    println!("{name}-p50-us {:.1}", at(0.5));
    println!("{name}-p99-us {:.1}", at(0.99));
    println!("{name}-max-us {:.1}", at(1.0));
}
