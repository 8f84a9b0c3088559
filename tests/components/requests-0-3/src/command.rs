//! The command: its requests, one after the other.

use crate::bindings::exports::wasi::cli::run::Guest;
use crate::bindings::wasi::cli::environment::get_arguments;
use crate::request::request;

struct Component;

crate::bindings::export!(Component with_types_in crate::bindings);

impl Guest for Component {
    async fn run() -> Result<(), ()> {
        let words: Vec<String> = get_arguments().into_iter().skip(1).collect();
        let mut outcome = Ok(());
        for words in words.split(|word| word == "then") {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let sent = match words[..] {
                [method, url] => request(method, url, "").await,
                [method, url, content] => request(method, url, content).await,
                _ => Err(format!("not a request: {}", words.join(" "))),
            };
            match sent {
                Ok(response) => println!("ok {response}"),
                Err(failure) => {
                    outcome = Err(());
                    println!("{failure}");
                }
            }
        }
        outcome
    }
}
