//! Requests through a proxy. curl has it resolve names, and `-p` has it tunnel requests to `http` URLs, too.

use crate::case::{Case, case, raw};

/// Pages through a proxy, and proxies that give none.
pub(crate) const PROXIES: &[Case] = &[
    case(
        "a page through a proxy",
        "-p -x http://{proxy} --resolve a.example:80:192.0.2.1 http://a.example/page",
        0,
    ),
    case(
        "a page over TLS through a proxy",
        "-k --proxy {proxy} --resolve a.example:443:192.0.2.1 https://a.example/page",
        0,
    ),
    case(
        "facts of a page through a proxy",
        "-p -x {proxy} --resolve a.example:80:192.0.2.1 -o page -w '%{http_connect}|%{http_code}|%{remote_ip}|\
         %{remote_port}|%{local_ip}|%{num_connects}|%{url_effective}' http://a.example/page",
        0,
    ),
    case(
        "two pages over one connection",
        "-p -x {proxy} --resolve a.example:80:192.0.2.1 -w '%{http_connect}|%{num_connects}' http://a.example/page \
         http://a.example/page",
        0,
    ),
    case(
        "a redirect through a proxy",
        "-L -p -x {proxy} --resolve a.example:80:192.0.2.1 http://a.example/hops/2",
        0,
    ),
    case(
        "credentials for the proxy",
        "-p -x {proxy} -U me:secret --resolve a.example:80:192.0.2.1 http://a.example/page",
        0,
    ),
    case(
        "credentials in the URL of the proxy",
        "-p -x http://me:secret@{proxy} -U other:one --resolve a.example:80:192.0.2.1 http://a.example/page",
        0,
    ),
    case(
        "percent-encoded credentials",
        "-p -x http://me:se%63ret@{proxy}/ -A me:secret --resolve a.example:80:192.0.2.1 http://a.example/page",
        0,
    ),
    case(
        "wrong credentials",
        "-p -x {proxy} -U me:wrong -A me:secret -w '%{http_connect}|%{http_code}|%{exitcode}' --resolve \
         a.example:80:192.0.2.1 http://a.example/page",
        56,
    ),
    case(
        "a proxy that cannot connect",
        "-p -x {proxy} -w '%{http_connect}|%{http_code}' --resolve a.example:81:192.0.2.1 http://a.example:81/",
        56,
    ),
    raw(
        "a proxy that refuses",
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nno!\n",
        "-p -x {raw} -w '%{http_connect}|%{http_code}' --resolve a.example:80:192.0.2.1 http://a.example/",
        56,
    ),
    raw(
        "a proxy that closes the connection",
        "HTTP/1.1 200",
        "-p -x {raw} --resolve a.example:80:192.0.2.1 http://a.example/",
        56,
    ),
    raw(
        "a proxy that does not speak HTTP",
        "SSH-2.0-x\r\n\r\n",
        "-p -x {raw} --resolve a.example:80:192.0.2.1 http://a.example/",
        56,
    ),
    case(
        "no proxy there",
        "-p -x {refused} --resolve a.example:80:192.0.2.1 http://a.example/",
        7,
    ),
    case(
        "a host without a proxy",
        "-x {refused} --noproxy b.example,example --resolve a.example:{port}:127.0.0.1 http://a.example:{port}/page",
        0,
    ),
    case("no proxy at all", "-x '' {node}/page", 0),
];
