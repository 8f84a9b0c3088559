//! What can be typed behind `sockbox policy`.

use std::path::PathBuf;

const EXAMPLES: &str = "\
A policy file is TOML. Its keys are the options of `sockbox run` without their dashes:

  allow-connect = [\"example.com:80,443\", \"*.example.com:443\"]
  deny-connect = [\"169.254.0.0/16\"]
  allow-listen = [\"127.0.0.1:8080\"]
  allow-accept = [\"10.0.0.0/8\"]
  allow-resolve = [\"db.example\"]
  allow-udp-send = [\"192.0.2.1:53\"]
  allow-http = [\"GET,HEAD https://api.example.com/v1/*\"]
  deny-http = [\"* https://api.example.com/v1/admin/*\"]
  resolve = [\"db.example:10.0.0.5\"]
  dir = [\"pages::/data:ro\"]
  env = [\"LANG=C\", \"HOME\"]
  cacert = \"ca.pem\"
  proxy = \"http://proxy.example:3128\"

  [[secret-header]]
  url = \"https://api.example.com/v1/\"
  name = \"Authorization\"
  value = \"Bearer {env:TOKEN}\"

  [[client-cert]]
  host = \"intranet.example\"
  cert = \"me.pem\"
  key = \"me.key\"

  [limits]
  max-memory = \"64M\"
  max-wall-time = 30

  [profile.local]
  allow-connect = [\"localhost:8080\"]

Relative directories and files are below the folder that the policy file is in.

Examples:
  sockbox policy check policy.toml
  sockbox policy explain policy.toml example.com:443
  sockbox policy explain --profile local policy.toml listen 127.0.0.1:8080
  sockbox policy explain policy.toml http 'GET https://api.example.com/v1/users'

More: host/docs/grants.md in the source of sockbox";

/// Look at policy files: what they say, and what they would allow
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct PolicyArgs {
    #[command(subcommand)]
    pub command: PolicyCommand,
}

#[derive(Debug, clap::Subcommand)]
pub enum PolicyCommand {
    Check(Check),
    Explain(Explain),
}

/// Say whether FILE can be used, and what is in it
#[derive(Debug, clap::Args)]
pub struct Check {
    /// The policy file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Say whether something would be allowed, and by which rule. The exit code is 0 if it would, and 126
/// if it wouldn't
#[derive(Debug, clap::Args)]
pub struct Explain {
    /// Take what the file has in this profile, too
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,

    /// The policy file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// What would be done, with what: connect HOST:PORT, resolve NAME, listen ADDRESS:PORT, accept
    /// ADDRESS, udp-send HOST:PORT, udp-bind ADDRESS:PORT, udp-receive ADDRESS:PORT, http 'METHOD URL'.
    /// HOST:PORT alone is to connect there
    #[arg(required = true, num_args = 1..=2, value_name = "TARGET")]
    pub target: Vec<String>,
}
