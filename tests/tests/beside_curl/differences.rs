//! Intended differences from curl.

use crate::case::{Case, case, raw};

/// A command line that ends differently, and the reason.
pub(crate) struct Difference {
    pub(crate) case: Case,
    pub(crate) curls_code: i32,
    pub(crate) why: &'static str,
}

/// The known differences.
pub(crate) const DIFFERENCES: &[Difference] = &[
    Difference {
        case: case(
            "several, the first fails",
            "-o a {refused}/ -o b {node}/hints",
            7,
        ),
        curls_code: 0,
        why: "two URLs need two output files",
    },
    Difference {
        case: case("no address of that family", "-6 {node}/page", 6),
        curls_code: 7,
        why: "no address was tried",
    },
    Difference {
        case: raw(
            "an answer that isn't HTTP",
            "220 mail.example ESMTP\r\n",
            "{raw}/",
            8,
        ),
        curls_code: 1,
        why: "the scheme is one that we know; it is the answer that is wrong",
    },
    Difference {
        case: raw(
            "a page without a head, as HTTP/0.9 had it",
            "hello",
            "{raw}/",
            8,
        ),
        curls_code: 1,
        why: "the scheme is one that we know; it is the answer that is wrong",
    },
    Difference {
        case: raw(
            "HTTP/0.9 in a status line",
            "HTTP/0.9 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            "{raw}/",
            8,
        ),
        curls_code: 1,
        why: "HTTP/0.9 has no status line; Go takes it for a version",
    },
    Difference {
        case: raw(
            "a transfer coding that was not requested",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "{raw}/",
            8,
        ),
        curls_code: 0,
        why: "without TE in the request no server may use one (RFC 9112 section 7.4), and Go refuses it, too",
    },
    Difference {
        case: raw(
            "chunks that can't be read",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
            "{raw}/",
            8,
        ),
        curls_code: 56,
        why: "the connection is well; it is the answer that is wrong",
    },
    Difference {
        case: case(
            "gzip cut short",
            "--compressed -o page --remove-on-error {node}/coded-cut/gzip",
            61,
        ),
        curls_code: 0,
        why: "half a page is no page",
    },
    Difference {
        case: raw(
            "a redirect to this machine, by a name of its own",
            "HTTP/1.1 302 Found\r\nLocation: http://localhost:{port}/page\r\nContent-Length: 0\r\n\r\n",
            "-L {raw}/",
            126,
        ),
        curls_code: 0,
        why: "the server named it, not the user",
    },
    Difference {
        case: case("a space in the URL", "-A x '{node}/echo?a b'", 0),
        curls_code: 3,
        why: "the URL standard encodes it",
    },
    Difference {
        case: case(
            "the head of a page that fails",
            "-i -f -o page {node}/status/404",
            22,
        ),
        curls_code: 22,
        why: "what failed leaves no file",
    },
    Difference {
        case: raw(
            "a length that is too large",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nhello",
            "--max-filesize 1000 {raw}/",
            8,
        ),
        curls_code: 63,
        why: "its size is unknown",
    },
    Difference {
        case: case(
            "a 300 that names a place",
            "-L {node}/redirect/300?/page",
            0,
        ),
        curls_code: 0,
        why: "it is a list to choose from (RFC 9110 section 15.4.1)",
    },
    Difference {
        case: case(
            "a 304 that names a place",
            "-L {node}/redirect/304?/page",
            0,
        ),
        curls_code: 0,
        why: "it is about the page that was asked for",
    },
    Difference {
        case: raw(
            "a host of one's own, dropped elsewhere",
            "HTTP/1.1 302 Found\r\nLocation: {node}/echo\r\nContent-Length: 0\r\n\r\n",
            "-L -A x -H 'Host: a.example' {raw}/",
            0,
        ),
        curls_code: 0,
        why: "another port may be of another host",
    },
    Difference {
        case: raw(
            "a page without an end, over TLS",
            "HTTP/1.1 200 OK\r\n\r\nhalf a page",
            "--cacert ca.pem --remove-on-error -o page {cut}/",
            18,
        ),
        curls_code: 0,
        why: "a connection that was cut would end the page",
    },
    Difference {
        case: case("a list in the URL", "{node}/{page,hints}", 0),
        curls_code: 0,
        why: "a URL is one URL; shells have such lists",
    },
];
