//! What can be typed behind `sockbox run`.

use super::grants::{Accept, Common, Connect, LoadLimitArgs, Others};
use super::host_cert::{self, HostCert};
use super::http::Http;
use super::proxy::ProxyArgs;
use super::secret::SecretHeaderText;
use crate::exit::Failure;
use clap::builder::{OsStringValueParser, TypedValueParser};
use sockbox::Profile;
use sockbox::profile::{Dir, EnvVar, ListenAs};
use std::ffi::OsString;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  sockbox run program.wasm some --arguments
  sockbox run --allow-connect example.com:443 client.wasm
  sockbox run --allow-http 'GET,HEAD https://api.example.com/v1/*' client.wasm
  sockbox run --listen-http 127.0.0.1:8080 --max-wall-time 30 handler.wasm
  sockbox run --allow-http 'GET https://api.example.com/v1/*' \
    --secret-header 'https://api.example.com/v1/=Authorization: Bearer {env:TOKEN}' client.wasm
  sockbox run --allow-connect intranet.example:443 --cacert ca.pem \
    --cert intranet.example=me.pem --key intranet.example=me.key client.wasm
  sockbox run --allow-http 'GET https://api.example.com/*' --proxy http://proxy.example:3128 client.wasm
  sockbox run --allow-listen 127.0.0.1:8080 --allow-accept 127.0.0.0/8 server.wasm
  sockbox run --dir ./pages::/data:ro --env LANG=C --max-wall-time 30 program.wasm
  sockbox run --dry-run client.wasm
  sockbox run --policy policy.toml --audit audit.jsonl program.wasm

What is denied is denied whatever is granted. A granted name covers the public addresses that it
resolves to during the run. See `sockbox policy --help` for policy files.

More: host/docs/run.md in the source of sockbox";

/// Run any command component for WASI 0.2 or 0.3, or serve HTTP with a component that handles requests
///
/// A command uses this terminal and gets the arguments; it reaches no network, no file and no environment
/// variable but what is granted. Its exit code is passed on. Support for WASI 0.3 is experimental.
///
/// With --listen-http, each request has an instance of its own, with its own limits and the same grants. Ctrl-C or
/// SIGTERM stops the server: it accepts no further client and ends the requests under way; a second signal ends it
/// at once. SIGUSR1 prints statistics.
#[derive(Debug, clap::Args)]
#[command(
    after_help = EXAMPLES,
    override_usage = "sockbox run [OPTIONS] <COMPONENT> [ARGS]..."
)]
pub struct Run {
    #[command(flatten)]
    pub connect: Connect,

    #[command(flatten)]
    pub accept: Accept,

    #[command(flatten)]
    pub others: Others,

    #[command(flatten)]
    pub common: Common,

    #[command(flatten)]
    pub loading: LoadLimitArgs,

    #[command(flatten)]
    pub http: Http,

    /// Let it listen on REAL when it asks for ASKED, as in 0.0.0.0:80=127.0.0.1:8080
    #[arg(long, value_name = "ASKED=REAL", conflicts_with = "listen_http")]
    pub listen_as: Vec<ListenAs>,

    /// Let it see the directory HOST, as GUEST; with :ro it can change nothing there. Without, sockbox's own
    /// program, cache, policy and record can't be in it
    #[arg(long, value_name = "HOST[::GUEST][:ro]")]
    pub dir: Vec<Dir>,

    /// Give it an environment variable: NAME=VALUE, or NAME to pass the variable's current value
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub env: Vec<EnvVar>,

    /// Give it all environment variables that are set here
    #[arg(long)]
    pub inherit_env: bool,

    /// Add a header to the HTTP requests below URL that the component sends through wasi:http. The component never
    /// sees the value. {env:NAME} and {file:PATH} in VALUE stand for a variable of sockbox's environment and for a
    /// file. URL has a scheme, a host, a port unless it is the scheme's default, and a path. The scheme is https, or
    /// http for a loopback address. This option grants nothing
    #[arg(long, value_name = "URL=NAME: VALUE", help_heading = "Grants")]
    pub secret_header: Vec<SecretHeaderText>,

    #[command(flatten)]
    pub proxy: ProxyArgs,

    /// Trust the certificates in this PEM file, in place of the system's authorities, where the component
    /// speaks TLS through wasi:tls or sends requests through wasi:http
    #[arg(long, value_name = "FILE", help_heading = "TLS")]
    pub cacert: Option<PathBuf>,

    /// Trust the certificates in the PEM files of this folder, in place of the system's authorities
    #[arg(long, value_name = "DIR", help_heading = "TLS")]
    pub capath: Option<PathBuf>,

    /// Show the certificate in this PEM file to HOST, a name or an address, if it asks for one, and to no other host.
    /// Behind a colon, the password of its key. May be repeated
    #[arg(
        long,
        value_name = "HOST=FILE[:PASSWORD]",
        value_parser = OsStringValueParser::new().map(HostCert::new),
        help_heading = "TLS"
    )]
    pub cert: Vec<HostCert>,

    /// The private key (PEM) of the --cert for HOST, if it isn't in the same file
    #[arg(
        long,
        value_name = "HOST=FILE",
        requires = "cert",
        help_heading = "TLS"
    )]
    pub key: Vec<OsString>,

    /// Grant everything that isn't denied, and print at the end the options, and the policy file, that
    /// grant just what was used
    #[arg(long, conflicts_with = "prompt")]
    pub dry_run: bool,

    /// Ask on the terminal about what no rule decides, once for each target
    #[arg(long, conflicts_with = "listen_http")]
    pub prompt: bool,

    /// Tell on standard error what the policy decides, and where in the component a trap happened
    #[arg(short, long)]
    pub verbose: bool,

    /// Take a COMPONENT that is compiled already (sockbox compile). It is native code, which no sandbox
    /// holds: only for files that no other user can have written
    #[arg(long)]
    pub allow_precompiled: bool,

    /// Compile the component even if it was compiled before, and don't keep it in SOCKBOX_CACHE_DIR (by
    /// default XDG_CACHE_HOME/sockbox, or ~/.cache/sockbox)
    #[arg(long)]
    pub no_cache: bool,

    /// The component, as a binary (.wasm) or as text (.wat), and what it is given as its arguments; `-`
    /// is a component on standard input
    // One list, so that what follows the component is never taken for an option of ours.
    #[arg(
        trailing_var_arg = true,
        required = true,
        value_name = "COMPONENT [ARGS]"
    )]
    pub command: Vec<OsString>,
}

impl Run {
    /// What the run is given.
    pub fn profile(&self) -> Result<Profile, Failure> {
        let mut profile = self.common.profile()?;
        let policy = self.connect.add_to(profile.policy);
        profile.policy = self.others.add_to(self.accept.add_to(policy));
        profile.limits.extend(self.loading.0.iter().cloned());
        profile
            .static_hosts
            .extend(self.others.resolve.iter().cloned());
        profile.listen_as.extend(self.listen_as.iter().copied());
        profile.dirs.extend(self.dir.iter().cloned());
        profile.env.extend(self.env.iter().cloned());
        profile.inherit_env |= self.inherit_env;
        for header in &self.secret_header {
            profile.secret_headers.push(header.read()?);
        }
        profile.tls.cacert.extend(self.cacert.iter().cloned());
        profile.tls.capath.extend(self.capath.iter().cloned());
        let certificates = host_cert::read(&self.cert, &self.key)?;
        profile.tls.client_certs.extend(certificates);
        self.proxy.add_to(&mut profile.proxy)?;
        Ok(profile)
    }
}
