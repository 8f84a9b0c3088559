//! Asking the user at the terminal about what no rule decides.

use crate::exit::Failure;
use sockbox::policy::{HttpTarget, Target};
use sockbox::{Decider, Decision, Question, StdioWriter};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::future::Future;
use std::io::{self, BufRead, BufReader, Write};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// The terminal that this process was started from, whatever its standard input and output are.
const TERMINAL: &str = "/dev/tty";

/// What undoes what a component may have done to the terminal in order to hide a question or to change
/// how it looks. In this order:
/// - CAN and ST end a sequence that has been begun, which would swallow what follows.
/// - DECSTR resets margins, character sets, the cursor's visibility, and attributes; SGR 0 the
///   attributes again, for terminals that have no DECSTR.
/// - SI and `ESC ( B` choose ASCII in place of another character set.
/// - `?25h` shows the cursor; `?5l` ends reverse video.
/// - OSC 104, 110 and 111 take back colours that were redefined: the palette's, of text, of what is
///   behind it.
const RESET: &str =
    "\x18\x1b\\\x1b[!p\x1b[0m\x0f\x1b(B\x1b[?25h\x1b[?5l\x1b]104\x1b\\\x1b]110\x1b\\\x1b]111\x1b\\";

/// To the start of a new line, of which everything is erased.
const NEW_LINE: &str = "\r\n\x1b[2K";

/// How long a question waits at most for a write of the component's that has begun: half a second.
const PATIENCE: Duration = Duration::from_millis(500);

/// Asks at a terminal, once for each target.
#[derive(Clone)]
pub struct Prompt(Arc<Mutex<State>>);

struct State {
    terminal: Terminal,
    /// What else may write to the terminal. While a question stands, it doesn't: it could make the question look
    /// like another one.
    outputs: [StdioWriter; 2],
    answers: Answers,
}

struct Terminal {
    input: Input,
    output: Box<dyn Write + Send>,
    /// Whether it understands [`RESET`]. Without it there is nothing that it could have been made to do.
    has_escapes: bool,
}

/// Where answers are typed.
struct Input(BufReader<File>);

impl Input {
    /// Throw away what was typed before: it is no answer to a question that hadn't been asked.
    fn discard(&mut self) -> io::Result<()> {
        let read = self.0.buffer().len();
        self.0.consume(read);
        discard(self.0.get_ref())
    }
}

#[cfg(unix)]
fn discard(terminal: &File) -> io::Result<()> {
    use rustix::termios::{QueueSelector, tcflush};
    Ok(tcflush(terminal, QueueSelector::IFlush)?)
}

/// Not known how: then nothing can be asked.
#[cfg(not(unix))]
fn discard(_: &File) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

impl Prompt {
    /// Ask at the terminal that this process was started from. `outputs` pause while a question stands.
    ///
    /// # Errors
    /// There is none.
    pub fn open(outputs: [StdioWriter; 2]) -> Result<Prompt, Failure> {
        let opened = || -> io::Result<(File, File)> {
            let input = File::open(TERMINAL)?;
            Ok((input, OpenOptions::new().write(true).open(TERMINAL)?))
        };
        let (input, output) = opened().map_err(|error| Failure::Usage {
            problem: format!(
                "--prompt asks at the terminal, and there is none: {TERMINAL}: {error}"
            ),
        })?;
        let kind = std::env::var_os("TERM").filter(|kind| !kind.is_empty() && kind != "dumb");
        Ok(Prompt(Arc::new(Mutex::new(State {
            terminal: Terminal {
                input: Input(BufReader::new(input)),
                output: Box::new(output),
                has_escapes: kind.is_some(),
            },
            outputs,
            answers: Answers::default(),
        }))))
    }
}

impl Decider for Prompt {
    fn decide(&self, question: Question) -> Pin<Box<dyn Future<Output = Decision> + Send>> {
        let state = self.0.clone();
        Box::pin(async move {
            // One question at a time. Those that wait take no thread, and are gone when they are dropped.
            let mut state = state.lock_owned().await;
            // Reading a terminal takes as long as it takes.
            let asked = tokio::task::spawn_blocking(move || state.decide(&question));
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
                let pauses = self.outputs.each_ref().map(|output| output.pause(PATIENCE));
                let allowed = self.terminal.ask(question).unwrap_or(false);
                drop(pauses);
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
        // In one piece: what else writes to the terminal comes before it or behind it.
        let shown = format!("{}{}", self.before(), text(question));
        self.input.discard()?;
        self.output.write_all(shown.as_bytes())?;
        self.output.flush()?;
        let mut answer = String::new();
        self.input.0.read_line(&mut answer)?;
        Ok(matches!(
            answer.trim().to_ascii_lowercase().as_str(),
            "y" | "yes"
        ))
    }

    fn before(&self) -> String {
        match self.has_escapes {
            true => format!("{RESET}{NEW_LINE}"),
            false => "\n".to_owned(),
        }
    }
}

/// A question as it is shown.
fn text(question: &Question) -> String {
    let Question {
        target,
        name,
        special,
        led_by,
        ..
    } = question;
    let of = match (name, led_by, special) {
        (Some(name), ..) => format!(" ({name})"),
        // It isn't what one would think of by that name.
        (None, Some(name), Some(special)) => format!(" ({name}, which leads to {special})"),
        (None, Some(name), None) => format!(" ({name})"),
        (None, None, _) => String::new(),
    };
    let asked = format!("{target}{of}");
    format!(
        "sockbox: may it {}? [y/N] ",
        sockbox_printable::line(&asked)
    )
}

/// What was said, by what was asked.
#[derive(Default)]
struct Answers(HashMap<Subject, bool>);

/// What a question is about.
#[derive(PartialEq, Eq, Hash)]
enum Subject {
    Resolve(String),
    Reach(&'static str, Place, u16),
    /// To bind, and then to listen: at this address and port.
    Listen(IpAddr, u16),
    Accept(IpAddr),
    UdpBind(IpAddr, u16),
    /// This method of this URL.
    Http(HttpTarget),
}

/// What is reached.
#[derive(PartialEq, Eq, Hash)]
enum Place {
    /// Whatever public address a name has: what is said of one of them goes for the others.
    Name(String),
    /// This address, and the name that led there: any machine can be meant by a name, so what was said
    /// of its other addresses says nothing of this one.
    Address(IpAddr, Option<String>),
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
            // A grant of listening includes accepting.
            Target::Accept(address) => said(&Subject::Accept(address.ip()))
                .or_else(|| any(|subject| matches!(subject, Subject::Listen(..)))),
            // What is bound and wasn't asked about by its port was bound to port 0: the system has chosen.
            Target::Listen(address) => said(&Subject::Listen(address.ip(), address.port()))
                .or_else(|| said(&Subject::Listen(address.ip(), 0)).filter(|allowed| *allowed)),
            // Binding a socket to send from is harmless, and a peer that may be sent to may answer.
            Target::UdpBind(address) if address.ip().is_unspecified() && address.port() == 0 => {
                Some(true)
            }
            Target::UdpReceive(address) => {
                said(&reach("udp-send", question, address.ip(), address.port()))
                    .filter(|allowed| *allowed)
                    .or_else(|| any(|subject| matches!(subject, Subject::UdpBind(..))))
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
        Target::ConnectName { name, port } => {
            Subject::Reach("connect", Place::Name(name.to_string()), *port)
        }
        Target::UdpSend(address) => reach("udp-send", question, address.ip(), address.port()),
        Target::UdpReceive(address) => reach("udp-receive", question, address.ip(), address.port()),
        Target::Bind(address) | Target::Listen(address) => {
            Subject::Listen(address.ip(), address.port())
        }
        Target::Accept(address) => Subject::Accept(address.ip()),
        Target::UdpBind(address) => Subject::UdpBind(address.ip(), address.port()),
        Target::Http(request) => Subject::Http(request.clone()),
        _ => return None,
    })
}

fn reach(operation: &'static str, question: &Question, ip: IpAddr, port: u16) -> Subject {
    let name = question.name.as_ref().or(question.led_by.as_ref());
    let place = match (&question.name, question.special) {
        (Some(name), None) => Place::Name(name.to_string()),
        _ => Place::Address(ip.to_canonical(), name.map(ToString::to_string)),
    };
    Subject::Reach(operation, place, port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sockbox::policy::{Name, SpecialPurpose};
    use sockbox::{Policy, Request, Sandbox};

    /// A question of a run's: nothing else can make one.
    async fn question() -> Question {
        let (sender, receiver) = std::sync::mpsc::channel();
        let sandbox = Sandbox::new().unwrap();
        let builder = sandbox.instance().policy(Policy::new());
        let builder = builder.decider(move |question: Question| {
            let _ = sender.send(question);
            std::future::ready(Decision::Deny {
                reason: String::new(),
            })
        });
        let mut instance = builder.build().await.unwrap();
        let denied = instance.fetch(Request::get("http://127.0.0.1:1/")).await;
        assert!(denied.is_err());
        receiver.try_recv().unwrap()
    }

    fn about(question: &Question, target: Target, name: Option<&str>) -> Question {
        let mut question = question.clone();
        let address = match &target {
            Target::Connect(address) | Target::UdpSend(address) => Some(address.ip()),
            _ => None,
        };
        let name: Option<Name> = name.map(|name| name.parse().unwrap());
        question.special = address.and_then(SpecialPurpose::of);
        (question.name, question.led_by) = match question.special {
            None => (name, None),
            Some(_) => (None, name),
        };
        question.target = target;
        question
    }

    #[tokio::test]
    async fn an_answer_is_for_what_was_asked() {
        let any = question().await;
        let connect = |address: &str, name| {
            let target = Target::Connect(address.parse().unwrap());
            about(&any, target, name)
        };
        let bind = |address: &str| about(&any, Target::Bind(address.parse().unwrap()), None);
        let listen = |address: &str| about(&any, Target::Listen(address.parse().unwrap()), None);
        let send = |text: &str| {
            let (method, url) = text.split_once(' ').unwrap();
            let request = HttpTarget::new(method.parse().unwrap(), url.parse().unwrap());
            about(&any, Target::Http(request), None)
        };
        let evil = Some("evil.example");
        for (asked, other, expected) in [
            // The query is not judged.
            (
                send("GET http://a/b?c"),
                send("GET http://a/b?d"),
                Some(true),
            ),
            (send("GET http://a/b"), send("POST http://a/b"), None),
            (send("GET http://a/b"), send("GET http://a/c"), None),
            (send("GET http://a/b"), send("GET http://a:81/b"), None),
            (send("GET http://a/b"), send("GET https://a/b"), None),
            (
                send("GET http://1.2.3.4/"),
                connect("1.2.3.4:80", None),
                None,
            ),
            (
                connect("1.2.3.4:80", None),
                send("GET http://1.2.3.4/"),
                None,
            ),
            (
                connect("1.2.3.4:80", evil),
                connect("1.2.3.4:80", evil),
                Some(true),
            ),
            // Another public address of the same name.
            (
                connect("1.2.3.4:80", evil),
                connect("5.6.7.8:80", evil),
                Some(true),
            ),
            (
                connect("1.2.3.4:80", evil),
                connect("1.2.3.4:81", evil),
                None,
            ),
            (
                connect("1.2.3.4:80", evil),
                connect("1.2.3.4:80", None),
                None,
            ),
            // The name has moved.
            (
                connect("1.2.3.4:80", evil),
                connect("127.0.0.1:80", evil),
                None,
            ),
            (
                connect("10.0.0.1:80", evil),
                connect("10.0.0.2:80", evil),
                None,
            ),
            (
                connect("10.0.0.1:80", evil),
                connect("10.0.0.1:80", evil),
                Some(true),
            ),
            (
                connect("127.0.0.1:80", evil),
                connect("1.2.3.4:80", evil),
                None,
            ),
            (
                connect("127.0.0.1:80", None),
                connect("127.0.0.1:80", evil),
                None,
            ),
            (bind("127.0.0.1:80"), bind("127.0.0.1:80"), Some(true)),
            (bind("127.0.0.1:80"), listen("127.0.0.1:80"), Some(true)),
            (bind("127.0.0.1:80"), bind("127.0.0.1:81"), None),
            (bind("127.0.0.1:80"), listen("127.0.0.1:81"), None),
            (bind("127.0.0.1:80"), bind("127.0.0.2:80"), None),
            (bind("127.0.0.1:0"), bind("127.0.0.1:80"), None),
            // The port that the system has chosen.
            (bind("127.0.0.1:0"), listen("127.0.0.1:40000"), Some(true)),
            (bind("127.0.0.1:0"), listen("127.0.0.2:40000"), None),
        ] {
            let mut answers = Answers::default();
            answers.remember(&asked, true);
            let found = answers.known(&other);
            assert_eq!(found, expected, "{}, then {}", text(&asked), text(&other));
        }
        // A no to the system's choice of a port says nothing of others.
        let mut answers = Answers::default();
        answers.remember(&bind("127.0.0.1:0"), false);
        assert_eq!(answers.known(&listen("127.0.0.1:80")), None);
    }

    #[tokio::test]
    async fn a_question_tells_where_a_name_leads() {
        let any = question().await;
        for (address, name, expected) in [
            ("1.2.3.4:80", None, "connect to 1.2.3.4:80"),
            (
                "1.2.3.4:80",
                Some("evil.example"),
                "connect to 1.2.3.4:80 (evil.example)",
            ),
            (
                "127.0.0.1:80",
                Some("evil.example"),
                "connect to 127.0.0.1:80 (evil.example, which leads to loopback (127.0.0.0/8))",
            ),
            ("127.0.0.1:80", None, "connect to 127.0.0.1:80"),
        ] {
            let question = about(&any, Target::Connect(address.parse().unwrap()), name);
            let expected = format!("sockbox: may it {expected}? [y/N] ");
            assert_eq!(text(&question), expected);
        }
    }
}
