//! Memory, time, files and the environment.

use crate::attempt::{At, Attempt, Failure};
use std::hint::black_box;
use std::time::Duration;
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::ip_name_lookup::resolve_addresses;

/// As the name of a host, that being something that the host of the component looks at and refuses.
pub fn hand_over(count: usize) -> Attempt {
    let name = "a".repeat(count);
    match resolve_addresses(&instance_network(), &name) {
        Ok(_) => Err(Failure::new("no-error", "resolve")),
        Err(_) => Ok(String::new()),
    }
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

pub fn sleep(seconds: f64) -> Attempt {
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) => std::thread::sleep(duration),
        Err(error) => return Err(Failure::new("bad-argument", error.to_string())),
    }
    Ok(String::new())
}

pub fn read(file: &str) -> Attempt {
    std::fs::read_to_string(file).at("read")
}

pub fn write(file: &str, text: &str) -> Attempt {
    std::fs::write(file, text).at("write")?;
    Ok(String::new())
}

pub fn remove(file: &str) -> Attempt {
    std::fs::remove_file(file).at("remove")?;
    Ok(String::new())
}

pub fn list(folder: &str) -> Attempt {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).at("list")? {
        names.push(entry.at("list")?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names.join(" "))
}

pub fn env() -> Attempt {
    let mut variables: Vec<String> = std::env::vars_os()
        .map(|(name, value)| format!("{}={}", name.to_string_lossy(), value.to_string_lossy()))
        .collect();
    variables.sort();
    Ok(variables.join(" "))
}
