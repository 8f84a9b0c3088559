//! `fetch`.

use super::args::Fetch;
use super::run::{Failed, complain};
use crate::bindings::wasi::cli::stdout::get_stdout;
use crate::bindings::wasi::clocks::monotonic_clock;
use crate::fetch::{FetchError, Options, Request, RequestBody, Response, Timeouts, fetch};
use crate::net::wasi::{InputSource, OutputSink, WasiNet};
use crate::net::{MAX_READ, NetError, Sink, SinkClosed};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Why there is no page.
enum Error {
    Fetch(FetchError),
    Output,
    File(PathBuf, io::Error),
}

impl From<FetchError> for Error {
    fn from(error: FetchError) -> Self {
        Self::Fetch(error)
    }
}

impl From<SinkClosed> for Error {
    fn from(_: SinkClosed) -> Self {
        Self::Output
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fetch(error) => {
                write!(f, "{error}")?;
                if may_be_the_runtime(error) {
                    write!(f, " ({GRANT})")?;
                }
                Ok(())
            }
            Self::Output => f.write_str("standard output takes no more"),
            Self::File(path, error) if error.kind() == io::ErrorKind::NotFound => {
                write!(
                    f,
                    "{}: {error} (is the folder mapped, as with --dir?)",
                    path.display()
                )
            }
            Self::File(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

/// What to do about a refusal, by the runtimes that we know.
const GRANT: &str = "does the runtime grant it? `wasmtime run` does with -S inherit-network and \
                     -S allow-ip-name-lookup, `sockbox run` with --allow-net";

/// Whether this may be the runtime's refusal rather than the network's failure. A runtime that
/// permits no lookups may say just that its resolver can't answer.
fn may_be_the_runtime(error: &FetchError) -> bool {
    matches!(
        error,
        FetchError::Denied(_)
            | FetchError::ResolveFailed {
                reason: NetError::PermanentResolverFailure,
                ..
            }
    )
}

/// Fetches a page and prints or saves it.
pub fn run(arguments: Fetch) -> Result<(), Failed> {
    let net = WasiNet::instance();
    let silent = arguments.silent;
    net.reactor()
        .block_on(get(&net, arguments))
        .map_err(|error| {
            if !silent {
                complain(&error.to_string());
            }
            Failed
        })
}

async fn get(net: &WasiNet, arguments: Fetch) -> Result<(), Error> {
    let request: Request<InputSource> = Request {
        method: "GET".to_owned(),
        url: arguments.url,
        headers: Vec::new(),
        body: RequestBody::Empty,
        options: Options {
            timeouts: Timeouts {
                total: arguments.max_time,
                ..Timeouts::default()
            },
            trace: arguments
                .verbose
                .then_some(crate::exports::trace as fn(&str)),
            ..Options::default()
        },
    };
    let mut response = fetch(net, request).await?;
    let stdout = get_stdout();
    let mut stdout = OutputSink::new(net.reactor().clone(), &stdout);
    if arguments.include || arguments.output.is_some() {
        stdout.write_all(&response.info().head.raw).await?;
    }
    match arguments.output {
        Some(path) => save(&mut response, Path::new(&path)).await?,
        None => {
            response.write_to(&mut stdout, u64::MAX).await?;
        }
    }
    Ok(stdout.flush().await?)
}

/// Saves the page under a name of its own, and gives it the right one when it is whole.
async fn save(response: &mut Response<WasiNet>, path: &Path) -> Result<(), Error> {
    let part = part_name(path);
    let failed = |error| Error::File(path.to_owned(), error);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&part)
        .map_err(failed)?;
    let result = match receive(response, &mut file).await {
        Ok(Ok(())) => fs::rename(&part, path).map_err(failed),
        Ok(Err(error)) => Err(failed(error)),
        Err(error) => Err(Error::Fetch(error)),
    };
    if result.is_err() {
        // The error that is told is the one that led here.
        let _ = fs::remove_file(&part);
    }
    result
}

async fn receive(
    response: &mut Response<WasiNet>,
    file: &mut File,
) -> Result<io::Result<()>, FetchError> {
    while let Some(bytes) = response.read(MAX_READ).await? {
        if let Err(error) = file.write_all(&bytes) {
            return Ok(Err(error));
        }
    }
    Ok(file.flush())
}

/// A hidden name beside `path` that nobody else has: the clock's nanoseconds tell two runs apart,
/// and the file is only ever created, never opened.
fn part_name(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{:x}.part", monotonic_clock::now()))
}
