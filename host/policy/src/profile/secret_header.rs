//! Secret headers as they are written: `URL=NAME: VALUE`, where `{env:NAME}` and `{file:PATH}` stand for secrets.

use crate::http::Secret;
use crate::{HttpPrefix, MAX_SECRET_BYTES, SecretHeader, SecretHeaderError, SecretSource};
use bytes::Bytes;
use http::HeaderName;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::str::FromStr;
use zeroize::Zeroizing;

/// A [`SecretHeader`] whose value is still to be read from variables and files. It contains no secret.
///
/// # Examples
/// ```
/// use sockbox_policy::profile::SecretHeaderSource;
///
/// let text = "https://api.example.com/v1/=Authorization: Bearer {env:TOKEN}";
/// let header: SecretHeaderSource = text.parse()?;
/// assert_eq!(header.prefix().to_string(), "https://api.example.com/v1/");
/// assert_eq!(header.name(), "authorization");
/// # Ok::<(), sockbox_policy::SecretHeaderError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretHeaderSource {
    prefix: HttpPrefix,
    name: HeaderName,
    value: Vec<Part>,
}

/// A part of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Secret(SecretSource),
}

impl SecretHeaderSource {
    /// The header `name` for the requests that `prefix` covers. `value` has `{env:NAME}` or `{file:PATH}` in it.
    ///
    /// # Errors
    /// [`SecretHeaderError`]: the name can't be that of a secret header, or `value` names no secret, or has another brace
    /// in it.
    pub fn new(
        prefix: HttpPrefix,
        name: &str,
        value: &str,
    ) -> Result<SecretHeaderSource, SecretHeaderError> {
        let parsed = crate::http::header_name(&prefix, name)?;
        let name = || name.to_owned();
        let value = parts(value.trim()).ok_or_else(|| SecretHeaderError::Brace { name: name() })?;
        match value.iter().any(|part| matches!(part, Part::Secret(_))) {
            false => Err(SecretHeaderError::NoSource { name: name() }),
            true => Ok(SecretHeaderSource {
                prefix,
                name: parsed,
                value,
            }),
        }
    }

    /// The requests that the header is for.
    pub fn prefix(&self) -> &HttpPrefix {
        &self.prefix
    }

    /// The header's name, in lower case.
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// The variables and files that the value is made of.
    pub fn sources(&self) -> impl Iterator<Item = &SecretSource> {
        self.value.iter().filter_map(|part| match part {
            Part::Secret(source) => Some(source),
            Part::Literal(_) => None,
        })
    }

    /// Take relative files as files below `folder`.
    pub(super) fn below(mut self, folder: &Path) -> SecretHeaderSource {
        for part in &mut self.value {
            if let Part::Secret(SecretSource::File(file)) = part {
                *file = folder.join(&*file);
            }
        }
        self
    }

    /// Read the variables and files. One line break at the end of a file is left out.
    ///
    /// # Errors
    /// [`SecretHeaderError`]: a variable is not set, a file can't be read, or what they contain is empty, longer than
    /// [`MAX_SECRET_BYTES`] or not valid in a header. The message names the variable or the file.
    pub fn read(&self) -> Result<SecretHeader, SecretHeaderError> {
        let mut secrets = Vec::new();
        for source in self.sources() {
            let bytes = self.read_source(source)?;
            secrets.push(Secret::new(&self.name, bytes, Some(source.clone()))?);
        }
        let mut left = secrets.iter();
        let pieces: Vec<&[u8]> = self
            .value
            .iter()
            .map(|part| match part {
                Part::Literal(text) => text.as_bytes(),
                Part::Secret(_) => left.next().map_or(&[][..], |secret| &secret.bytes),
            })
            .collect();
        // Of the right size from the start: a vector that grows leaves copies in memory.
        let mut value = Zeroizing::new(Vec::with_capacity(pieces.iter().map(|it| it.len()).sum()));
        for piece in pieces {
            value.extend_from_slice(piece);
        }
        let value = Bytes::from_owner(value);
        SecretHeader::of(self.prefix.clone(), self.name.clone(), value, secrets)
    }

    fn read_source(&self, from: &SecretSource) -> Result<Zeroizing<Vec<u8>>, SecretHeaderError> {
        let name = || self.name.to_string();
        match from {
            SecretSource::Env(variable) => match std::env::var_os(variable) {
                Some(value) => Ok(Zeroizing::new(value.into_encoded_bytes())),
                None => Err(SecretHeaderError::NotSet {
                    name: name(),
                    from: from.clone(),
                }),
            },
            SecretSource::File(file) => read_file(file).map_err(|source| SecretHeaderError::Read {
                name: name(),
                from: from.clone(),
                source,
            }),
        }
    }
}

/// Read a file, without the line break at its end. What is longer than a secret may be is cut off, and still too long.
fn read_file(file: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let most = MAX_SECRET_BYTES + "\r\n".len() + 1;
    // With some room more, since `read_to_end` grows a vector that is full.
    let mut bytes = Zeroizing::new(Vec::with_capacity(most + 64));
    File::open(file)?
        .take(most as u64)
        .read_to_end(&mut bytes)?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    Ok(bytes)
}

/// Split a value at its `{env:NAME}` and `{file:PATH}`. None: it has another brace.
fn parts(value: &str) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    let mut rest = value;
    loop {
        let at = rest.find(['{', '}']).unwrap_or(rest.len());
        let (literal, behind) = rest.split_at(at);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal.to_owned()));
        }
        let Some(behind) = behind.strip_prefix('{') else {
            return behind.is_empty().then_some(parts);
        };
        let (inside, behind) = behind.split_once('}')?;
        let source = match inside.split_once(':')? {
            (_, name) if name.is_empty() || name.contains('\0') => return None,
            ("env", name) if !name.contains('=') => SecretSource::Env(name.to_owned()),
            ("file", path) => SecretSource::File(path.into()),
            _ => return None,
        };
        parts.push(Part::Secret(source));
        rest = behind;
    }
}

impl fmt::Display for SecretHeaderSource {
    /// `https://api.example.com/v1/=authorization: Bearer {env:TOKEN}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}: ", self.prefix, self.name)?;
        for part in &self.value {
            match part {
                Part::Literal(text) => f.write_str(text)?,
                Part::Secret(SecretSource::Env(name)) => write!(f, "{{env:{name}}}")?,
                Part::Secret(SecretSource::File(file)) => write!(f, "{{file:{}}}", file.display())?,
            }
        }
        Ok(())
    }
}

impl FromStr for SecretHeaderSource {
    type Err = SecretHeaderError;

    /// Parse `URL=NAME: VALUE`.
    ///
    /// # Errors
    /// [`SecretHeaderError`]. No message contains VALUE, which may have a secret in it by mistake.
    fn from_str(text: &str) -> Result<SecretHeaderSource, SecretHeaderError> {
        // A URL may have a `=` too. The one behind it is followed by a name and a colon, and a name has no `/`.
        let (url, name, value) = text
            .match_indices('=')
            .find_map(|(at, _)| {
                let (name, value) = text[at + 1..].split_once(':')?;
                (!name.contains(['=', '/', '?'])).then_some((&text[..at], name.trim(), value))
            })
            .ok_or(SecretHeaderError::Form)?;
        SecretHeaderSource::new(prefix_of(url.trim(), name)?, name, value)
    }
}

/// The requests that the secret header `name` is for.
fn prefix_of(url: &str, name: &str) -> Result<HttpPrefix, SecretHeaderError> {
    url.parse().map_err(|problem| SecretHeaderError::Prefix {
        name: sockbox_printable::line(name).chars().take(100).collect(),
        problem,
    })
}

/// A secret header as a policy file has it: a text, as the option takes it, or a table.
pub(super) enum Written {
    Text(String),
    Table(Table),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    url: String,
    name: String,
    value: String,
}

impl Written {
    pub(super) fn read(&self) -> Result<SecretHeaderSource, SecretHeaderError> {
        match self {
            Written::Text(text) => text.parse(),
            Written::Table(Table { url, name, value }) => {
                SecretHeaderSource::new(prefix_of(url, name)?, name, value)
            }
        }
    }
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Written, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Written;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, or a table with `url`, `name` and `value`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Written, E> {
                Ok(Written::Text(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Written, A::Error> {
                Table::deserialize(MapAccessDeserializer::new(map)).map(Written::Table)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests;
