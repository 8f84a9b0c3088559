//! The cases of the published tables.

use crate::case::{Case, case, raw};

/// The rows of the table.
pub(crate) const SHOWN: &[Case] = &[
    case("a page", "{nginx}/page.html", 0),
    case("in chunks", "{nginx}/chunked/1m.bin", 0),
    case("up to the connection's end", "{nginx}/close/1m.bin", 0),
    case("saved by its own name", "-O {nginx}/page.html", 0),
    case(
        "saved in a new folder",
        "--create-dirs -o a/b/page {nginx}/page.html",
        0,
    ),
    case(
        "two pages, one connection",
        "-w '%{num_connects}\\n' -o a {node}/page -o b {node}/hints",
        0,
    ),
    case(
        "two pages at once",
        "-Z -o a {node}/page -o b {nginx}/1m.bin",
        0,
    ),
    case("the head, then the page", "-i {node}/page", 0),
    case("the head alone", "-I {node}/page", 0),
    case("the head in a file", "-D head -o page {node}/page", 0),
    case("a form", "-A x -d a=1 -d b=2 {node}/echo", 0),
    case(
        "a query",
        "-A x -G --data-urlencode 'q=a b&c' {node}/echo",
        0,
    ),
    case("a file sent", "-H Expect: -T file {node}/upload", 0),
    case(
        "header fields",
        "-A x -H 'X-Mine: 1' -H Accept: -H X-Empty; {node}/echo",
        0,
    ),
    case("a password", "-A x -u me:secret {node}/echo", 0),
    case("gzip", "--compressed {node}/coded/gzip", 0),
    case(
        "deflate, of both kinds",
        "--compressed {node}/coded/deflate {node}/coded/raw-deflate",
        0,
    ),
    case("brotli", "--compressed {node}/coded/br", 0),
    case(
        "codings on top of each other",
        "--compressed {node}/coded/br,gzip",
        0,
    ),
    case("redirects", "-L {node}/hops/3", 0),
    case(
        "a form, redirected with 302",
        "-L -A x -d a=1 {node}/redirect/302?/echo",
        0,
    ),
    case(
        "a form, redirected with 307",
        "-L -A x -d a=1 {node}/redirect/307?/echo",
        0,
    ),
    case(
        "a page that hasn't changed",
        "--etag-compare etag -o page {node}/tagged",
        0,
    ),
    case(
        "a server that is busy at first",
        "--retry 2 -o page {node}/flaky/{program}/1/503",
        0,
    ),
    case(
        "facts",
        "-L -o page -w '%{http_code} %{size_download} %{num_redirects}\\n' {node}/hops/1",
        0,
    ),
    case(
        "a name of one's own making",
        "--resolve a.example:{port}:127.0.0.1 http://a.example:{port}/page",
        0,
    ),
    case(
        "every name at a port",
        "--resolve '*:{port}:127.0.0.1' http://a.example:{port}/page http://b.example:{port}/hints",
        0,
    ),
    case("a page over TLS", "--cacert ca.pem {tls}/page.html", 0),
    case("without verification", "-k {tls}/page.html", 0),
    case("an unknown scheme", "nonsense://127.0.0.1/", 1),
    case("a URL that can't be read", "http://127.0.0.1:99999/", 3),
    case("an unknown name", "http://nonexistent.invalid/", 6),
    case("connection refused", "{refused}/", 7),
    raw(
        "a length that is no number",
        "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
        "{raw}/",
        8,
    ),
    case(
        "a page cut short",
        "--remove-on-error -o page {node}/cut-short",
        18,
    ),
    case("no such page", "-f {nginx}/no/such/file", 22),
    case(
        "no such page, shown all the same",
        "--fail-with-body {node}/no/such/file",
        22,
    ),
    case(
        "nowhere to save it",
        "-o missing/page {nginx}/page.html",
        23,
    ),
    case("a server that hangs", "-m 0.3 {node}/hang", 28),
    case(
        "a server that is too slow",
        "--remove-on-error -o page -Y 1000 -y 1 {node}/drip/100",
        28,
    ),
    case("no TLS where it should be", "{without-tls}/", 35),
    case("redirects without end", "-L -o page {node}/loop", 47),
    case("not a byte", "{node}/flaky/{program}gone/1/close", 52),
    case(
        "a connection that breaks",
        "--remove-on-error -o page {node}/reset-in-body",
        56,
    ),
    case(
        "a client certificate that isn't there",
        "--cacert ca.pem --cert missing {tls}/page.html",
        58,
    ),
    case("an unknown issuer", "{tls}/page.html", 60),
    case(
        "an unknown coding",
        "--compressed {node}/coded/nonsense",
        61,
    ),
    case(
        "a page that is too large",
        "--max-filesize 1000 {nginx}/1m.bin",
        63,
    ),
    case(
        "no trusted authority",
        "--cacert missing {tls}/page.html",
        77,
    ),
];
