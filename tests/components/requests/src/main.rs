//! Sends the HTTP requests that its arguments describe, through `wasi:http`, and prints one line for each: `ok`, the
//! status and the body, or the error code from the host and the step that failed.
//!
//! The word `then` separates requests. A request is sent even if the one before it failed. The exit code is 0 if all
//! requests succeeded.
//!
//! `send METHOD SCHEME AUTHORITY PATH [OPTION]...` sends a request. `-` for SCHEME, AUTHORITY or PATH leaves that part
//! unset. OPTION is:
//!
//! | option | effect |
//! |---|---|
//! | `header=NAME:VALUE` | sends a header; `%XX` in VALUE is a byte |
//! | `body=TEXT` | sends a body, which may be empty; `%XX` in TEXT is a byte |
//! | `open` | finishes the body only after it has read the response |
//! | `bytes=N` | sends a body of N bytes, in pieces |
//! | `trailer=NAME:VALUE` | sends a trailer after the body |
//! | `connect-ms=N`, `first-byte-ms=N`, `between-bytes-ms=N` | sets a timeout |
//! | `follow` | sends at most 10 requests: the first one, and those to which responses redirect |
//! | `show=NAME` | also prints the header of this name from the response |
//! | `count` | prints the number of bytes of the response's body, and not the body |
//! | `leave` | does not read the response's body |
//! | `readback` | also prints the headers of the request, which it reads after the response |
//!
//! `env` prints the environment variables. `search TEXT` looks for TEXT, written from right to left, in the component's
//! memory, and prints `present` or `absent`.

mod memory;
mod request;
mod response;

use request::Plan;
use std::process::ExitCode;

/// The result of a request or of one of its steps, or an error code and the step that failed.
type Outcome<T> = Result<T, (String, &'static str)>;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mut code = ExitCode::SUCCESS;
    for words in words.split(|word| word == "then") {
        match made(words) {
            Ok(details) => println!("ok {details}"),
            Err((error, place)) => {
                println!("{error} at {place}");
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}

fn made(words: &[String]) -> Outcome<String> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["env"] => {
            let all = std::env::vars().map(|(name, value)| format!("{name}={value}"));
            return Ok(all.collect::<Vec<_>>().join(" "));
        }
        ["search", reversed] => return Ok(memory::search(reversed).to_owned()),
        _ => {}
    }
    let mut plan = Plan::parse(&words).ok_or((words.join(" "), "arguments"))?;
    for _ in 0..10 {
        let answer = plan.send()?;
        match (&answer.location, plan.follow) {
            (Some(location), true) => plan.go_to(location).ok_or((location.clone(), "location"))?,
            _ => return Ok(answer.text),
        }
    }
    Err(("too many redirects".to_owned(), "redirect"))
}
