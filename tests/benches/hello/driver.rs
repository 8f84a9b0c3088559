//! Runs every server under every load, several times, and prints the medians.

use super::load::Load;
use super::rows::{Against, Figure, Goal, ROWS, Row, held_to_goals};
use super::servers::Server;
use sockbox_tests::{Process, Program};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::time::Duration;

/// How often every server has its turn at a row.
const ROUNDS: usize = 5;

/// Every measured value, round by round.
type Measured = BTreeMap<(&'static str, Server), Vec<Values>>;

/// What one run of a load gave.
struct Values {
    printed: BTreeMap<String, f64>,
    memory_kib: f64,
    /// Processor time of the server's while the clients were asking.
    processor: Duration,
    connections: usize,
}

/// Runs what the words ask for.
pub fn run(words: &[String]) -> io::Result<()> {
    let mut rounds = ROUNDS;
    let mut names = Vec::new();
    let mut servers = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--rounds" => {
                let number = words.next().and_then(|word| word.parse().ok());
                rounds = number.ok_or_else(|| io::Error::other("--rounds needs a number"))?;
            }
            "--server" => {
                let name = words.next().map_or("", String::as_str);
                let found = Server::ALL.into_iter().find(|it| it.name() == name);
                servers
                    .push(found.ok_or_else(|| io::Error::other("--server needs a server's name"))?);
            }
            name => names.push(name),
        }
    }
    let rows: Vec<&Row> = ROWS
        .iter()
        .filter(|row| names.is_empty() || names.iter().any(|name| row.name.contains(name)))
        .collect();
    if servers.is_empty() {
        servers.extend(Server::ALL);
    }

    let mut measured = Measured::new();
    for round in 1..=rounds {
        for row in &rows {
            for &server in &servers {
                eprint!("\r\x1b[Kround {round}: {}, {}", row.name, server.name());
                let values = measure(server, row.load)?;
                measured.entry((row.name, server)).or_default().push(values);
            }
        }
    }
    eprint!("\r\x1b[K");
    rows.iter().try_for_each(|row| print(row, &measured))
}

/// Runs a load against a server.
fn measure(server: Server, load: Load) -> io::Result<Values> {
    let serving = server.start();
    let mut words = vec!["load".to_owned()];
    words.extend(load.words(serving.address()));
    let mut process = Program::this(words).with_stdin().start();
    process.wait_for_stdout("all clients connected", |stdout| {
        stdout.contains("held\n").then_some(())
    });
    let memory_kib = resident(serving.process())?;
    let before = processor_time(serving.process())?;
    process.stdin().write_all(b"\n")?;
    let finished = process.wait();
    let processor = processor_time(serving.process())?.saturating_sub(before);
    finished.assert_code(0);
    let printed = finished
        .stdout_text()
        .lines()
        .filter_map(|line| {
            let (name, value) = line.split_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        })
        .collect();
    Ok(Values {
        printed,
        memory_kib,
        processor,
        connections: load.busy + load.idle,
    })
}

/// How much of a process is in memory, in KiB.
fn resident(process: &Process) -> io::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id()))?;
    let found = status.lines().find_map(|line| {
        let size = line.strip_prefix("VmRSS:")?.trim();
        size.strip_suffix(" kB")?.parse().ok()
    });
    found.ok_or_else(|| io::Error::other("the server has ended"))
}

/// How much processor time a process has had: user's and system's together.
fn processor_time(process: &Process) -> io::Result<Duration> {
    // Behind the name, which may contain anything, and from the third field on.
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.id()))?;
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks = |index| -> Option<u64> { fields.split_whitespace().nth(index)?.parse().ok() };
    let both = ticks(11).zip(ticks(12));
    let (user, system) = both.ok_or_else(|| io::Error::other("the server has ended"))?;
    Ok(Duration::from_millis(
        (user + system) * 1000 / rustix::param::clock_ticks_per_second(),
    ))
}

fn print(row: &Row, measured: &Measured) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for (figure, against, goal) in row.figures {
        writeln!(out, "{}: {}", row.name, describe(*figure))?;
        for server in Server::ALL {
            let Some(value) = median(measured, row.name, server, *figure) else {
                continue;
            };
            let reference = match against {
                Against::Tokio => median(measured, row.name, Server::Tokio, *figure),
                Against::Own(name) => median(measured, name, server, *figure),
                Against::Nothing => Some(1.0),
            };
            write!(
                out,
                "    {:<18}{value:>12.1} {}",
                server.name(),
                figure.unit()
            )?;
            if let Some(reference) = reference {
                let compared = value / reference;
                if !matches!(against, Against::Nothing) {
                    write!(out, ", {compared:.2} x {}", name(*against))?;
                }
                if held_to_goals(server)
                    && let Some(goal) = goal
                {
                    write!(out, "  (goal: {}, {})", wanted(*goal), met(*goal, compared))?;
                }
            }
            writeln!(out)?;
        }
    }
    Ok(())
}

fn describe(figure: Figure) -> &'static str {
    match figure {
        Figure::MessagesPerSecond => "messages per second",
        Figure::MedianLatency => "median latency",
        Figure::ProcessorTime => "the server's processor time per message",
        Figure::UsualWake => "how long a silent client that speaks waits",
        Figure::LongestWake => "the longest wait of a silent client that speaks",
        Figure::MemoryPerConnection => "memory of the whole process per connection",
    }
}

fn name(against: Against) -> String {
    match against {
        Against::Tokio => "tokio's".to_owned(),
        Against::Own(name) => format!("its own with {name}"),
        Against::Nothing => String::new(),
    }
}

fn wanted(goal: Goal) -> String {
    match goal {
        Goal::AtLeast(bound) => format!("at least {bound}"),
        Goal::AtMost(bound) => format!("at most {bound}"),
    }
}

fn met(goal: Goal, value: f64) -> &'static str {
    let met = match goal {
        Goal::AtLeast(bound) => value >= bound,
        Goal::AtMost(bound) => value <= bound,
    };
    if met { "met" } else { "missed" }
}

fn median(measured: &Measured, row: &'static str, server: Server, figure: Figure) -> Option<f64> {
    let rounds = measured.get(&(row, server))?;
    let mut values: Vec<f64> = rounds
        .iter()
        .filter_map(|values| {
            let printed = |name| values.printed.get(name).copied();
            match figure {
                Figure::MessagesPerSecond => printed("messages/s"),
                Figure::MedianLatency => printed("latency-p50-us"),
                Figure::ProcessorTime => {
                    printed("asked").map(|asked| values.processor.as_secs_f64() * 1e6 / asked)
                }
                Figure::LongestWake => printed("wake-max-us").map(|us| us / 1000.0),
                Figure::UsualWake => printed("wake-p50-us").map(|us| us / 1000.0),
                Figure::MemoryPerConnection => Some(values.memory_kib / values.connections as f64),
            }
        })
        .collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
