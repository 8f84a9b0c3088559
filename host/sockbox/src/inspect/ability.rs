//! What components can do outside of their own memory, and which grant that takes.

use std::fmt;

/// Something that a component could do, if it was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capability {
    /// What it could do.
    pub ability: Ability,
    /// Whether the functions for it are imported. If not, only the interface is imported, in an
    /// unknown version, and the ability is assumed from its name.
    pub certain: bool,
}

/// What components can do outside of their own memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Ability {
    /// Look up the addresses of names.
    ResolveNames,
    /// Open TCP connections.
    ConnectTcp,
    /// Listen for TCP connections, and accept them.
    ListenTcp,
    /// Send UDP datagrams.
    SendUdp,
    /// Receive UDP datagrams.
    ReceiveUdp,
    /// Read files.
    ReadFiles,
    /// Make, change and remove files.
    ChangeFiles,
    /// Read the variables of the environment.
    ReadEnvironment,
    /// Read its arguments.
    ReadArguments,
    /// Read standard input.
    ReadStdin,
    /// Write to standard output.
    WriteStdout,
    /// Write to standard error.
    WriteStderr,
    /// Read the time, or measure durations.
    ReadClocks,
    /// Wait for a time.
    Sleep,
    /// Use random numbers.
    UseRandom,
    /// Send HTTP requests through the host.
    SendHttp,
}

impl Ability {
    /// A stable identifier for programs.
    pub fn id(&self) -> &'static str {
        match self {
            Ability::ResolveNames => "resolve-names",
            Ability::ConnectTcp => "connect-tcp",
            Ability::ListenTcp => "listen-tcp",
            Ability::SendUdp => "send-udp",
            Ability::ReceiveUdp => "receive-udp",
            Ability::ReadFiles => "read-files",
            Ability::ChangeFiles => "change-files",
            Ability::ReadEnvironment => "read-environment",
            Ability::ReadArguments => "read-arguments",
            Ability::ReadStdin => "read-stdin",
            Ability::WriteStdout => "write-stdout",
            Ability::WriteStderr => "write-stderr",
            Ability::ReadClocks => "read-clocks",
            Ability::Sleep => "sleep",
            Ability::UseRandom => "use-random",
            Ability::SendHttp => "send-http",
        }
    }

    /// The grants for it. Empty if it needs no grant, or if no grant exists for it.
    pub fn grants(&self) -> &'static [Grant] {
        match self {
            Ability::ResolveNames => &[Grant::Resolve],
            Ability::ConnectTcp => &[Grant::Connect],
            Ability::ListenTcp => &[Grant::Listen, Grant::Accept],
            Ability::SendUdp => &[Grant::UdpSend, Grant::UdpBind],
            Ability::ReceiveUdp => &[Grant::UdpBind],
            Ability::ReadFiles | Ability::ChangeFiles => &[Grant::Dir],
            Ability::ReadEnvironment => &[Grant::Env],
            Ability::SendHttp => &[Grant::Http, Grant::Connect],
            Ability::ReadArguments
            | Ability::ReadStdin
            | Ability::WriteStdout
            | Ability::WriteStderr
            | Ability::ReadClocks
            | Ability::Sleep
            | Ability::UseRandom => &[],
        }
    }
}

impl fmt::Display for Ability {
    /// A text that follows "it can".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Ability::ResolveNames => "resolve names",
            Ability::ConnectTcp => "open TCP connections",
            Ability::ListenTcp => "listen for TCP connections",
            Ability::SendUdp => "send UDP datagrams",
            Ability::ReceiveUdp => "receive UDP datagrams",
            Ability::ReadFiles => "read the files you map",
            Ability::ChangeFiles => "change the files you map",
            Ability::ReadEnvironment => "read the environment variables you pass",
            Ability::ReadArguments => "read its arguments",
            Ability::ReadStdin => "read standard input",
            Ability::WriteStdout => "write to standard output",
            Ability::WriteStderr => "write to standard error",
            Ability::ReadClocks => "read clocks",
            Ability::Sleep => "wait for a time",
            Ability::UseRandom => "use random numbers",
            Ability::SendHttp => "send HTTP requests",
        })
    }
}

/// A way to grant something to `sockbox run`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Grant {
    /// Lookups of a name.
    Resolve,
    /// Connections to somewhere.
    Connect,
    /// Listening on an address.
    Listen,
    /// Connections from somewhere.
    Accept,
    /// Datagrams to somewhere.
    UdpSend,
    /// Datagrams at an address.
    UdpBind,
    /// A folder.
    Dir,
    /// A variable of the environment.
    Env,
    /// HTTP requests to somewhere.
    Http,
}

impl Grant {
    /// The key of a policy file that grants it.
    pub fn key(&self) -> &'static str {
        match self {
            Grant::Resolve => "allow-resolve",
            Grant::Connect => "allow-connect",
            Grant::Listen => "allow-listen",
            Grant::Accept => "allow-accept",
            Grant::UdpSend => "allow-udp-send",
            Grant::UdpBind => "allow-udp-bind",
            Grant::Dir => "dir",
            Grant::Env => "env",
            Grant::Http => "allow-http",
        }
    }
}
