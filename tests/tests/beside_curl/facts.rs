//! The output of `-w`.

use crate::case::{Case, case};

/// Variables of `-w`.
pub(crate) const FACTS: &[Case] = &[
    case(
        "facts of a request",
        "-o page -A x -d abc -w '%{content_type}|%{exitcode}|%{errormsg}|%{filename_effective}|\
         %{http_code}|%{http_version}|%{local_ip}|%{method}|%{num_connects}|%{num_headers}|\
         %{num_redirects}|%{redirect_url}|%{remote_ip}|%{remote_port}|%{response_code}|%{scheme}|\
         %{size_download}|%{size_header}|%{size_request}|%{size_upload}|%{time_appconnect}|\
         %{time_redirect}|%{url}|%{url_effective}|%{urlnum}|%{referer}|%{http_connect}|%%|\\t|\
         \\r|\\x|%header{content-length}\\n' {node}/page",
        0,
    ),
    case(
        "facts of a redirect that isn't followed",
        "-o page -w '%{redirect_url}|%{http_code}|%{url_effective}|\
         %{num_redirects}' {node}/redirect/302?page",
        0,
    ),
    case(
        "facts of redirects",
        "-L -o page -w '%{redirect_url}|%{http_code}|%{url_effective}|%{num_redirects}|\
         %{num_headers}|%{size_header}|%{size_download}|%{num_connects}' {node}/hops/2",
        0,
    ),
    case(
        "facts of a failure",
        "-o page -w '%{exitcode}|%{http_code}|%{size_download}|%{remote_ip}|%{url_effective}|\
         %{onerror}more\\n' {refused}/",
        7,
    ),
    case(
        "facts of several",
        "-o a -w '%{urlnum}:%{http_code}:%{exitcode}:%{filename_effective}\\n' {node}/page \
         -o b {node}/status/404 {node}/nobody",
        0,
    ),
    case("facts by a file", "-o page -w @format {node}/page", 0),
    case(
        "facts to standard error",
        "-o page -w '%{stderr}%{http_code}%{stdout}out' {node}/page",
        0,
    ),
    case(
        "an unknown fact",
        "-o page -w '%{nonsense}|%{http_code}' {node}/page",
        0,
    ),
];
