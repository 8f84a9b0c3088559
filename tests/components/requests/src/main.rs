//! Sends the HTTP requests that its arguments say, through `wasi:http`, and prints what came of each on a line: `ok`,
//! the status and the body, or the error code that the host gave and where.
//!
//! Several are separated by the word `then`; each is sent whatever became of the one before. The exit code is 0 when
//! all went well.
//!
//! `send METHOD SCHEME AUTHORITY PATH [OPTION]...` sends a request; `-` is none of what stands there. OPTION is:
//!
//! | option | effect |
//! |---|---|
//! | `header=NAME:VALUE` | a header; `%XX` in VALUE is that byte |
//! | `body=TEXT` | a body, with `%XX` as there |
//! | `bytes=N` | a body of N bytes, a piece at a time |
//! | `trailer=NAME:VALUE` | a trailer behind the body |
//! | `connect-ms=N`, `first-byte-ms=N`, `between-bytes-ms=N` | how long each may take |
//! | `follow` | redirects are followed, ten at most |
//! | `show=NAME` | the response's header of this name is printed too |
//! | `count` | of the response's body the number of bytes is printed |
//! | `leave` | the response's body isn't read |

mod request;
mod response;

use request::Plan;
use std::process::ExitCode;

/// What came of a request: what is printed, or an error code and where it came up.
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
