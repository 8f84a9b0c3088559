//! What a request says, and headers that it asks for.

use crate::bindings::wasi::http::types::{Fields, HeaderError, Request};

/// The request's method, scheme, authority, target and headers.
pub fn described(request: &Request, target: &str) -> String {
    let mut text = format!(
        "{:?} {:?} {} {target}\n",
        request.get_method(),
        request.get_scheme(),
        request.get_authority().unwrap_or_default()
    );
    for (name, value) in request.get_headers().copy_all() {
        text.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(&value)));
    }
    text
}

/// The header `NAME:VALUE`; `%XX` is a byte.
pub fn header(text: &str) -> Result<Fields, HeaderError> {
    let (name, value) = text.split_once(':').unwrap_or((text, ""));
    let headers = Fields::new();
    let name = String::from_utf8_lossy(&decoded(name)).into_owned();
    headers.append(&name, &decoded(value))?;
    Ok(headers)
}

/// Decodes `%XX`.
fn decoded(text: &str) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        let code = others
            .get(..2)
            .and_then(|hex| std::str::from_utf8(hex).ok());
        let code = code.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (first, code) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                rest = &others[2..];
            }
            _ => {
                decoded.push(*first);
                rest = others;
            }
        }
    }
    decoded
}
