//! Time limits and retries.

use crate::case::{Case, case};

/// Time, size, addresses.
pub(crate) const BOUNDS: &[Case] = &[
    case(
        "a slow page, in time",
        "-m 10 --limit-rate 1m {nginx}/page.html",
        0,
    ),
    case(
        "out of time in the middle",
        "-m 0.3 --remove-on-error -o page {node}/hang-in-body",
        28,
    ),
    case("fast enough", "-Y 1 -y 1 {node}/page", 0),
    case(
        "exactly as large as allowed",
        "--max-filesize 268 {nginx}/page.html",
        0,
    ),
    case(
        "a byte too large",
        "--max-filesize 267 {nginx}/page.html",
        63,
    ),
    case("an address of that family", "-4 {node}/page", 0),
    case(
        "a name of that family",
        "-4 http://localhost:{port}/page",
        0,
    ),
    case(
        "an address that refuses and one that doesn't",
        "--resolve a.example:{port}:127.0.0.2,127.0.0.1 http://a.example:{port}/page",
        0,
    ),
    case(
        "a name of one's own making, in other letters",
        "--resolve A.Example:{port}:127.0.0.1 http://a.eXample:{port}/page",
        0,
    ),
    case(
        "a name's own address before that of every name",
        "--resolve a.example:{port}:127.0.0.1 --resolve '*:{port}:127.0.0.2' http://a.example:{port}/page",
        0,
    ),
    case(
        "an address of every name, for an address",
        "--resolve '*:{port}:127.0.0.1' http://192.0.2.1:{port}/page",
        0,
    ),
    case(
        "an address that is taken back",
        "--resolve a.invalid:{port}:127.0.0.1 --resolve -a.invalid:{port} http://a.invalid:{port}/page",
        6,
    ),
    case(
        "an address that is taken back and given again",
        "--resolve -a.example:{port} --resolve +a.example:{port}:127.0.0.1 http://a.example:{port}/page",
        0,
    ),
];

/// Retries.
pub(crate) const RETRIES: &[Case] = &[
    case(
        "a server that stays busy",
        "-f --retry 1 {node}/flaky/{program}busy/5/503",
        22,
    ),
    case(
        "a server that says when",
        "--retry 1 -o page {node}/flaky/{program}when/1/429?1",
        0,
    ),
    case(
        "a failure that isn't retried",
        "-f --retry 3 {node}/flaky/{program}404/1/404",
        22,
    ),
    case(
        "a failure that is retried when asked",
        "-f --retry 3 --retry-all-errors -o page {node}/flaky/{program}all/1/404",
        0,
    ),
    case(
        "a broken connection isn't retried",
        "--retry 3 {node}/flaky/{program}reset/1/reset",
        56,
    ),
    case(
        "a broken connection is retried when asked",
        "--retry 3 --retry-all-errors {node}/flaky/{program}resets/1/reset",
        0,
    ),
    case(
        "a server that asks for more time than there is",
        "--retry 1 --retry-max-time 5 -o page {node}/flaky/{program}patience/1/503?21600",
        0,
    ),
    case("connection refused, so no retry", "--retry 3 {refused}/", 7),
    case(
        "no time for a retry",
        "-f --retry 3 --retry-max-time 1 {node}/flaky/{program}time/3/503?60",
        22,
    ),
];
