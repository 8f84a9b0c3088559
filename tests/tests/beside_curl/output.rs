//! The output of bodies and heads.

use crate::case::{Case, case};

/// Pages of real servers.
pub(crate) const PAGES: &[Case] = &[
    case("an empty page", "{nginx}/empty.txt", 0),
    case("an empty file", "-o page {nginx}/empty.txt", 0),
    case(
        "an empty page in chunks",
        "-o page {nginx}/chunked/empty.txt",
        0,
    ),
    case("lighttpd", "{lighttpd}/1m.bin", 0),
    case("lighttpd's redirect", "-L {lighttpd}/moved", 0),
    case(
        "more pages than lighttpd takes on a connection",
        "-w '%{num_connects}' {lighttpd}/page.html {lighttpd}/page.html {lighttpd}/page.html {lighttpd}/page.html {lighttpd}/page.html",
        0,
    ),
    case("nginx's gzip", "--compressed {nginx}/gzip/1m.bin", 0),
    case("httpbin's bytes", "{httpbin}/range/5000", 0),
    case(
        "httpbin's redirects",
        "-L -A x -o page -w '%{num_redirects} %{http_code}' {httpbin}/redirect/3",
        0,
    ),
    case(
        "httpbin's absolute redirects",
        "-L -A x -o page -w '%{num_redirects} %{http_code}' {httpbin}/absolute-redirect/3",
        0,
    ),
    case(
        "httpbin's stream",
        "{httpbin}/stream-bytes/5000?seed=1&chunk_size=100",
        0,
    ),
    case(
        "httpbin's drip",
        "{httpbin}/drip?numbytes=5&duration=0.5&delay=0",
        0,
    ),
    case(
        "httpbin's password",
        "-u me:secret {httpbin}/basic-auth/me/secret",
        0,
    ),
    case(
        "httpbin without a password",
        "-f {httpbin}/basic-auth/me/secret",
        22,
    ),
    case("httpbin's teapot", "{httpbin}/status/418", 0),
    case(
        "httpbin, a form",
        "-A x -d a=1 -H 'Accept-Encoding: identity' {httpbin}/post",
        0,
    ),
];

/// Where they go.
pub(crate) const OUTPUT: &[Case] = &[
    case("standard output by name", "-o - {nginx}/page.html", 0),
    case(
        "the folder apart",
        "--output-dir d --create-dirs -O {nginx}/page.html",
        0,
    ),
    case(
        "its own name, behind a query",
        "-O {nginx}/page.html?a/b#c/d",
        0,
    ),
    case(
        "two by their own names",
        "-O {nginx}/page.html -O {nginx}/empty.txt",
        0,
    ),
    case(
        "one saved, one printed",
        "-o page {nginx}/page.html {nginx}/empty.txt",
        0,
    ),
    case(
        "what was there stays",
        "--no-clobber -o old {nginx}/page.html",
        0,
    ),
    case("what was there goes", "-o old {nginx}/page.html", 0),
    case("the URL as an option", "--url {nginx}/page.html", 0),
    case("without a scheme", "127.0.0.1:{port}/page", 0),
    case("the head into the page's place", "-D - {node}/page", 0),
    case("the head before a saved page", "-i -o page {node}/page", 0),
    case("the head alone, saved", "-I -o head {node}/page", 0),
    case("the heads of all hops", "-i -L {node}/hops/2", 0),
    case("the heads of all hops alone", "-I -L {node}/hops/2", 0),
    case(
        "the heads of all hops in a file",
        "-D head -L {node}/hops/2",
        0,
    ),
    case("just below failure", "-f {node}/status/399", 0),
    case("the lowest failure", "-f {node}/status/400", 22),
    case("a failure of the server's", "-f {node}/status/503", 22),
    case("a failure without -f", "{node}/status/503", 0),
];

/// Several in one command.
pub(crate) const SEVERAL: &[Case] = &[
    case(
        "several, the last fails",
        "-o a {node}/hints -o b {refused}/",
        7,
    ),
    case(
        "several at once, one fails",
        "-Z -o a {node}/hints -o b {refused}/",
        7,
    ),
];
