//! Requests.

use crate::case::{Case, case};

/// Methods, fields and bodies.
pub(crate) const REQUESTS: &[Case] = &[
    case("another method", "-A x -X DELETE {node}/echo", 0),
    case(
        "another method with a body",
        "-A x -X PATCH -d a {node}/echo",
        0,
    ),
    case(
        "a JSON body",
        "-A x -H 'Content-Type: application/json' -d {} {node}/echo",
        0,
    ),
    case("a body from a file", "-d @file {node}/body", 0),
    case(
        "a body from a file, as it is",
        "--data-binary @file {node}/body",
        0,
    ),
    case(
        "a body from standard input",
        "--data-binary @- {node}/body",
        0,
    ),
    case(
        "a body that begins with an @",
        "--data-raw @file {node}/body",
        0,
    ),
    case("an empty body", "-A x -d '' {node}/echo", 0),
    case(
        "bodies of several kinds",
        "-d a --data-raw b -d @file --data-urlencode c=ä {node}/body",
        0,
    ),
    case(
        "encoded, without a name",
        "--data-urlencode 'a b=c' --data-urlencode '=d e' {node}/body",
        0,
    ),
    case(
        "encoded, from a file",
        "--data-urlencode f@file --data-urlencode @file {node}/body",
        0,
    ),
    case(
        "a query behind a query",
        "-A x -G -d a=1 {node}/echo?b=2",
        0,
    ),
    case("a query with HEAD", "-A x -I -G -d a=1 {node}/echo", 0),
    case("standard input sent", "-T - {node}/upload", 0),
    case(
        "a file sent into a folder",
        "-A x -H Expect: -T file {node}/echo/",
        0,
    ),
    case("a large file sent", "-T large {node}/upload", 0),
    case(
        "a large file sent at once",
        "-H Expect: -T large {node}/upload",
        0,
    ),
    case("a large file that is refused", "-T large {node}/refused", 0),
    case("a large form", "--data-binary @large {node}/upload", 0),
    case("a file that isn't there", "-T missing {node}/upload", 26),
    case("another agent", "-A mine/1.0 {node}/echo", 0),
    case("no agent", "-A '' {node}/echo", 0),
    case("no agent, as a field", "-H User-Agent: {node}/echo", 0),
    case("a referrer", "-A x -e http://a.example/ {node}/echo", 0),
    case("another host", "-A x -H 'Host: a.example' {node}/echo", 0),
    case(
        "another accept",
        "-A x -H 'accept: text/html' {node}/echo",
        0,
    ),
    case(
        "two fields of one name",
        "-A x -H 'X-A: 1' -H 'X-A: 2' {node}/echo",
        0,
    ),
    case("fields from a file", "-A x -H @fields {node}/echo", 0),
    case(
        "a connection for one request",
        "-A x -H 'Connection: close' {node}/echo",
        0,
    ),
    case(
        "a password in the URL",
        "-A x 'http://me:sec%20ret@127.0.0.1:{port}/echo'",
        0,
    ),
    case(
        "a password from both",
        "-A x -u you:your http://me:mine@127.0.0.1:{port}/echo",
        0,
    ),
    case("a path with dots", "-A x {node}/a/../echo/./x/..", 0),
    case(
        "a query with a fragment",
        "-A x '{node}/echo?a=%20b#c?d'",
        0,
    ),
];

/// Conditional requests.
pub(crate) const CONDITIONS: &[Case] = &[
    case("a tag saved", "--etag-save tag -o page {node}/tagged", 0),
    case(
        "a tag that has changed",
        "--etag-compare other -o page {node}/tagged",
        0,
    ),
    case(
        "a page that hasn't changed, printed",
        "--etag-compare etag {node}/tagged",
        0,
    ),
    case(
        "a page that hasn't changed stays",
        "--etag-compare etag -o old {node}/tagged",
        0,
    ),
    case(
        "a page newer than a file",
        "-z old -o page {nginx}/page.html",
        0,
    ),
    case(
        "a page newer than a date",
        "-z '1 Jan 2001 00:00:00 GMT' {nginx}/page.html",
        0,
    ),
    case(
        "a page older than a date",
        "-z 'Fri, 01 Jan 2100 00:00:00 GMT' -o old {nginx}/page.html",
        0,
    ),
    case(
        "a page not older than a date",
        "-z '-Mon, 01 Jan 2001 00:00:00 GMT' -o page {nginx}/page.html",
        0,
    ),
    case(
        "what httpbin has cached",
        "-z 'Mon, 01 Jan 2001 00:00:00 GMT' -o page {httpbin}/cache",
        0,
    ),
];
