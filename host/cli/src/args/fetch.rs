//! What can be typed behind `sockbox fetch`.

use super::grants::{Common, Connect};
use super::ordered::{Data, Outputs, Urls};
use super::proxy::FetchProxyArgs;
use super::tls::Tls;
use super::values::{
    Resume, credentials, milliseconds, redirects, referer, resume, seconds, size, static_host,
};
use clap::value_parser;
use sockbox_grammar::static_host::StaticHost;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  sockbox fetch https://example.com/                      print a page
  sockbox fetch -o page.html example.com                  save it, and print the head
  sockbox fetch -sSfL -O http://example.com/file.tar.gz   for scripts: follow redirects, fail if
                                                          it isn't there, say nothing but why
  sockbox fetch -C - --retry 5 -O http://example.com/big  go on where the last time ended
  sockbox fetch -o a -o b http://example.com/a http://example.com/b
  sockbox fetch -Z -O -O http://example.com/a http://example.com/b
  sockbox fetch -d name=value -d @more.txt http://example.com/form
  sockbox fetch -T report.pdf http://example.com/inbox/
  sockbox fetch -s -o /dev/null -w '%{http_code} %{time_total}\\n' http://example.com/
  sockbox fetch -z page.html -o page.html http://example.com/
  sockbox fetch --resolve example.com:80:127.0.0.1 http://example.com/
  sockbox fetch -x http://proxy.example:3128 -U me:secret https://example.com/
  sockbox fetch --cacert ca.pem --cert me.pem --key me.key https://intranet.example/
  sockbox fetch -L --allow-connect 10.0.0.0/8 http://intranet.example/

Options mean what they mean to curl. What differs: -o alone prints the head as well, files are whole
or absent, --json prints facts, -X is for the first request and not for what it redirects to, and
with several URLs any failure is in the exit code.

More: host/docs/fetch.md in the source of sockbox";

const OUTPUT: &str = "Output";
const REQUEST: &str = "Request";
const NETWORK: &str = "Network";
const BOUNDS: &str = "Bounds";
const RETRY: &str = "Retry and resume";
const SEVERAL: &str = "Several URLs";
const REPORT: &str = "Report";

/// Fetch pages over HTTP, with TLS or without
///
/// The component may resolve each URL's host and connect to it, at the URL's port, and nothing else
/// but what --location, --resolve and --allow-connect grant.
#[derive(Debug, clap::Args)]
#[command(
    after_help = EXAMPLES,
    args_override_self = true,
    override_usage = "sockbox fetch [OPTIONS] <URL>..."
)]
pub struct Fetch {
    #[command(flatten)]
    pub outputs: Outputs,

    #[command(flatten)]
    pub urls: Urls,

    #[command(flatten)]
    pub data: Data,

    #[command(flatten)]
    pub tls: Tls,

    /// Print the response's head before the page, where the page goes
    #[arg(short, long, help_heading = OUTPUT)]
    pub include: bool,

    /// Ask for the head alone, with HEAD
    #[arg(short = 'I', long, help_heading = OUTPUT)]
    pub head: bool,

    /// Write the heads of all responses to FILE; `-` is standard output
    #[arg(short = 'D', long, value_name = "FILE", help_heading = OUTPUT)]
    pub dump_header: Option<PathBuf>,

    /// Fail with 22 and save nothing if the server answers 400 or above
    #[arg(short, long, help_heading = OUTPUT)]
    pub fail: bool,

    /// The same, but save what it sends
    #[arg(long, overrides_with = "fail", help_heading = OUTPUT)]
    pub fail_with_body: bool,

    /// Make the folders that the files are to be in
    #[arg(long, help_heading = OUTPUT)]
    pub create_dirs: bool,

    /// Save files below DIR
    #[arg(long, value_name = "DIR", help_heading = OUTPUT)]
    pub output_dir: Option<PathBuf>,

    /// Replace no file: save FILE as FILE.1 if it is there, up to FILE.100
    #[arg(long, help_heading = OUTPUT)]
    pub no_clobber: bool,

    /// Accepted for compatibility with curl. An incomplete file is never left, except by -C, and in a folder that
    /// takes no new file
    #[arg(long, help_heading = OUTPUT)]
    pub remove_on_error: bool,

    /// Ask with METHOD in place of GET, or what other options make of it
    #[arg(short = 'X', long, value_name = "METHOD", help_heading = REQUEST)]
    pub request: Option<String>,

    /// Put the data of -d into the URL's query, and ask with GET
    #[arg(short = 'G', long, help_heading = REQUEST)]
    pub get: bool,

    /// Send a header field: `Name: value`, or `Name;` for an empty one; `Name:` leaves out one that
    /// would be sent. `@FILE` has a line for each
    #[arg(short = 'H', long = "header", value_name = "LINE", allow_hyphen_values = true, help_heading = REQUEST)]
    pub headers: Vec<OsString>,

    /// Send this `User-Agent`; an empty one means none
    #[arg(short = 'A', long, value_name = "NAME", allow_hyphen_values = true, help_heading = REQUEST)]
    pub user_agent: Option<OsString>,

    /// Send these credentials (RFC 7617), to this origin only
    #[arg(short, long, value_name = "USER:PASSWORD", value_parser = credentials, allow_hyphen_values = true, help_heading = REQUEST)]
    pub user: Option<String>,

    /// Say in `Referer` where the URL was found
    #[arg(short = 'e', long, value_name = "URL", value_parser = referer, help_heading = REQUEST)]
    pub referer: Option<String>,

    /// Send FILE with PUT; `-` is standard input. A URL that ends in `/` gets the file's name. The
    /// first -T is for the first URL, and so on
    #[arg(short = 'T', long = "upload-file", value_name = "FILE", help_heading = REQUEST)]
    pub uploads: Vec<PathBuf>,

    /// Ask for a compressed page, and decompress it
    #[arg(long, help_heading = REQUEST)]
    pub compressed: bool,

    /// Fetch the page only if it is younger than DATE, or than FILE; with `-` before it, only if it
    /// is older
    #[arg(short = 'z', long, value_name = "DATE|FILE", allow_hyphen_values = true, help_heading = REQUEST)]
    pub time_cond: Option<OsString>,

    /// Fetch the page only if its ETag isn't the one in FILE
    #[arg(long, value_name = "FILE", help_heading = REQUEST)]
    pub etag_compare: Option<PathBuf>,

    /// Save the page's ETag in FILE
    #[arg(long, value_name = "FILE", help_heading = REQUEST)]
    pub etag_save: Option<PathBuf>,

    /// Follow redirects. Hosts that you named are granted wherever they are, others where they are
    /// on the public network
    #[arg(short = 'L', long, help_heading = NETWORK)]
    pub location: bool,

    /// Follow at most so many redirects; -1 means any number [default: 30]
    #[arg(long, value_name = "NUMBER", value_parser = redirects, default_value_t = 30, hide_default_value = true, allow_negative_numbers = true, help_heading = NETWORK)]
    pub max_redirs: u32,

    /// Follow redirects from https to http too, where others on the network can read and answer
    #[arg(long, help_heading = NETWORK)]
    pub allow_downgrade: bool,

    #[command(flatten)]
    pub connect: Connect,

    #[command(flatten)]
    pub proxy: FetchProxyArgs,

    #[command(flatten)]
    pub common: Common,
    /// Use these addresses instead of resolving HOST, and grant connecting to them. With PORT they are for that
    /// port alone; then HOST may be `*`, every host that has none of its own, and -HOST:PORT removes the
    /// entries before it. May be given more than once
    #[arg(long, value_name = "HOST[:PORT]:ADDRESS[,ADDRESS]...", value_parser = static_host, allow_hyphen_values = true, help_heading = NETWORK)]
    pub resolve: Vec<StaticHost>,

    /// Use IPv4 only
    #[arg(short = '4', long, overrides_with = "ipv6", help_heading = NETWORK)]
    pub ipv4: bool,

    /// Use IPv6 only
    #[arg(short = '6', long, overrides_with = "ipv4", help_heading = NETWORK)]
    pub ipv6: bool,

    /// How long an address has before the next one is tried beside it [default: 250]
    #[arg(long, value_name = "MILLISECONDS", value_parser = milliseconds, help_heading = NETWORK)]
    pub happy_eyeballs_timeout_ms: Option<Duration>,

    /// Give up after so many seconds, such as 10 or 0.5; 0 means never
    #[arg(short, long, value_name = "SECONDS", value_parser = seconds, help_heading = BOUNDS)]
    pub max_time: Option<Duration>,

    /// Give up if resolving the name, connecting, or the TLS handshake takes longer [default: 10 for
    /// resolving, 30 for each of the others]
    #[arg(long, value_name = "SECONDS", value_parser = seconds, help_heading = BOUNDS)]
    pub connect_timeout: Option<Duration>,

    /// How long the server may take to say that it wants a large body [default: 1]
    #[arg(long, value_name = "SECONDS", value_parser = seconds, help_heading = BOUNDS)]
    pub expect100_timeout: Option<Duration>,

    /// Give up on a page that is larger; units: k, M, G
    #[arg(long, value_name = "BYTES", value_parser = size, help_heading = BOUNDS)]
    pub max_filesize: Option<u64>,

    /// Send and receive at most so many bytes in a second; units: k, M, G
    #[arg(long, value_name = "SPEED", value_parser = size, help_heading = BOUNDS)]
    pub limit_rate: Option<u64>,

    /// Give up if it is slower than so many bytes in a second, for the time of -y [default: 1 with
    /// -y]
    #[arg(short = 'Y', long, value_name = "SPEED", value_parser = size, help_heading = BOUNDS)]
    pub speed_limit: Option<u64>,

    /// The time for -Y [default: 30 with -Y]
    #[arg(short = 'y', long, value_name = "SECONDS", value_parser = seconds, help_heading = BOUNDS)]
    pub speed_time: Option<Duration>,

    /// Go on with the file where it ends (OFFSET is `-`), if that is the same page's beginning, and
    /// keep what there is when it fails
    #[arg(short = 'C', long = "continue-at", value_name = "OFFSET", value_parser = resume, allow_hyphen_values = true, help_heading = RETRY)]
    pub resume: Option<Resume>,

    /// Try so many times again after a timeout, a failure of the resolver, or status 408, 429, 500,
    /// 502, 503, 504, 522 or 524 [default: 0]
    #[arg(long, value_name = "NUMBER", default_value_t = 0, hide_default_value = true, help_heading = RETRY)]
    pub retry: u32,

    /// Wait so long before each, in place of 1 second, then 2, 4, and so on to 10 minutes
    #[arg(long, value_name = "SECONDS", value_parser = seconds, help_heading = RETRY)]
    pub retry_delay: Option<Duration>,

    /// Begin none after so many seconds; 0 means that there is no bound. What a server asks for in
    /// Retry-After is waited for if that isn't longer than 6 hours, --max-time, and what is left of this
    /// and of --max-wall-time
    #[arg(long, value_name = "SECONDS", value_parser = seconds, help_heading = RETRY)]
    pub retry_max_time: Option<Duration>,

    /// Try again too when the connection is refused
    #[arg(long, help_heading = RETRY)]
    pub retry_connrefused: bool,

    /// Try again whatever the network or the server did
    #[arg(long, help_heading = RETRY)]
    pub retry_all_errors: bool,

    /// Fetch several URLs at the same time; a sandbox fetches from one origin only
    #[arg(short = 'Z', long, help_heading = SEVERAL)]
    pub parallel: bool,

    /// How many at the same time, at most 300 [default: 50]
    #[arg(long, value_name = "NUMBER", default_value_t = 50, hide_default_value = true, value_parser = value_parser!(u16).range(1..=300), help_heading = SEVERAL)]
    pub parallel_max: u16,

    /// Show neither a progress bar nor what went wrong: the exit code tells
    #[arg(short, long, help_heading = REPORT)]
    pub silent: bool,

    /// Show what went wrong, -s or not
    #[arg(short = 'S', long, help_heading = REPORT)]
    pub show_error: bool,

    /// Show no progress bar
    #[arg(long, help_heading = REPORT)]
    pub no_progress_meter: bool,

    /// Tell on standard error what is done and what the policy decides
    #[arg(short, long, help_heading = REPORT)]
    pub verbose: bool,

    /// Print this behind each page: text with curl's `%{variable}`, `%header{name}` and `\n`.
    /// `@FILE` has it
    #[arg(short, long, value_name = "FORMAT", allow_hyphen_values = true, help_heading = REPORT)]
    pub write_out: Option<OsString>,

    /// Print all that is known of each transfer behind its page, as a line of JSON
    #[arg(long, help_heading = REPORT)]
    pub json: bool,
}

impl Fetch {
    /// Whether not even a failure is to be told.
    pub fn hides_errors(&self) -> bool {
        self.silent && !self.show_error
    }

    /// What `--resolve` says in the end.
    pub fn static_hosts(&self) -> impl Iterator<Item = &StaticHost> {
        sockbox_grammar::static_host::last(&self.resolve)
    }

    /// Whether the data are a body.
    pub fn sends_data(&self) -> bool {
        !self.data.0.is_empty() && !self.get
    }

    /// Look for options that contradict each other.
    ///
    /// # Errors
    /// The message.
    pub fn check(&self) -> Result<(), &'static str> {
        self.proxy.check()?;
        let one_method = "a request has one method: give only one of -I, -T and -d";
        let methods = [self.head, !self.uploads.is_empty(), self.sends_data()];
        if methods.iter().filter(|method| **method).count() > 1 {
            return Err(one_method);
        }
        let one_url = self.urls.0.len() == 1;
        if !one_url && (self.etag_save.is_some() || self.etag_compare.is_some()) {
            return Err("--etag-save and --etag-compare are for a single URL");
        }
        if self.resume.is_none() {
            return Ok(());
        }
        for (given, why) in [
            (
                methods.contains(&true),
                "-C can't be used with -I, -T or -d: it is for pages",
            ),
            (
                self.include,
                "-C can't be used with -i: the file would have the head in it",
            ),
            (
                self.compressed,
                "-C can't be used with --compressed: what is in the file isn't what is sent",
            ),
            (
                self.no_clobber,
                "-C can't be used with --no-clobber: one goes on with the file, the other doesn't touch it",
            ),
            (
                self.remove_on_error,
                "-C can't be used with --remove-on-error: one keeps the file, the other doesn't",
            ),
        ] {
            if given {
                return Err(why);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
impl Fetch {
    /// What these words behind `sockbox fetch` mean, for tests.
    pub fn typed(words: &str) -> Fetch {
        use super::{Args, Command};
        use clap::Parser;
        let words = format!("sockbox fetch {words}");
        match Args::try_parse_from(words.split_whitespace()).map(|args| args.command) {
            Ok(Command::Fetch(args)) => *args,
            other => panic!("{words:?} is {other:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Args, Command};
    use super::*;
    use clap::Parser;
    use clap::error::ErrorKind;

    fn parse(words: &str) -> Result<Fetch, ErrorKind> {
        match Args::try_parse_from(words.split(' ')) {
            Ok(Args {
                command: Command::Fetch(fetch),
            }) => Ok(*fetch),
            Ok(_) => panic!("{words:?} is not a fetch"),
            Err(error) => Err(error.kind()),
        }
    }

    #[test]
    fn nothing_is_on_by_default() {
        let fetch = parse("sockbox fetch example.com").unwrap();
        assert_eq!(fetch.urls.0, ["example.com"]);
        assert!(fetch.outputs.0.is_empty() && fetch.data.0.is_empty());
        assert!(!fetch.include && !fetch.silent && !fetch.verbose && !fetch.location);
        assert!(!fetch.tls.insecure && !fetch.allow_downgrade);
        assert_eq!(fetch.max_time, None);
        assert_eq!(fetch.max_redirs, 30);
        assert_eq!(fetch.parallel_max, 50);
        assert_eq!(fetch.retry, 0);
    }

    #[test]
    fn values_are_taken_as_curl_takes_them() {
        for words in [
            "sockbox fetch -isvSfLGZ46 a",
            "sockbox fetch -k --tlsv1.2 --tlsv1.3 --tls-max 1.3 --allow-downgrade a",
            "sockbox fetch --cacert a --capath b -E c --key d a",
            "sockbox fetch -s -s -f -f --fail-with-body a",
            "sockbox fetch -ofile -XPUT -d@x -Ta -m1.5 a",
            "sockbox fetch --output=file --max-time=1.5 a",
            "sockbox fetch -m 1 -m 2 a",
            "sockbox fetch -d -x -H -x -A -x -w -x -u -x:y a",
            "sockbox fetch -z -2024-01-01 a",
            "sockbox fetch -C - -o a a",
            "sockbox fetch -C- -o a a",
            "sockbox fetch --max-redirs -1 a",
            "sockbox fetch -I -G -d x a",
            "sockbox fetch --resolve a:80:127.0.0.1 --resolve b:80:[::1] --resolve c:[::1] a",
        ] {
            assert!(parse(words).is_ok(), "{words:?}: {:?}", parse(words).err());
        }
    }

    #[test]
    fn the_last_of_what_contradicts_counts() {
        let fetch = parse("sockbox fetch -4 -6 -m 1 -m 2 a").unwrap();
        assert_eq!((fetch.ipv4, fetch.ipv6), (false, true));
        assert_eq!(fetch.max_time, Some(Duration::from_secs(2)));
        let fetch = parse("sockbox fetch --fail-with-body -f a").unwrap();
        assert_eq!((fetch.fail, fetch.fail_with_body), (true, false));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (words, expected) in [
            ("sockbox fetch", ErrorKind::MissingRequiredArgument),
            ("sockbox fetch -C 100 a", ErrorKind::ValueValidation),
            ("sockbox fetch -u me a", ErrorKind::ValueValidation),
            (
                "sockbox fetch --limit-rate 1q a",
                ErrorKind::ValueValidation,
            ),
            (
                "sockbox fetch --max-redirs -2 a",
                ErrorKind::ValueValidation,
            ),
            ("sockbox fetch --retry -1 a", ErrorKind::UnknownArgument),
            (
                "sockbox fetch --parallel-max 0 a",
                ErrorKind::ValueValidation,
            ),
            (
                "sockbox fetch --parallel-max 301 a",
                ErrorKind::ValueValidation,
            ),
            ("sockbox fetch --resolve a:80 a", ErrorKind::ValueValidation),
            (
                "sockbox fetch --allow-connect http://a/ a",
                ErrorKind::ValueValidation,
            ),
            ("sockbox fetch -o", ErrorKind::InvalidValue),
        ] {
            assert_eq!(parse(words).map(|_| ()), Err(expected), "{words:?}");
        }
    }

    #[test]
    fn contradictions_are_told() {
        for (words, refused) in [
            ("sockbox fetch -C - a", false),
            ("sockbox fetch -C - -G -d x a", false),
            ("sockbox fetch -I -d x a", true),
            ("sockbox fetch -I -T x a", true),
            ("sockbox fetch -T x -d x a", true),
            ("sockbox fetch -T x -G -d x a", false),
            ("sockbox fetch -C - -I a", true),
            ("sockbox fetch -C - -T x a", true),
            ("sockbox fetch -C - -d x a", true),
            ("sockbox fetch -C - -i a", true),
            ("sockbox fetch -C - --compressed a", true),
            ("sockbox fetch -C - --no-clobber a", true),
            ("sockbox fetch -C - --remove-on-error a", true),
            ("sockbox fetch --etag-save x a", false),
            ("sockbox fetch --etag-save x a b", true),
            ("sockbox fetch --etag-compare x a b", true),
        ] {
            let fetch = parse(words).unwrap_or_else(|kind| panic!("{words:?}: {kind:?}"));
            assert_eq!(fetch.check().is_err(), refused, "{words:?}");
        }
    }
}
