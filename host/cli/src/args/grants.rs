//! What is granted, limited and recorded: the options that several subcommands have.

use super::values::size;
use crate::apart::NamedFile;
use crate::cache;
use crate::exit::Failure;
use clap::builder::ValueParser;
use clap::{Arg, ArgMatches, Command};
use sockbox::limits::{Limit, Limits, Unit};
use sockbox::policy::{
    Denied, Deny, Destination, Endpoint, HttpRule, Names, Ports, PrivateLoopback, Range, Rule,
};
use sockbox::profile::{PolicyFile, PolicyFileError, StaticHost};
use sockbox::{Policy, Profile};
use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

const GRANTS: &str = "Grants";
const LIMITS: &str = "Limits";

/// Where a component may connect to.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Connect {
    /// Grant connecting to HOST: a name (and its lookup), *.NAME for all below it, an IPv4 address, an
    /// [IPv6] one, or a range such as 10.0.0.0/8. PORTS: 443, 8000-8100, 80,443; without them, any
    #[arg(long, value_name = "HOST[:PORTS],...", value_parser = list::<Destination>, help_heading = GRANTS)]
    pub allow_connect: Vec<List<Destination>>,

    /// Deny connecting, and sending datagrams, to these addresses, whatever is granted
    #[arg(long, value_name = "ADDRESS[:PORTS],...", value_parser = list::<Denied>, help_heading = GRANTS)]
    pub deny_connect: Vec<List<Denied>>,

    /// Deny resolving NAME, or all names below it with *.NAME, even if another option grants it. Its addresses
    /// can still be granted by their numbers, or by another name
    #[arg(long, value_name = "NAME,...", value_parser = list::<Names>, help_heading = GRANTS)]
    pub deny_resolve: Vec<List<Names>>,

    /// Let granted names reach addresses that are not public: of this machine, of a private network, of a
    /// cloud's metadata. An address that is granted by its number, or set by --resolve, does not need it
    #[arg(long, help_heading = GRANTS)]
    pub allow_private: bool,
}

/// Which clients a component may accept.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Accept {
    /// Accept clients from this range of addresses only [default: every client]
    #[arg(long, value_name = "RANGE,...", value_parser = list::<Range>, help_heading = GRANTS)]
    pub allow_accept: Vec<List<Range>>,

    /// Accept no client from this range of addresses
    #[arg(long, value_name = "RANGE,...", value_parser = list::<Range>, help_heading = GRANTS)]
    pub deny_accept: Vec<List<Range>>,
}

/// What else there is to grant.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Others {
    /// Grant the whole network: lookups, connections, listening, UDP
    #[arg(long, help_heading = GRANTS)]
    pub allow_net: bool,

    /// Grant listening on ADDRESS, and accepting. Port 0 is one that the system chooses
    #[arg(long, value_name = "ADDRESS[:PORTS],...", value_parser = list::<Endpoint>, help_heading = GRANTS)]
    pub allow_listen: Vec<List<Endpoint>>,

    /// Grant looking NAME up, or all names below it with *.NAME; a name that is
    /// granted otherwise does not need it
    #[arg(long, value_name = "NAME,...", value_parser = list::<Names>, help_heading = GRANTS)]
    pub allow_resolve: Vec<List<Names>>,

    /// Grant sending datagrams to HOST, and receiving what comes from there
    #[arg(long, value_name = "HOST[:PORTS],...", value_parser = list::<Destination>, help_heading = GRANTS)]
    pub allow_udp_send: Vec<List<Destination>>,

    /// Grant binding UDP sockets to ADDRESS, and receiving from every peer; answering takes
    /// --allow-udp-send, since the source address of a datagram can be forged
    #[arg(long, value_name = "ADDRESS[:PORTS],...", value_parser = list::<Endpoint>, help_heading = GRANTS)]
    pub allow_udp_bind: Vec<List<Endpoint>>,

    /// Grant HTTP requests that the component sends through wasi:http. METHODS is a list such as GET,HEAD, or *. URL
    /// has a scheme, a host or *.HOST, a port unless it is the scheme's default, and a path. /* at the end of the path
    /// covers all paths below it. This option grants no socket. --allow-connect grants HTTP requests too
    #[arg(long, value_name = "METHODS URL", help_heading = GRANTS)]
    pub allow_http: Vec<HttpRule>,

    /// Deny HTTP requests through wasi:http, even if another option grants them. This does not deny sockets
    #[arg(long, value_name = "METHODS URL", help_heading = GRANTS)]
    pub deny_http: Vec<HttpRule>,

    /// Deny listening on loopback addresses (127.0.0.1, ::1) unless an option grants it. Without this option such a
    /// listener is private: only this run can connect to it
    #[arg(long, help_heading = GRANTS)]
    pub no_private_loopback: bool,

    /// Use these addresses in place of resolving HOST; it grants nothing by itself
    #[arg(long, value_name = "HOST:ADDRESS[,ADDRESS]...", help_heading = GRANTS)]
    pub resolve: Vec<StaticHost>,
}

/// Where more of it is, and where it is recorded.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Common {
    /// Grant, deny and limit what FILE says, and what other options say besides (sockbox policy --help)
    #[arg(long, value_name = "FILE", help_heading = GRANTS)]
    pub policy: Option<PathBuf>,

    /// Take what the policy has in this profile, too
    #[arg(long, value_name = "NAME", requires = "policy", help_heading = GRANTS)]
    pub profile: Option<String>,

    /// Add a line of JSON to FILE for each decision and each limit that is reached, with a count for what
    /// happens again within a minute, and at the end totals of each target. It must be where neither the
    /// component nor a server's page is written; `-` is standard output (sockbox serve)
    #[arg(long, value_name = "FILE", help_heading = GRANTS)]
    pub audit: Option<PathBuf>,

    /// Write no more than this to the audit; what would be more is counted [default: 1G]
    #[arg(long, value_name = "BYTES", value_parser = size, requires = "audit", help_heading = GRANTS)]
    pub audit_max: Option<u64>,

    #[command(flatten)]
    pub limits: LimitArgs,
}

impl Connect {
    pub fn add_to(&self, mut policy: Policy) -> Policy {
        for to in all(&self.allow_connect) {
            policy = policy.grant(Rule::Connect { to });
        }
        for to in all(&self.deny_connect) {
            policy = policy.deny(Deny::Connect { to });
        }
        for names in all(&self.deny_resolve) {
            policy = policy.deny(Deny::Resolve { names });
        }
        match self.allow_private {
            true => policy.allow_private(),
            false => policy,
        }
    }
}

impl Accept {
    pub fn add_to(&self, mut policy: Policy) -> Policy {
        for from in all(&self.allow_accept) {
            policy = policy.grant(Rule::Accept { from });
        }
        for from in all(&self.deny_accept) {
            policy = policy.deny(Deny::Accept { from });
        }
        policy
    }
}

impl Others {
    pub fn add_to(&self, mut policy: Policy) -> Policy {
        if self.allow_net {
            policy = policy.grant(Rule::Everything);
        }
        for on in all(&self.allow_listen) {
            policy = policy.grant(Rule::Listen { on });
        }
        for names in all(&self.allow_resolve) {
            policy = policy.grant(Rule::Resolve { names });
        }
        for to in all(&self.allow_udp_send) {
            policy = policy.grant(Rule::UdpSend { to });
        }
        for on in all(&self.allow_udp_bind) {
            policy = policy.grant(Rule::UdpBind { on });
        }
        for requests in self.allow_http.iter().cloned() {
            policy = policy.grant(Rule::Http { requests });
        }
        for requests in self.deny_http.iter().cloned() {
            policy = policy.deny(Deny::Http { requests });
        }
        match self.no_private_loopback {
            true => policy.private_loopback(PrivateLoopback::Off),
            false => policy,
        }
    }
}

impl Common {
    /// What the policy file says, and the options for limits.
    pub fn profile(&self) -> Result<Profile, Failure> {
        let mut profile = match &self.policy {
            None => Profile::new(),
            Some(file) => read(file, self.profile.as_deref())?,
        };
        profile.limits.extend(self.limits.0.iter().cloned());
        Ok(profile)
    }

    /// The wall time that was typed. Reading the policy file, which may set another one, is bounded by it.
    pub fn typed_wall_time(&self) -> Option<Duration> {
        let mut typed = Profile::new();
        typed.limits.extend(self.limits.0.iter().cloned());
        // Each value was checked when it was parsed.
        typed.limits().ok()?.wall_time
    }

    /// The files that are read, or that must stay as they are, whatever the subcommand is.
    pub fn files(&self) -> Vec<NamedFile> {
        let mut files = Vec::new();
        if let Some(policy) = &self.policy {
            files.push(NamedFile::new("--policy", policy));
        }
        for place in cache::all_places() {
            files.push(NamedFile::new("the secret of the cache", place.secret));
        }
        if let Ok(program) = std::env::current_exe() {
            files.push(NamedFile::new("the program", program));
        }
        files
    }
}

/// Read a policy file, and take what it gives to a run with this profile.
pub fn read(file: &std::path::Path, profile: Option<&str>) -> Result<Profile, Failure> {
    read_file(file)?.profile(profile).map_err(wrong)
}

/// Read a policy file.
pub fn read_file(file: &std::path::Path) -> Result<PolicyFile, Failure> {
    PolicyFile::read(file).map_err(wrong)
}

/// What it means that a policy file is of no use.
pub fn wrong(error: PolicyFileError) -> Failure {
    let source = error.source().map(|source| format!(": {source}"));
    Failure::Usage {
        problem: format!("{error}{}", source.unwrap_or_default()),
    }
}

/// Several values of one option.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List<T>(pub Vec<T>);

fn all<T: Clone>(lists: &[List<T>]) -> impl Iterator<Item = T> {
    lists.iter().flat_map(|list| list.0.iter().cloned())
}

/// Read values with commas between. What follows one and is nothing but ports is a part of it:
/// `a:80,443,b:80` are two.
fn list<T: FromStr<Err: fmt::Display>>(text: &str) -> Result<List<T>, String> {
    let mut items: Vec<String> = Vec::new();
    for part in text.split(',') {
        match items.last_mut() {
            Some(item) if has_ports(item) && Ports::is_one_or_a_range(part) => {
                item.push(',');
                item.push_str(part);
            }
            _ => items.push(part.to_owned()),
        }
    }
    let items = items.iter().map(|item| item.parse());
    let items: Result<_, T::Err> = items.collect();
    items.map(List).map_err(|error| error.to_string())
}

fn has_ports(item: &str) -> bool {
    let behind_host = item.rfind(']').unwrap_or(0);
    item[behind_host..].contains(':')
}

/// An option for each limit of what a component does.
pub type LimitArgs = SomeLimitArgs<false>;

/// An option for each limit of how a component is loaded.
pub type LoadLimitArgs = SomeLimitArgs<true>;

/// An option for each limit of the one kind or the other ([`Limit::is_for_loading`]).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SomeLimitArgs<const LOADING: bool>(pub Vec<(Limit, String)>);

fn limits(loading: bool) -> impl Iterator<Item = Limit> {
    Limit::all().filter(move |limit| limit.is_for_loading() == loading)
}

impl<const LOADING: bool> clap::Args for SomeLimitArgs<LOADING> {
    fn augment_args(command: Command) -> Command {
        limits(LOADING).fold(command, |command, limit| command.arg(arg(limit)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<const LOADING: bool> clap::FromArgMatches for SomeLimitArgs<LOADING> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut limits = Self::default();
        limits.update_from_arg_matches(matches)?;
        Ok(limits)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for limit in limits(LOADING) {
            if let Some(value) = matches.get_one::<String>(limit.key()) {
                self.0.push((limit, value.clone()));
            }
        }
        Ok(())
    }
}

fn arg(limit: Limit) -> Arg {
    let unit = match limit.unit() {
        Unit::Bytes => "BYTES",
        Unit::Seconds => "SECONDS",
        _ => "N",
    };
    let default = match limit {
        // It is as many as this process may have, wherever it runs.
        Limit::Sockets => "files that this process may have open, less 32".to_owned(),
        _ => Limits::default().value(limit),
    };
    Arg::new(limit.key())
        .long(limit.key())
        .aliases(limit.old_key())
        .value_name(unit)
        .help(format!("{} [default: {default}]", limit.help()))
        .help_heading(LIMITS)
        .hide_short_help(true)
        .value_parser(ValueParser::new(move |text: &str| {
            let set = Limits::default().set(limit, text);
            set.map(|()| text.to_owned())
        }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_split_at_its_hosts() {
        for (text, expected) in [
            ("a.example", Some(&["a.example:*"][..])),
            ("a:80,443", Some(&["a:80,443"])),
            ("a:80,8000-8100,b:1", Some(&["a:80,8000-8100", "b:1"])),
            ("a,b", Some(&["a:*", "b:*"])),
            ("10.0.0.0/8:1,[::1]:2", Some(&["10.0.0.0/8:1", "[::1]:2"])),
            ("443", None),
            ("a,443", None),
            ("a,", None),
            ("", None),
            ("a b", None),
        ] {
            let found = list::<Destination>(text).ok();
            let texts = |list: List<Destination>| list.0.iter().map(ToString::to_string).collect();
            let found: Option<Vec<String>> = found.map(texts);
            let expected: Option<Vec<String>> =
                expected.map(|texts| texts.iter().map(ToString::to_string).collect());
            assert_eq!(found, expected, "{text:?}");
        }
    }
}
