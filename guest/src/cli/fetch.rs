//! The program `fetch`.

use super::command::Fetch;
use super::output::{Failed, complain};
use super::request;
use crate::bindings::wasi::cli::stdout::get_stdout;
use crate::bindings::wasi::clocks::monotonic_clock;
use crate::fetch::{Client, FetchError, RequestBody, Response, trace_to_stderr};
use crate::net::wasi::{InputSource, OutputSink, WasiNet};
use crate::net::{MAX_READ, NetError, Sink, SinkClosed};
use sockbox_grammar::data;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

/// Why the program failed.
enum Error {
    Usage(String),
    Fetch(FetchError),
    Status(u16),
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
            Self::Usage(why) => f.write_str(why),
            Self::Fetch(error) => {
                write!(f, "{error}")?;
                if may_be_the_runtime(error) {
                    write!(f, " ({GRANT})")?;
                }
                Ok(())
            }
            Self::Status(status) => write!(f, "the server answered {status}"),
            Self::Output => f.write_str("cannot write to standard output"),
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

/// What to do about a denial, for the known runtimes.
const GRANT: &str = "does the runtime grant it? with `wasmtime run`, give -S inherit-network and \
                     -S allow-ip-name-lookup; with `sockbox run`, give the option that it names";

/// Whether the runtime may have denied this, and not the network. A runtime that allows no name
/// resolution may report only that the resolver can't answer.
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

/// Fetches a URL, and prints or saves the response.
pub fn run(arguments: Fetch) -> Result<(), Failed> {
    let net = WasiNet::instance();
    let silent = arguments.silent && !arguments.show_error;
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
    let stdout = get_stdout();
    let mut stdout = OutputSink::new(net.reactor().clone(), &stdout);
    // It keeps the connection open until the response has been written.
    let client = Client::new(net.clone());
    let (mut response, heads) = ask(&client, &arguments).await?;

    // With -i or -I the heads go to standard output if the body does, or if there is no body to
    // save. Without them they go there only if the body is saved in a file.
    let with_body = arguments.include || arguments.head;
    let failed = arguments.fail && response.info().head.status >= 400;
    if with_body && (failed || arguments.output.is_none())
        || !with_body && arguments.output.is_some() && !arguments.silent
    {
        // For a file or a pipe they are data. On a terminal they are escaped.
        let shown = match io::stdout().is_terminal() {
            true => sockbox_printable::bytes(&heads),
            false => (&heads[..]).into(),
        };
        stdout.write_all(&shown).await?;
    }
    if failed {
        stdout.flush().await?;
        return Err(Error::Status(response.info().head.status));
    }
    match &arguments.output {
        Some(path) => {
            let heads = if with_body { &heads[..] } else { &[] };
            save(&mut response, heads, arguments.head, Path::new(path)).await?;
        }
        None if arguments.head => {}
        None => {
            response.write_to(&mut stdout, u64::MAX).await?;
        }
    }
    Ok(stdout.flush().await?)
}

/// Sends the request and follows redirects if asked to. Returns the last response, and the heads of
/// all responses.
async fn ask(
    client: &Client<WasiNet>,
    arguments: &Fetch,
) -> Result<(Response<WasiNet>, Vec<u8>), Error> {
    let data = match &arguments.data[..] {
        [] => None,
        pieces => Some(data::join(
            pieces
                .iter()
                .map(|text| piece(text))
                .collect::<Result<Vec<_>, _>>()?,
        )),
    };
    let body = || match &data {
        Some(data) => RequestBody::Bytes(data.clone()),
        None => RequestBody::<InputSource>::Empty,
    };
    let request = request::request::<InputSource>(arguments, data.clone(), trace_to_stderr)
        .map_err(Error::Usage)?;
    let mut response = client.fetch(request).await?;
    let mut heads = response.info().head.raw.clone();
    while arguments.location && response.redirect()?.is_some() {
        response = client.follow(&mut response, body()).await?;
        heads.extend_from_slice(&response.info().head.raw);
    }
    Ok((response, heads))
}

/// What one `-d` sends: its text, or, after an `@`, what a file contains.
fn piece(text: &str) -> Result<Vec<u8>, Error> {
    match text.strip_prefix('@') {
        None => Ok(text.as_bytes().to_vec()),
        Some(name) => read(name)
            .map(data::of_file)
            .map_err(|error| Error::File(PathBuf::from(name), error)),
    }
}

/// Reads a file, or standard input.
fn read(name: &str) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    match name {
        "-" => io::stdin().read_to_end(&mut content)?,
        name => File::open(name)?.read_to_end(&mut content)?,
    };
    Ok(content)
}

/// Saves the body under a temporary name, and renames the file when it is complete.
async fn save(
    response: &mut Response<WasiNet>,
    heads: &[u8],
    heads_alone: bool,
    path: &Path,
) -> Result<(), Error> {
    let part = part_name(path);
    let failed = |error| Error::File(path.to_owned(), error);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&part)
        .map_err(failed)?;
    let received = match file.write_all(heads) {
        Ok(()) if heads_alone => Ok(Ok(())),
        Ok(()) => receive(response, &mut file).await,
        Err(error) => Ok(Err(error)),
    };
    let result = match received {
        Ok(Ok(())) => fs::rename(&part, path).map_err(failed),
        Ok(Err(error)) => Err(failed(error)),
        Err(error) => Err(Error::Fetch(error)),
    };
    if result.is_err() {
        // The first error is the one that is reported.
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

/// A hidden name in the folder of `path` that no other run uses. The clock's nanoseconds
/// distinguish two runs, and the file is created, never opened if it exists.
fn part_name(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{:x}.part", monotonic_clock::now()))
}
