//! Records what wasmtime-wasi-http refuses by itself: requests that are not valid, and invalid methods, parts of URLs and
//! headers when the component sets them. The component gets the same errors.
//!
//! | file | content |
//! |---|---|
//! | `mod` | what is recorded |
//! | `wasi_0_2`, `wasi_0_3` | the functions of each version of WASI |

pub(super) mod wasi_0_2;
pub(super) mod wasi_0_3;

use crate::ctx::SockboxView;
use sockbox_policy::audit::{EventKind, HttpRefused};
use wasmtime_wasi_http::Error;

/// WASI's words for the errors of a header.
const FORBIDDEN: &str = "forbidden";
const INVALID_SYNTAX: &str = "invalid-syntax";
const SIZE_EXCEEDED: &str = "size-exceeded";

/// The words of a request that has an invalid part, whether the component sets the part or sends the request.
const METHOD_INVALID: &str = "HTTP-request-method-invalid";
const URI_INVALID: &str = "HTTP-request-URI-invalid";

/// What a request says, as the component has set it.
#[derive(Default)]
struct Parts {
    method: String,
    scheme: String,
    authority: String,
    path: String,
}

impl Parts {
    fn refused(&self, error: &'static str) -> HttpRefused {
        HttpRefused::new(
            &self.method,
            &self.scheme,
            &self.authority,
            &self.path,
            error,
        )
    }
}

fn record<T: SockboxView>(data: &mut T, refused: HttpRefused) {
    let authority = &data.sockbox().ctx.authority;
    authority.record(|| EventKind::HttpRefused(refused));
}

/// WASI's word for the error of a request that wasmtime-wasi-http refuses.
fn word(error: &Error) -> &'static str {
    match error {
        Error::HttpRequestMethodInvalid => METHOD_INVALID,
        Error::HttpRequestUriInvalid => URI_INVALID,
        Error::HttpRequestBodySize(_) => "HTTP-request-body-size",
        Error::InternalError(_) => "internal-error",
        // An unsupported scheme is this.
        _ => "HTTP-protocol-error",
    }
}
