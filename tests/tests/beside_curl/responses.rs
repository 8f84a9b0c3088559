//! Responses.

use crate::case::{Case, case, raw};

/// Exact bytes.
pub(crate) const RESPONSES: &[Case] = &[
    raw(
        "an interim response",
        "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "{raw}/",
        0,
    ),
    raw(
        "bare line feeds",
        "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
        "-i {raw}/",
        0,
    ),
    raw(
        "a length twice",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        "{raw}/",
        0,
    ),
    raw(
        "bytes behind the page",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello and more",
        "{raw}/",
        0,
    ),
    raw(
        "chunks and a length",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "{raw}/",
        0,
    ),
    raw(
        "no page with HEAD",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        "-I {raw}/",
        0,
    ),
    raw(
        "no page with 204",
        "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
        "-i {raw}/",
        0,
    ),
    raw(
        "no page with 304",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        "-i {raw}/",
        0,
    ),
    raw(
        "an older server",
        "HTTP/1.0 200 OK\r\n\r\nhello",
        "-i {raw}/",
        0,
    ),
    raw(
        "an older server that keeps connections",
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
        "-i {raw}/",
        0,
    ),
    raw(
        "a chunk cut short",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        "--remove-on-error -o page {raw}/",
        18,
    ),
    raw(
        "chunks without an end",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "--remove-on-error -o page {raw}/",
        18,
    ),
    raw(
        "a field over two lines",
        "HTTP/1.1 200 OK\r\nX-A: 1\r\n 2\r\nContent-Length: 5\r\n\r\nhello",
        "-o page -w '%header{x-a}' {raw}/",
        0,
    ),
];

/// Coded pages.
pub(crate) const CODINGS: &[Case] = &[
    case(
        "httpbin's gzip",
        "--compressed -A x -H Accept-Encoding:gzip {httpbin}/gzip",
        0,
    ),
    case(
        "httpbin's deflate",
        "--compressed -A x -H Accept-Encoding:deflate {httpbin}/deflate",
        0,
    ),
    case(
        "httpbin's brotli",
        "--compressed -A x -H Accept-Encoding:br {httpbin}/brotli",
        0,
    ),
    case("old gzip", "--compressed {node}/coded/x-gzip", 0),
    case("no coding by name", "--compressed {node}/coded/identity", 0),
    case(
        "gzip in small chunks",
        "--compressed {node}/coded-chunks/gzip",
        0,
    ),
    case(
        "deflate in small chunks",
        "--compressed {node}/coded-chunks/deflate",
        0,
    ),
    case(
        "brotli in small chunks",
        "--compressed {node}/coded-chunks/br",
        0,
    ),
    case(
        "three codings",
        "--compressed {node}/coded/gzip,deflate,br",
        0,
    ),
    case("a coding that wasn't asked for", "{node}/coded/gzip", 0),
    case(
        "a coding that isn't known and wasn't asked for",
        "{node}/coded/nonsense",
        0,
    ),
];

/// Redirects.
pub(crate) const REDIRECTS: &[Case] = &[
    case(
        "a redirect that isn't followed",
        "{node}/redirect/302?/page",
        0,
    ),
    case(
        "a form, redirected with 301",
        "-L -A x -d a=1 {node}/redirect/301?/echo",
        0,
    ),
    case(
        "a form, redirected with 303",
        "-L -A x -d a=1 {node}/redirect/303?/echo",
        0,
    ),
    case(
        "a form, redirected with 308",
        "-L -A x -d a=1 {node}/redirect/308?/echo",
        0,
    ),
    case(
        "a file, redirected with 307",
        "-L -A x -H Expect: -T file {node}/redirect/307?/echo",
        0,
    ),
    case(
        "HEAD, redirected with 303",
        "-L -I {node}/redirect/303?/page",
        0,
    ),
    case(
        "a redirect by query",
        "-L -A x {node}/redirect/302??/echo",
        0,
    ),
    case(
        "a redirect with a fragment",
        "-L -A x {node}/redirect/302?/echo?a#b",
        0,
    ),
    case(
        "a redirect to the network path",
        "-L -A x {node}/redirect/302?//127.0.0.1:{port}/echo",
        0,
    ),
    case(
        "a redirect up and up",
        "-L -A x {node}/redirect/302?../../../echo",
        0,
    ),
    case(
        "as many redirects as allowed",
        "-L --max-redirs 3 {node}/hops/3",
        0,
    ),
    case("one more", "-L --max-redirs 2 -o page {node}/hops/3", 47),
    case(
        "none allowed",
        "-L --max-redirs 0 -o page {node}/hops/1",
        47,
    ),
    case(
        "a password, kept on the same host",
        "-L -A x -u me:secret {node}/redirect/302?/echo",
        0,
    ),
    raw(
        "a password and a cookie, dropped elsewhere",
        "HTTP/1.1 302 Found\r\nLocation: {node}/echo\r\nContent-Length: 0\r\n\r\n",
        "-L -A x -u me:secret -H 'Cookie: a=b' -H 'X-Kept: 1' {raw}/",
        0,
    ),
    raw(
        "a field with a password, dropped elsewhere",
        "HTTP/1.1 302 Found\r\nLocation: {node}/echo\r\nContent-Length: 0\r\n\r\n",
        "-L -A x -H 'Authorization: secret' {raw}/",
        0,
    ),
    raw(
        "a form, redirected elsewhere with 307",
        "HTTP/1.1 307 Over There\r\nLocation: {node}/echo\r\nContent-Length: 0\r\n\r\n",
        "-L -A x -d a=1 {raw}/",
        0,
    ),
    raw(
        "a redirect to an unknown scheme",
        "HTTP/1.1 302 Found\r\nLocation: nonsense://127.0.0.1/\r\nContent-Length: 0\r\n\r\n",
        "-L {raw}/",
        1,
    ),
    raw(
        "a redirect to nowhere",
        "HTTP/1.1 302 Found\r\nContent-Length: 5\r\n\r\nhello",
        "-L {raw}/",
        0,
    ),
];
