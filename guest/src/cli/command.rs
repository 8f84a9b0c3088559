//! The commands of the command line.

use crate::fetch::Family;
use crate::hello::Options;
use std::time::Duration;

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    Help,
    Version,
    Fetch(Box<Fetch>),
    Serve(Serve),
}

/// The arguments of `fetch`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fetch {
    pub url: String,
    pub output: Option<String>,
    pub include: bool,
    pub head: bool,
    pub fail: bool,
    pub silent: bool,
    pub show_error: bool,
    pub verbose: bool,
    pub request: Option<String>,
    pub data: Vec<String>,
    pub headers: Vec<String>,
    pub user_agent: Option<String>,
    pub referer: Option<String>,
    pub user: Option<String>,
    pub compressed: bool,
    pub location: bool,
    /// `None` for the default number.
    pub max_redirs: Option<u32>,
    pub allow_downgrade: bool,
    pub family: Option<Family>,
    /// `None` for no limit.
    pub max_time: Option<Duration>,
    /// `None` for the defaults.
    pub connect_timeout: Option<Duration>,
}

/// The default drain timeout.
const DEFAULT_DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// The arguments of `serve`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serve {
    pub options: Options,
    pub drain_timeout: Duration,
    pub stop_on_eof: bool,
    pub quiet: bool,
    /// Whether the log is in JSON.
    pub json: bool,
}

impl Default for Serve {
    fn default() -> Self {
        Self {
            options: Options::default(),
            drain_timeout: DEFAULT_DRAIN_TIMEOUT,
            stop_on_eof: false,
            quiet: false,
            json: false,
        }
    }
}
