//! What can be typed about TLS.

use std::path::PathBuf;

const TLS: &str = "TLS";

/// Whom to trust, and whom to be.
#[derive(Debug, clap::Args)]
pub struct Tls {
    /// Trust who is in this PEM file, in place of the system's authorities
    #[arg(long, value_name = "FILE", help_heading = TLS)]
    pub cacert: Option<PathBuf>,

    /// Trust who is in the PEM files of this folder, in place of the system's authorities
    #[arg(long, value_name = "DIR", help_heading = TLS)]
    pub capath: Option<PathBuf>,

    /// Check no certificate: whoever is in between can read what is sent, and answer
    #[arg(short = 'k', long, help_heading = TLS)]
    pub insecure: bool,

    /// Show this certificate (PEM) to the hosts of the URLs, if they ask for one
    #[arg(short = 'E', long, value_name = "FILE", help_heading = TLS)]
    pub cert: Option<PathBuf>,

    /// The private key (PEM) of --cert, if it isn't in the same file
    #[arg(long, value_name = "FILE", requires = "cert", help_heading = TLS)]
    pub key: Option<PathBuf>,

    /// Speak TLS 1.2 or later; so it is anyway
    #[arg(long = "tlsv1.2", overrides_with = "tls_v1_3", help_heading = TLS)]
    pub tls_v1_2: bool,

    /// Speak TLS 1.3 or later
    #[arg(long = "tlsv1.3", help_heading = TLS)]
    pub tls_v1_3: bool,

    /// Speak no later version than this
    #[arg(long, value_name = "VERSION", value_enum, help_heading = TLS)]
    pub tls_max: Option<TlsMax>,
}

/// The latest version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum TlsMax {
    #[value(name = "1.2")]
    V1_2,
    #[value(name = "1.3")]
    V1_3,
}
