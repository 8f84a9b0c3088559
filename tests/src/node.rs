//! A server run by Node.

use crate::process::Process;
use crate::program::Program;
use crate::tools;

/// A running server of Node's HTTP/1.1, with its connections kept open.
///
/// | path | page |
/// |---|---|
/// | `/page` | 35,000 bytes of text |
/// | `/echo` | the request, its fields sorted, and its body |
/// | `/body` | the request's body |
/// | `/upload` | as JSON: the body's size and SHA-256, and how it was framed |
/// | `/trailers` | `one two` in chunks, with a trailer field |
/// | `/hints` | an interim response (103) before the page |
/// | `/coded/A,B` | the text, coded with A and then with B: `gzip`, `x-gzip`, `deflate`, `raw-deflate`, `br`, `identity`, or any other word, which is named and not done |
/// | `/coded-chunks/A,B` | the same in chunks of 7 bytes |
/// | `/coded-cut/A` | the first half of it |
/// | `/bomb/A/N` | N MiB of zeros, coded with A |
/// | `/status/N` | a page with that status |
/// | `/redirect/N?WHERE` | a redirect with that status and `Location` |
/// | `/hops/N` | so many redirects, and then `arrived` |
/// | `/loop` | a redirect to itself |
/// | `/flaky/KEY/N/STATUS?AFTER` | that status N times, with that `Retry-After`, and then `at last`; `reset` and `close` in place of a status do that to the connection |
/// | `/asked/KEY` | how often that was asked for |
/// | `/drip/N` | `/page`, a byte every N milliseconds |
/// | `/hang` | nothing, ever |
/// | `/hang-in-body`, `/reset-in-body`, `/cut-short` | the head and 100 bytes of `/page`, and then that |
/// | `/refused` | 413 instead of `100 Continue` |
/// | `/no-expect` | as `/upload`, but 417 if leave is asked for |
/// | `/tagged` | a page with an entity tag and a date, or 304 |
pub struct Node {
    _process: Process,
    port: u16,
}

impl Node {
    /// Start it on a free port of 127.0.0.1.
    pub fn start() -> Self {
        let tool = tools::node();
        let process = Program::new(&tool.path, ["-e", include_str!("node_server.js")])
            .libraries(tool)
            .start();
        let port = process.wait_for_stdout("its port", |stdout| {
            let (port, _) = stdout
                .strip_prefix("listening on port ")?
                .split_once('\n')?;
            port.parse().ok()
        });
        Self {
            _process: process,
            port,
        }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A URL on it.
    pub fn url(&self, path: &str) -> String {
        self.url_at("127.0.0.1", path)
    }

    /// A URL on it by another name of this machine.
    pub fn url_at(&self, host: &str, path: &str) -> String {
        format!("http://{host}:{}{path}", self.port)
    }

    /// What `/page` and the coded pages say.
    pub fn text() -> String {
        "A page of text that is coded well. ".repeat(1000)
    }
}
