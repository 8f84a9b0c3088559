//! Tries what its arguments say, and prints what came of it, a line for each attempt: `ok` and the
//! details, or the error code that the host gave and where.
//!
//! Several attempts are separated by the word `then`; each is made whatever became of the one before.
//! The exit code is 0 when all went well.
//!
//! | attempt | ok says |
//! |---|---|
//! | `resolve NAME` | the addresses |
//! | `connect ADDRESS:PORT` | what the peer answered to `ping` |
//! | `connect-name NAME PORT` | each address of the name in turn, until one is connected to: it, and the answer |
//! | `bind ADDRESS:PORT`, `udp-bind ADDRESS:PORT` | the address |
//! | `listen ADDRESS:PORT N` | N, when so many clients were each given back what they sent first |
//! | `serve ADDRESS:PORT N` | the same with the standard library's sockets, those that break off not being counted |
//! | `talk ADDRESS:PORT` | the address, and what a listener there and its own client said to each other |
//! | `talk-often ADDRESS:PORT N` | N, when such a client has connected so often; all of it is kept |
//! | `hold-clients ADDRESS:PORT N` | N, when so many have come; they are kept |
//! | `udp-send ADDRESS:PORT`, `udp-connect ADDRESS:PORT` | nothing, the datagram being sent; the second by a connected socket |
//! | `udp-ask ADDRESS:PORT` | the answer to the datagram `ping` |
//! | `udp-serve ADDRESS:PORT N` | N, when so many datagrams were given back |
//! | `udp-talk ADDRESS:PORT` | the address, and what a socket there and another one of its own said to each other |
//! | `udp-send-from ADDRESS:PORT ADDRESS:PORT` | nothing, the datagram being sent by a socket at the first address |
//! | `udp-keep ADDRESS:PORT N` | N, how many of N datagrams of 1 KiB that it has sent to itself arrived |
//! | `sockets N`, `udp-sockets N` | N, when so many are there; they are kept |
//! | `connections ADDRESS:PORT N` | the same of connections |
//! | `connect-often ADDRESS:PORT N` | N, when so many were made, one after the other |
//! | `lookups NAME N`, `lookups-at-once NAME N` | N, when so many were answered |
//! | `files FILE N` | N, when FILE is open so many times |
//! | `pollables N` | N, when so many are there; they are kept |
//! | `receive ADDRESS:PORT N`, `send ADDRESS:PORT N` | the number of bytes, N at most |
//! | `wait-for ADDRESS:PORT` | what comes on a connection, without anything being sent |
//! | `hand-over N` | nothing, when the host took N bytes in one call |
//! | `grow N` | N, when there are so many bytes more of memory |
//! | `compute` | nothing: it goes on and on |
//! | `sleep SECONDS` | nothing |
//! | `read FILE`, `write FILE TEXT`, `remove FILE`, `list FOLDER`, `env` | what there is |

mod attempt;
mod flood;
mod machine;
mod resolve;
mod tcp;
mod udp;

use attempt::{Attempt, Failure};
use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mut code = ExitCode::SUCCESS;
    for words in words.split(|word| word == "then") {
        match made(words) {
            Ok(details) => println!("{}", format!("ok {details}").trim_end()),
            Err(failure) => {
                println!("{failure}");
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}

fn made(words: &[String]) -> Attempt {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["resolve", name] => resolve::resolve(name),
        ["connect", address] => tcp::ask(address.parse()?),
        ["connect-name", name, port] => tcp::ask_by_name(name, port.parse()?),
        ["bind", address] => tcp::bind(address.parse()?),
        ["listen", address, count] => tcp::listen(address.parse()?, count.parse()?),
        ["serve", address, count] => tcp::serve(address.parse()?, count.parse()?),
        ["talk", address] => tcp::talk(address.parse()?),
        ["talk-often", address, count] => tcp::talk_often(address.parse()?, count.parse()?),
        ["hold-clients", address, count] => tcp::hold_clients(address.parse()?, count.parse()?),
        ["wait-for", address] => tcp::wait_for(address.parse()?),
        ["receive", address, count] => tcp::receive(address.parse()?, count.parse()?),
        ["send", address, count] => tcp::send(address.parse()?, count.parse()?),
        ["udp-bind", address] => udp::bind(address.parse()?),
        ["udp-send", address] => udp::send(address.parse()?),
        ["udp-connect", address] => udp::connect(address.parse()?),
        ["udp-ask", address] => udp::ask(address.parse()?),
        ["udp-talk", address] => udp::talk(address.parse()?),
        ["udp-send-from", at, to] => udp::send_from(at.parse()?, to.parse()?),
        ["udp-keep", address, count] => udp::keep(address.parse()?, count.parse()?),
        ["udp-serve", address, count] => udp::serve(address.parse()?, count.parse()?),
        ["sockets", count] => flood::sockets(count.parse()?),
        ["udp-sockets", count] => flood::udp_sockets(count.parse()?),
        ["connections", address, count] => flood::connections(address.parse()?, count.parse()?),
        ["connect-often", address, count] => flood::connect_often(address.parse()?, count.parse()?),
        ["lookups", name, count] => flood::lookups(name, count.parse()?),
        ["lookups-at-once", name, count] => flood::lookups_at_once(name, count.parse()?),
        ["pollables", count] => flood::pollables(count.parse()?),
        ["files", file, count] => flood::files(file, count.parse()?),
        ["hand-over", count] => machine::hand_over(count.parse()?),
        ["grow", count] => machine::grow(count.parse()?),
        ["compute"] => machine::compute(),
        ["sleep", seconds] => machine::sleep(seconds.parse()?),
        ["read", file] => machine::read(file),
        ["write", file, text] => machine::write(file, text),
        ["remove", file] => machine::remove(file),
        ["list", folder] => machine::list(folder),
        ["env"] => machine::env(),
        _ => Err(Failure::new("unknown-attempt", words.join(" "))),
    }
}
