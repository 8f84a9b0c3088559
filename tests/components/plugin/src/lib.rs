//! A plugin of the example `plugins`. The variable `MODE` says what it does with a task:
//!
//! | `MODE` | what it does |
//! |---|---|
//! | `greet` | connects to the address behind the first word of the task, and tells what the peer says |
//! | `trap` | aborts |
//! | `loop` | computes without end |
//! | `memory` | takes memory without end |
//! | `flood` | opens as many connections to `PEER` as it gets, and tells how many |
//! | `scan` | connects to every port of 10.0.0.1, one after the other, up to 100 |

#![cfg(target_family = "wasm")]

use std::env::var;
use std::io::{Read, Write};
use std::net::TcpStream;

wit_bindgen::generate!({
    path: "../../../host/sockbox/examples/plugins",
    world: "plugin",
});

struct Plugin;

export!(Plugin);

impl Guest for Plugin {
    fn run(task: String) -> Result<String, String> {
        let mode = var("MODE").unwrap_or_default();
        example::plugins::log::line(&format!("{task} by {mode}"));
        match mode.as_str() {
            "greet" => greet(&task).map_err(|error| error.to_string()),
            "trap" => {
                eprintln!("this plugin does not like {task}");
                std::process::abort()
            }
            "loop" => {
                let mut number = 0_u64;
                loop {
                    number = std::hint::black_box(number).wrapping_add(1);
                }
            }
            "memory" => {
                let mut kept = Vec::new();
                loop {
                    kept.push(vec![1_u8; 1 << 20]);
                    std::hint::black_box(&kept);
                }
            }
            "flood" => Ok(flood()),
            "scan" => Ok(scan()),
            other => Err(format!("there is no mode `{other}`")),
        }
    }
}

fn greet(task: &str) -> std::io::Result<String> {
    let (_, address) = task.split_once(' ').unwrap_or_default();
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"hello\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.trim_end().to_owned())
}

fn flood() -> String {
    let peer = var("PEER").unwrap_or_default();
    let attempts: Vec<_> = (0..100).map(|_| TcpStream::connect(&peer)).collect();
    let open = attempts.iter().filter(|attempt| attempt.is_ok()).count();
    format!("{open} of {} connections", attempts.len())
}

fn scan() -> String {
    let connect = |port: u16| TcpStream::connect(("10.0.0.1", port));
    let open = (1..=100).filter(|port| connect(*port).is_ok()).count();
    format!("{open} ports are open")
}
