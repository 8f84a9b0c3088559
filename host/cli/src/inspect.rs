//! `sockbox inspect`.

use crate::args::Inspect;
use crate::exit::Failure;
use crate::output::Output;
use crate::source;
use serde_json::{Value, json};
use sockbox::inspect::{Ability, Capability, Grant, Item, Kind, Report};
use sockbox::{Error, Sandbox, Wasi};
use sockbox_printable as printable;
use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

pub fn run(args: Inspect) -> Result<(), Failure> {
    let (name, bytes) = source::read(&args.component)?;
    let report = within(MAX_TIME, {
        let name = name.clone();
        move || Sandbox::new()?.inspect_named(name, bytes)
    })?;
    let name = name.to_string_lossy();
    let text = if args.json {
        printable::json(format!("{:#}\n", to_json(&name, &report)))
    } else {
        let mut text = String::new();
        // A string takes whatever is written to it.
        let _ = write_text(&mut text, &name, &report, args.verbose);
        text
    };
    let output = Output::stdout()?;
    output
        .writer()?
        .write_all(text.as_bytes())
        .map_err(|source| output.failed(source))
}

/// The longest that looking at a component may take: 60 seconds. What is no more than large takes some; what
/// is made to be hard to check takes hours.
const MAX_TIME: Duration = Duration::from_secs(60);

/// Do something on a thread of its own, which is left alone when it takes longer: the process ends.
fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Failure> {
    let (sender, done) = mpsc::channel();
    let started = thread::Builder::new().spawn(move || {
        // Too late, if it is not waited for.
        let _ = sender.send(work());
    });
    started.map_err(Failure::system)?;
    match done.recv_timeout(limit) {
        Ok(done) => Ok(done?),
        Err(RecvTimeoutError::Timeout) => Err(Error::WallTime { limit }.into()),
        Err(RecvTimeoutError::Disconnected) => Err(Failure::system(io::Error::other(
            "looking at the component failed",
        ))),
    }
}

fn to_json(file: &str, report: &Report) -> Value {
    let items = |items: &[Item]| -> Value {
        let item = |item: &Item| json!({ "name": item.name, "functions": item.functions });
        items.iter().map(item).collect()
    };
    let flags = |ability: Ability| -> Value {
        let grants = ability.grants().iter();
        grants.map(flag).collect()
    };
    let capabilities = report.capabilities.iter().map(|it| {
        json!({
            "id": it.ability.id(),
            "text": it.ability.to_string(),
            "certain": it.certain,
            "grants": flags(it.ability),
        })
    });
    let core_modules = report.core_modules.iter().map(|it| {
        let memories = it
            .memories
            .iter()
            .map(|memory| json!({ "min_bytes": memory.min_bytes, "max_bytes": memory.max_bytes }));
        json!({
            "name": it.name,
            "bytes": it.bytes,
            "code_bytes": it.code_bytes,
            "data_bytes": it.data_bytes,
            "memories": memories.collect::<Value>(),
        })
    });
    let producers = report
        .producers
        .iter()
        .map(|it| json!({ "field": it.field, "name": it.name, "version": it.version }));
    json!({
        "file": file,
        "kind": match report.kind {
            Kind::Command => "command",
            Kind::Handler => "handler",
            Kind::Component => "component",
            Kind::CoreModule => "core-module",
            Kind::Precompiled => "precompiled",
            _ => "other",
        },
        "wasi": match report.wasi {
            Wasi::V0_2 => "0.2",
            Wasi::V0_3 => "0.3",
        },
        "name": report.name,
        "runnable": report.obstacle.is_none(),
        "obstacle": report.obstacle,
        "capabilities": capabilities.collect::<Value>(),
        "grants": report.grants().map(|grant| flag(&grant)).collect::<Value>(),
        "imports": items(&report.imports),
        "exports": items(&report.exports),
        "incomplete": report.incomplete,
        "bytes": report.bytes,
        "code_bytes": report.code_bytes(),
        "custom_bytes": report.custom_bytes,
        "components": report.components,
        "core_modules": core_modules.collect::<Value>(),
        "producers": producers.collect::<Value>(),
    })
}

fn write_text(to: &mut String, file: &str, report: &Report, verbose: bool) -> fmt::Result {
    let file = printable::line(file);
    let kind = match report.kind {
        Kind::Command => "a command: a component that is a program",
        Kind::Handler => "a handler: a component that handles HTTP requests",
        Kind::Component => "a component",
        Kind::CoreModule => "a core module, not a component",
        Kind::Precompiled => "native code, compiled by wasmtime; nothing more can be told of it",
        _ => "something else",
    };
    writeln!(to, "{file}: {kind}")?;
    if let Some(name) = &report.name {
        writeln!(to, "  it calls itself {}", shortened(name))?;
    }
    match &report.obstacle {
        None if report.kind == Kind::Handler => {
            let wasi = match report.wasi {
                Wasi::V0_3 => ", on WASI 0.3, which is experimental",
                _ => "",
            };
            writeln!(to, "  `sockbox run --listen-http ADDRESS` serves it{wasi}")?;
        }
        None if report.wasi == Wasi::V0_3 => {
            writeln!(
                to,
                "  `sockbox run` runs it, on WASI 0.3, which is experimental"
            )?;
        }
        None => writeln!(to, "  `sockbox run` runs it")?,
        Some(obstacle) => {
            writeln!(
                to,
                "  `sockbox run` can't run it: {}",
                printable::line(obstacle)
            )?;
        }
    }
    if report.kind == Kind::Precompiled {
        return writeln!(to, "\nsize: {}", Size(report.bytes));
    }
    write_capabilities(to, report)?;
    write_items(to, "imports", &report.imports, verbose)?;
    write_items(to, "exports", &report.exports, verbose)?;
    write_sizes(to, report)?;
    write_producers(to, report)?;
    if report.incomplete {
        writeln!(to, "\nThere is more than these lists take.")?;
    }
    Ok(())
}

fn write_capabilities(to: &mut String, report: &Report) -> fmt::Result {
    let (granted, free): (Vec<&Capability>, Vec<_>) = report
        .capabilities
        .iter()
        .partition(|it| !it.ability.grants().is_empty());
    if report.kind != Kind::CoreModule && granted.is_empty() {
        writeln!(
            to,
            "\nno grant is of any use to it: it can't reach network, files or environment"
        )?;
    }
    for (title, capabilities) in [
        ("with a grant, it can", granted),
        ("without one, it can", free),
    ] {
        if capabilities.is_empty() {
            continue;
        }
        writeln!(to, "\n{title}")?;
        for it in capabilities {
            let mut text = it.ability.to_string();
            if !it.certain {
                text.push_str(" (could: of what it imports, only the name is known)");
            }
            let flags: Vec<_> = it.ability.grants().iter().map(flag).collect();
            let line = format!("  {text:40} {}", flags.join(", "));
            writeln!(to, "{}", line.trim_end())?;
        }
    }
    Ok(())
}

fn write_items(to: &mut String, title: &str, items: &[Item], verbose: bool) -> fmt::Result {
    if items.is_empty() {
        return Ok(());
    }
    writeln!(to, "\n{title}")?;
    let (shown, rest) = items.split_at(if verbose {
        items.len()
    } else {
        items.len().min(SHOWN)
    });
    for item in shown {
        write!(to, "  {}", shortened(&item.name))?;
        match item.functions.as_slice() {
            [] => {}
            functions if verbose || functions.len() <= SHOWN_FUNCTIONS => {
                let functions: Vec<_> = functions.iter().map(|it| shortened(it)).collect();
                write!(to, ": {}", functions.join(", "))?;
            }
            functions => write!(to, ": {} functions", functions.len())?,
        }
        writeln!(to)?;
    }
    match rest.len() {
        0 => Ok(()),
        more => writeln!(to, "  and {more} more (-v names them)"),
    }
}

fn write_sizes(to: &mut String, report: &Report) -> fmt::Result {
    let modules = &report.core_modules;
    writeln!(to, "\nsizes")?;
    writeln!(to, "  {:>10}  the file", Size(report.bytes))?;
    writeln!(
        to,
        "  {:>10}  code, in {} core module{}",
        Size(report.code_bytes()),
        modules.len(),
        if modules.len() == 1 { "" } else { "s" },
    )?;
    let data: u64 = modules.iter().map(|it| it.data_bytes).sum();
    writeln!(to, "  {:>10}  data", Size(data))?;
    writeln!(
        to,
        "  {:>10}  names, debugging information and the like",
        Size(report.custom_bytes)
    )?;
    if report.components > 0 {
        writeln!(to, "  {:>10}  components in it", report.components)?;
    }
    for memory in modules.iter().flat_map(|it| &it.memories).take(SHOWN) {
        write!(
            to,
            "  {:>10}  memory at the start, ",
            Size(memory.min_bytes)
        )?;
        match memory.max_bytes {
            Some(max) => writeln!(to, "{} at most", Size(max))?,
            None => writeln!(to, "with no bound of its own")?,
        }
    }
    Ok(())
}

fn write_producers(to: &mut String, report: &Report) -> fmt::Result {
    if report.producers.is_empty() {
        return Ok(());
    }
    writeln!(to, "\nmade with")?;
    for it in &report.producers {
        let line = format!(
            "  {:12} {} {}",
            it.field,
            shortened(&it.name),
            shortened(&it.version)
        );
        writeln!(to, "{}", line.trim_end())?;
    }
    Ok(())
}

/// How many lines a list has for people, unless they want all.
const SHOWN: usize = 40;
/// How many functions are named on a line.
const SHOWN_FUNCTIONS: usize = 3;
/// How many characters of a name are shown.
const NAME_WIDTH: usize = 200;

/// A name that comes from the file.
fn shortened(name: &str) -> String {
    let name = printable::line(name);
    match name.char_indices().nth(NAME_WIDTH) {
        Some((end, _)) => format!("{}\u{2026}", &name[..end]),
        None => name.into_owned(),
    }
}

/// A number of bytes for people.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        let mut shown = format!("{} B", self.0);
        let mut size = self.0 as f64;
        for unit in units {
            if size < 1024.0 {
                break;
            }
            size /= 1024.0;
            shown = format!("{size:.1} {unit}");
        }
        f.pad(&shown)
    }
}

/// The option that grants it.
fn flag(grant: &Grant) -> String {
    format!("--{}", grant.key())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_too_long_is_given_up() {
        assert_eq!(within(MAX_TIME, || Ok(1)).unwrap(), 1);
        let (going, ended) = mpsc::channel::<()>();
        let late = within(Duration::ZERO, move || {
            // Until the test is over.
            let _ = ended.recv();
            Ok(())
        });
        assert_eq!(late.unwrap_err().code(), 124);
        drop(going);
    }

    #[test]
    fn sizes_for_people() {
        for (bytes, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1 << 20, "1.0 MiB"),
            (4 << 30, "4.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(Size(bytes).to_string(), expected);
        }
    }
}
