//! The command: its attempts, one after the other.

use crate::attempt::{Attempt, Failure};
use crate::bindings::exports::wasi::cli::run::Guest;
use crate::bindings::wasi::cli::environment::get_arguments;
use crate::{files, flood, machine, names, tcp, udp};

struct Component;

crate::bindings::export!(Component with_types_in crate::bindings);

impl Guest for Component {
    async fn run() -> Result<(), ()> {
        let words: Vec<String> = get_arguments().into_iter().skip(1).collect();
        let mut outcome = Ok(());
        for words in words.split(|word| word == "then") {
            let line = match made(words).await {
                Ok(details) => format!("ok {details}").trim_end().to_owned(),
                Err(failure) => {
                    outcome = Err(());
                    failure.to_string()
                }
            };
            machine::say(&line).await.map_err(drop)?;
        }
        outcome
    }
}

async fn made(words: &[String]) -> Attempt {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["resolve", name] => names::resolve(name).await,
        ["connect", address] => tcp::ask(address.parse()?).await,
        ["connect-name", name, port] => tcp::ask_by_name(name, port.parse()?).await,
        ["bind", address] => tcp::bind(address.parse()?),
        ["listen", address, count] => tcp::listen(address.parse()?, count.parse()?).await,
        ["listener-only", address, count] => {
            tcp::listener_only(address.parse()?, count.parse()?).await
        }
        ["talk", address] => tcp::talk(address.parse()?).await,
        ["talk-often", address, count] => tcp::talk_often(address.parse()?, count.parse()?).await,
        ["hold-clients", address, count] => {
            tcp::hold_clients(address.parse()?, count.parse()?).await
        }
        ["keep", address] => tcp::keep(address.parse()?).await,
        ["wait-for", address] => tcp::wait_for(address.parse()?).await,
        ["receive", address, count] => tcp::receive(address.parse()?, count.parse()?).await,
        ["send", address, count] => tcp::send(address.parse()?, count.parse()?).await,
        ["old-connect", address] => machine::old_connect(address),
        ["udp-bind", address] => udp::bind(address.parse()?),
        ["udp-send", address] => udp::send(address.parse()?).await,
        ["udp-connect", address] => udp::connect(address.parse()?).await,
        ["udp-ask", address] => udp::ask(address.parse()?).await,
        ["udp-talk", address] => udp::talk(address.parse()?).await,
        ["udp-serve", address, count] => udp::serve(address.parse()?, count.parse()?).await,
        ["sockets", count] => flood::sockets(count.parse()?),
        ["udp-sockets", count] => flood::udp_sockets(count.parse()?),
        ["connections", address, count] => {
            flood::connections(address.parse()?, count.parse()?).await
        }
        ["streams-only", address, count] => {
            flood::streams_only(address.parse()?, count.parse()?).await
        }
        ["connect-often", address, count] => {
            flood::connect_often(address.parse()?, count.parse()?).await
        }
        ["lookups", name, count] => flood::lookups(name, count.parse()?).await,
        ["lookups-at-once", name, count] => flood::lookups_at_once(name, count.parse()?).await,
        ["waits", count] => flood::waits(count.parse()?).await,
        ["receives", address, count] => flood::receives(address.parse()?, count.parse()?).await,
        ["files", file, count] => flood::files(file, count.parse()?).await,
        ["readers", file, count] => flood::readers(file, count.parse()?).await,
        ["lists", folder, count] => flood::lists(folder, count.parse()?).await,
        ["hand-over", count] => names::hand_over(count.parse()?).await,
        ["grow", count] => machine::grow(count.parse()?),
        ["compute"] => machine::compute(),
        ["sleep", seconds] => machine::sleep(seconds.parse()?).await,
        ["stall"] => machine::stall().await,
        ["hear"] => machine::hear().await,
        ["exit", code] => machine::exit(code.parse()?),
        ["read", file] => files::read(file).await,
        ["write", file, text] => files::write(file, text).await,
        ["remove", file] => files::remove(file).await,
        ["list", folder] => files::list(folder).await,
        ["env"] => machine::env(),
        _ => Err(Failure::new("unknown-attempt", words.join(" "))),
    }
}
