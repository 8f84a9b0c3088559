//! `sockbox policy`.

use crate::args::{
    Check, Explain, PolicyArgs, PolicyCommand, read_policy, read_policy_file, wrong_policy,
};
use crate::exit::{self, Failure};
use crate::output::Output;
use crate::words;
use sockbox::policy::{
    Deny, Destination, Host, Hosts, HttpTarget, Name, PrivateLoopback, ResolvedNames, Target,
    Verdict,
};
use sockbox::{Policy, Profile};
use sockbox_printable::{Line, Lines};
use std::fmt;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};

/// Gives the exit code: whether what was asked about would be allowed.
pub fn run(args: PolicyArgs) -> Result<i32, Failure> {
    match args.command {
        PolicyCommand::Check(check) => self::check(&check).map(|()| 0),
        PolicyCommand::Explain(explain) => self::explain(&explain),
    }
}

fn check(args: &Check) -> Result<(), Failure> {
    let file = read_policy_file(&args.file)?;
    let base = file.profile(None).map_err(wrong_policy)?;
    print(format_args!(
        "{}: it can be used",
        Line(args.file.display())
    ))?;
    print(format_args!("{}", Contents(&base)))?;
    for name in file.names() {
        let profile = file.profile(Some(name)).map_err(wrong_policy)?;
        print(format_args!(
            "with the profile {}:\n{}",
            Line(name),
            Contents(&profile)
        ))?;
    }
    Ok(())
}

/// What a profile gives, a line each.
struct Contents<'a>(&'a Profile);

impl fmt::Display for Contents<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Profile { policy, .. } = self.0;
        let mut lines: Vec<String> = Vec::new();
        lines.extend(policy.denials().iter().map(ToString::to_string));
        lines.extend(policy.rules().iter().map(ToString::to_string));
        if policy.allows_private() {
            lines.push("allow-private".to_owned());
        }
        if policy.which_private_loopback() == PrivateLoopback::Off {
            lines.push("no-private-loopback".to_owned());
        }
        lines.extend(
            self.0
                .static_hosts
                .iter()
                .map(|pin| format!("resolve {pin}")),
        );
        lines.extend(
            self.0
                .listen_as
                .iter()
                .map(|map| format!("listen-as {map}")),
        );
        lines.extend(self.0.dirs.iter().map(|dir| format!("dir {dir}")));
        lines.extend(self.0.env.iter().map(|var| format!("env {}", var.name)));
        if self.0.inherit_env {
            lines.push("inherit-env".to_owned());
        }
        let headers = self.0.secret_headers.iter();
        lines.extend(headers.map(|header| format!("secret-header {header}")));
        let tls = &self.0.tls;
        lines.extend(
            tls.cacert
                .iter()
                .map(|it| format!("cacert {}", it.display())),
        );
        lines.extend(
            tls.capath
                .iter()
                .map(|it| format!("capath {}", it.display())),
        );
        lines.extend(
            tls.client_certs
                .iter()
                .map(|it| format!("client-cert {it}")),
        );
        let proxy = &self.0.proxy;
        lines.extend(proxy.proxy.iter().map(|it| format!("proxy {it}")));
        if proxy.of_environment {
            lines.push("proxy-env".to_owned());
        }
        if !proxy.no_proxy.is_empty() {
            lines.push(format!("noproxy {}", proxy.no_proxy));
        }
        if proxy.resolve {
            lines.push("allow-proxy-resolve".to_owned());
        }
        let limits = self.0.limits.iter();
        lines.extend(limits.map(|(limit, value)| format!("{} {value}", limit.key())));
        if lines.is_empty() {
            lines.push("nothing".to_owned());
        }
        let lines: Vec<_> = lines.iter().map(|line| Line(line).to_string()).collect();
        write!(f, "  {}", lines.join("\n  "))
    }
}

fn explain(args: &Explain) -> Result<i32, Failure> {
    let profile = read_policy(&args.file, args.profile.as_deref())?;
    let mut answers = ResolvedNames::new();
    for pin in &profile.static_hosts {
        answers.set_static(&pin.name, pin.addresses.iter().copied());
    }
    let (operation, object) = match args.target.as_slice() {
        [operation, object] => (operation.as_str(), object.as_str()),
        [object] => ("connect", object.as_str()),
        _ => ("connect", ""),
    };
    let explanations = match question(operation, object)? {
        Question::Target(target) => vec![judged(&profile.policy, &target, &answers)],
        Question::Http(request) => of_request(&profile, &request, &answers),
        Question::Listen(address) => listening(&profile.policy, address, &answers),
        Question::Name { name, port, udp } => {
            of_name(&profile.policy, &name, port, udp, &profile, &answers)
        }
    };
    let mut allowed = true;
    for explanation in explanations {
        print(format_args!("{}", explanation.text))?;
        allowed &= explanation.allowed;
    }
    Ok(if allowed { 0 } else { exit::DENIED.into() })
}

/// What can be asked.
enum Question {
    Target(Target),
    Http(HttpTarget),
    Listen(SocketAddr),
    /// To reach a name, which has no addresses yet.
    Name {
        name: Name,
        port: u16,
        udp: bool,
    },
}

struct Explanation {
    allowed: bool,
    text: String,
}

/// What stays inside the run's own loopback, told as `shown`.
fn private(policy: &Policy, target: &Target, shown: &Target) -> Option<Explanation> {
    let (address, reach, option) = match target {
        Target::Bind(address) => (address, "connect", "--allow-listen"),
        // The unspecified address is private only where the run has something to send to.
        Target::UdpBind(address) if address.ip().is_loopback() => {
            (address, "send", "--allow-udp-bind")
        }
        _ => return None,
    };
    policy
        .judge_private(target)
        .filter(Verdict::is_private)
        .map(|_| Explanation {
            allowed: true,
            text: format!(
                "allowed: {shown}, private: only the run itself can {reach} to it ({option} {address} would \
                 open it)"
            ),
        })
}

fn judged(policy: &Policy, target: &Target, answers: &ResolvedNames) -> Explanation {
    if let Some(private) = private(policy, target, target) {
        return private;
    }
    let verdict = policy.judge(target, answers);
    Explanation {
        allowed: verdict.is_allowed(),
        text: match &verdict {
            Verdict::Allowed { by, .. } => format!("allowed: {target}, by {by}"),
            Verdict::Denied { reason, name } => {
                let refusal = words::of_refusal(reason, target, name.as_ref());
                format!("denied: {refusal}")
            }
        },
    }
}

/// What a policy says of listening on an address, for which a socket has to be bound first.
fn listening(policy: &Policy, address: SocketAddr, answers: &ResolvedNames) -> Vec<Explanation> {
    let bind = judged(policy, &Target::Bind(address), answers);
    if let Some(private) = private(policy, &Target::Bind(address), &Target::Listen(address)) {
        return vec![private];
    }
    let listen = judged(policy, &Target::Listen(address), answers);
    // Which port it will be is the system's to say then.
    match bind.allowed && address.port() != 0 {
        true => vec![listen],
        false => vec![bind],
    }
}

/// What a policy says of a name at a port: its lookup, and what it may resolve to.
fn of_name(
    policy: &Policy,
    name: &Name,
    port: u16,
    udp: bool,
    profile: &Profile,
    answers: &ResolvedNames,
) -> Vec<Explanation> {
    let mut explanations = vec![judged(policy, &Target::Resolve(name.clone()), answers)];
    if policy.denies_lookup(name) {
        // No rule with the name reaches anything then.
        return explanations;
    }
    let target = |address: IpAddr| {
        let address = SocketAddr::new(address, port);
        match udp {
            true => Target::UdpSend(address),
            false => Target::Connect(address),
        }
    };
    let mut pins = profile
        .static_hosts
        .iter()
        .filter(|pin| pin.name == *name)
        .peekable();
    if pins.peek().is_some() {
        let addresses = pins.flat_map(|pin| pin.addresses.iter());
        explanations.extend(addresses.map(|it| judged(policy, &target(*it), answers)));
        return explanations;
    }
    let doing = if udp {
        "send datagrams to"
    } else {
        "connect to"
    };
    let which = addresses_of(policy, name);
    explanations.push(match policy.rule_for_name(name, port, udp) {
        Some(rule) => Explanation {
            allowed: true,
            text: format!(
                "allowed: {doing} {which} that {name} resolves to, at port {port}, by {rule}{}",
                Except(policy)
            ),
        },
        None => Explanation {
            allowed: false,
            text: format!("denied: {doing} {name}:{port}: no rule grants it by its name"),
        },
    });
    explanations
}

/// What a policy says of a request, and of the addresses that a name in its URL has or may have.
fn of_request(
    profile: &Profile,
    request: &HttpTarget,
    answers: &ResolvedNames,
) -> Vec<Explanation> {
    let policy = &profile.policy;
    let target = Target::Http(request.clone());
    let mut explanations = vec![judged(policy, &target, answers)];
    let Some(name) = request.url.name() else {
        return explanations;
    };
    let pins = profile.static_hosts.iter().filter(|pin| pin.name == *name);
    let mut addresses = pins.flat_map(|pin| pin.addresses.iter()).peekable();
    if addresses.peek().is_none() {
        if let [
            Explanation {
                allowed: true,
                text,
            },
        ] = &mut explanations[..]
        {
            text.push_str(&format!(
                ", at {} that {name} resolves to{}",
                addresses_of(policy, name),
                Except(policy)
            ));
        }
        return explanations;
    }
    for address in addresses {
        let reached = policy.http_reaches(request, *address, answers);
        explanations.push(Explanation {
            allowed: reached.is_ok(),
            text: match reached {
                Ok(()) => format!("allowed: send it to {address}"),
                Err(reason) => format!("denied: {}", words::of_refusal(&reason, &target, None)),
            },
        });
    }
    explanations
}

/// Which of a name's addresses are reached.
fn addresses_of(policy: &Policy, name: &Name) -> &'static str {
    match (name.as_str() == "localhost", policy.allows_private()) {
        (true, _) => "the loopback addresses",
        (false, true) => "the addresses",
        (false, false) => "the public addresses",
    }
}

/// What is denied of what a name may resolve to.
struct Except<'a>(&'a Policy);

impl fmt::Display for Except<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is denied of names was decided with the lookup.
        let denials = self.0.denials().iter();
        let denials = denials.filter(|rule| !matches!(rule, Deny::Resolve { .. }));
        for (index, rule) in denials.enumerate() {
            let before = if index == 0 { ", except for " } else { ", " };
            write!(f, "{before}{rule}")?;
        }
        Ok(())
    }
}

fn question(operation: &str, object: &str) -> Result<Question, Failure> {
    let wrong = |problem: String| Failure::Usage { problem };
    let address = || -> Result<SocketAddr, Failure> {
        object.parse().map_err(|_| {
            wrong(format!(
                "`{object}` is not an address and a port: write 127.0.0.1:8080 or [::1]:8080"
            ))
        })
    };
    Ok(match operation {
        "connect" | "udp-send" => {
            let udp = operation == "udp-send";
            let destination: Destination =
                object.parse().map_err(|error| wrong(format!("{error}")))?;
            let port = destination.ports.single().ok_or_else(|| {
                wrong(format!(
                    "`{object}` names no port: write {object}:443, or another"
                ))
            })?;
            match destination.hosts {
                Hosts::One(Host::Name(name)) => Question::Name { name, port, udp },
                Hosts::One(Host::Address(ip)) => Question::Target(match udp {
                    true => Target::UdpSend(SocketAddr::new(ip, port)),
                    false => Target::Connect(SocketAddr::new(ip, port)),
                }),
                _ => return Err(wrong(format!("`{object}` is more than one host"))),
            }
        }
        "resolve" => {
            let name = object.parse().map_err(|error| wrong(format!("{error}")))?;
            Question::Target(Target::Resolve(name))
        }
        "http" => {
            let (method, url) = object.trim().split_once(' ').ok_or_else(|| {
                wrong(format!(
                    "`{object}` is not a method and a URL: write 'GET https://example.com/'"
                ))
            })?;
            let method = method.parse().map_err(|error| wrong(format!("{error}")))?;
            let url = url
                .trim()
                .parse()
                .map_err(|error| wrong(format!("{error}")))?;
            Question::Http(HttpTarget::new(method, url))
        }
        "bind" => Question::Target(Target::Bind(address()?)),
        "listen" => Question::Listen(address()?),
        "udp-bind" => Question::Target(Target::UdpBind(address()?)),
        "udp-receive" => Question::Target(Target::UdpReceive(address()?)),
        "accept" => {
            let whole = object.parse::<SocketAddr>();
            let ip = || object.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 0));
            let address = whole
                .or_else(|_| ip())
                .map_err(|_| wrong(format!("`{object}` is not an address: write 192.0.2.1")))?;
            Question::Target(Target::Accept(address))
        }
        other => {
            return Err(wrong(format!(
                "`{other}` is nothing that a policy decides: connect, resolve, listen, accept, \
                 udp-send, udp-bind, udp-receive and http are"
            )));
        }
    })
}

/// Print a line, or several, on standard output. A policy file, and its name, may be another's.
fn print(line: fmt::Arguments<'_>) -> Result<(), Failure> {
    let stdout = Output::stdout()?;
    stdout
        .writer()?
        .write_all(format!("{}\n", Lines(line)).as_bytes())
        .map_err(|source| stdout.failed(source))
}
