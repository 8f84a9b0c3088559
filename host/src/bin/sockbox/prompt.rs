//! Asking whoever sits at the terminal what no rule decides.

use crate::exit::Failure;
use sockbox::policy::Target;
use sockbox::{Decider, Decision, Question};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::future::Future;
use std::io::{self, BufRead, BufReader, Write};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

/// The terminal that this process was started from, whatever its standard input and output are.
const TERMINAL: &str = "/dev/tty";

/// Asks at a terminal, once for each target.
#[derive(Clone)]
pub struct Prompt(Arc<Mutex<State>>);

struct State {
    terminal: Terminal,
    answers: Answers,
}

struct Terminal {
    input: Box<dyn BufRead + Send>,
    output: Box<dyn Write + Send>,
}

impl Prompt {
    /// Ask at the terminal that this process was started from.
    ///
    /// # Errors
    /// There is none.
    pub fn open() -> Result<Prompt, Failure> {
        let opened = || -> io::Result<(File, File)> {
            let input = File::open(TERMINAL)?;
            Ok((input, OpenOptions::new().write(true).open(TERMINAL)?))
        };
        let (input, output) = opened().map_err(|error| Failure::Usage {
            problem: format!(
                "--prompt asks at the terminal, and there is none: {TERMINAL}: {error}"
            ),
        })?;
        Ok(Prompt(Arc::new(Mutex::new(State {
            terminal: Terminal {
                input: Box::new(BufReader::new(input)),
                output: Box::new(output),
            },
            answers: Answers::default(),
        }))))
    }
}

impl Decider for Prompt {
    fn decide(&self, question: Question) -> Pin<Box<dyn Future<Output = Decision> + Send>> {
        let state = self.0.clone();
        Box::pin(async move {
            // Reading a terminal takes as long as it takes. One question at a time.
            let asked = tokio::task::spawn_blocking(move || {
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                state.decide(&question)
            });
            asked.await.unwrap_or_else(|_| Decision::Deny {
                reason: "nobody could be asked".to_owned(),
            })
        })
    }
}

impl State {
    fn decide(&mut self, question: &Question) -> Decision {
        let allowed = match self.answers.known(question) {
            Some(allowed) => allowed,
            None => {
                let allowed = self.terminal.ask(question).unwrap_or(false);
                self.answers.remember(question, allowed);
                allowed
            }
        };
        let reason = "as was said at the terminal".to_owned();
        match allowed {
            true => Decision::Allow { reason },
            false => Decision::Deny { reason },
        }
    }
}

impl Terminal {
    fn ask(&mut self, question: &Question) -> io::Result<bool> {
        let Question { target, name, .. } = question;
        let name = name.as_ref().map(|name| format!(" ({name})"));
        write!(
            self.output,
            "sockbox: may it {target}{}? [y/N] ",
            name.unwrap_or_default()
        )?;
        self.output.flush()?;
        let mut answer = String::new();
        self.input.read_line(&mut answer)?;
        Ok(matches!(
            answer.trim().to_ascii_lowercase().as_str(),
            "y" | "yes"
        ))
    }
}

/// What was said, by what was asked.
#[derive(Default)]
struct Answers(HashMap<Subject, bool>);

/// What a question is about: what it says of one address of a name goes for the others.
#[derive(PartialEq, Eq, Hash)]
enum Subject {
    Resolve(String),
    Reach(&'static str, String, u16),
    /// To bind, and then to listen.
    Listen(IpAddr),
    Accept(IpAddr),
    UdpBind(IpAddr),
}

impl Answers {
    /// What was said before, if that decides it.
    fn known(&self, question: &Question) -> Option<bool> {
        let said = |subject: &Subject| self.0.get(subject).copied();
        let any = |of: fn(&Subject) -> bool| {
            let mut said = self.0.iter().filter(|(subject, _)| of(subject));
            said.any(|(_, allowed)| *allowed).then_some(true)
        };
        match &question.target {
            // Who may listen may accept.
            Target::Accept(address) => said(&Subject::Accept(address.ip()))
                .or_else(|| any(|subject| matches!(subject, Subject::Listen(_)))),
            // A socket to send from is nothing yet, and who may be sent to may answer.
            Target::UdpBind(address) if address.ip().is_unspecified() && address.port() == 0 => {
                Some(true)
            }
            Target::UdpReceive(address) => {
                said(&reach("udp-send", question, address.ip(), address.port()))
                    .filter(|allowed| *allowed)
                    .or_else(|| any(|subject| matches!(subject, Subject::UdpBind(_))))
                    .or_else(|| said(&subject(question)?))
            }
            _ => said(&subject(question)?),
        }
    }

    fn remember(&mut self, question: &Question, allowed: bool) {
        if let Some(subject) = subject(question) {
            self.0.insert(subject, allowed);
        }
    }
}

fn subject(question: &Question) -> Option<Subject> {
    Some(match &question.target {
        Target::Resolve(name) => Subject::Resolve(name.to_string()),
        Target::Connect(address) => reach("connect", question, address.ip(), address.port()),
        Target::UdpSend(address) => reach("udp-send", question, address.ip(), address.port()),
        Target::UdpReceive(address) => reach("udp-receive", question, address.ip(), address.port()),
        Target::Bind(address) | Target::Listen(address) => Subject::Listen(address.ip()),
        Target::Accept(address) => Subject::Accept(address.ip()),
        Target::UdpBind(address) => Subject::UdpBind(address.ip()),
        _ => return None,
    })
}

fn reach(operation: &'static str, question: &Question, ip: IpAddr, port: u16) -> Subject {
    let host = question.name.as_ref().map(ToString::to_string);
    Subject::Reach(operation, host.unwrap_or_else(|| ip.to_string()), port)
}
