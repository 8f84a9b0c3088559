//! Compiled components, kept on disk for the next run.
//!
//! Compiling takes a hundred times as long as loading compiled code, and every `sockbox run` is a new
//! process. The cache contains native code, and loading it means running it. So only files that this
//! process's user alone can have written are loaded:
//!
//! - the folder and each file in it belong to this process's user, and no other user can write to
//!   them; both are opened without following links, and checked through the opened descriptor;
//! - a file is read completely, and its seal is compared, before it is used: the seal also covers
//!   the name of the entry, so neither a damaged file nor the file of another entry is loaded;
//! - the name is a hash of everything that decides what the compiler makes: the component, and
//!   wasmtime's version, settings and target.
//!
//! This protects against other users. A component has the permissions of this user too: if it may
//! write to a directory, it must not be able to place native code. So:
//!
//! - no run is given a directory to write to in which the folder is, or the secret, or a link on the way to one
//!   of them ([`Cache::places`]; the command looks at every place where it would keep a cache, whether or not
//!   this run uses one);
//! - since another run, or another program, may know nothing of this folder, the seal is keyed (HMAC-SHA-256)
//!   with a secret that is kept in a file outside of the folder, for this user alone to read. A component that can
//!   write to the folder alone can't make an entry; and an entry that has a second name, by which it
//!   could be written to elsewhere, is not loaded.
//!
//! A program that can both write to the folder and read the secret can place any code here. It already
//! has the full permissions of the user, so it gains nothing.
//!
//! wasmtime has its own cache. That cache checks neither owner nor permissions, trusts the files that
//! it finds, and needs a compressor in C, a configuration file reader and a background thread in each
//! run.

#[cfg(unix)]
mod folder;
#[cfg(not(unix))]
#[path = "no_folder.rs"]
mod folder;

use folder::Folder;
use sha2::{Digest, Sha256};
use std::ffi::OsString;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use wasmtime::Engine;
use wasmtime::component::Component;

/// The most bytes in the folder: enough for some hundred components, or ten that contain an
/// interpreter.
const MAX_BYTES: u64 = 1 << 30;
/// The length of a hash, in bytes.
const HASH: usize = 32;
/// The block size of SHA-256, in bytes.
const BLOCK: usize = 64;

/// Where compiled components are kept.
pub(crate) struct Cache {
    folder: PathBuf,
    /// Where the secret is kept.
    secret: PathBuf,
}

/// What a [`Program`](crate::Program) was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CacheUse {
    /// The cache is not used.
    Off,
    /// It was found compiled.
    Loaded,
    /// It was compiled, and stored in the cache.
    Kept {
        /// Why an existing entry was not used, if there was one.
        rejected: Option<String>,
    },
    /// It was compiled, and could not be stored.
    Unusable {
        /// Why not.
        reason: String,
    },
}

impl fmt::Display for CacheUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CacheUse::Off => f.write_str("cache: not used"),
            CacheUse::Loaded => f.write_str("cache: found compiled"),
            CacheUse::Kept { rejected: None } => f.write_str("cache: compiled, and kept"),
            CacheUse::Kept {
                rejected: Some(reason),
            } => write!(f, "cache: compiled again and stored: {reason}"),
            CacheUse::Unusable { reason } => write!(f, "cache: compiled but not stored: {reason}"),
        }
    }
}

impl Cache {
    /// A cache in `folder`, sealed with a secret in the file `secret`, or else beside the folder.
    pub(crate) fn new(folder: PathBuf, secret: Option<PathBuf>) -> Cache {
        let secret = secret.unwrap_or_else(|| beside(&folder));
        Cache { folder, secret }
    }

    /// The places that no component may write to.
    pub(crate) fn places(&self) -> [&Path; 2] {
        [&self.folder, &self.secret]
    }

    /// The component `wasm`, from the cache, or compiled by `compile` and stored.
    ///
    /// # Errors
    /// Those of `compile`. A failure of the cache is not an error.
    pub(crate) fn component<E>(
        &self,
        engine: &Engine,
        wasm: &[u8],
        compile: impl FnOnce() -> Result<Component, E>,
    ) -> Result<(Component, CacheUse), E> {
        let folder = match Folder::open(&self.folder) {
            Ok(folder) => folder,
            Err(reason) => return Ok((compile()?, CacheUse::Unusable { reason })),
        };
        let secret = match folder::secret(&self.secret) {
            Ok(secret) => secret,
            Err(reason) => return Ok((compile()?, CacheUse::Unusable { reason })),
        };
        let key = Key::new(engine, wasm, secret);
        let rejected = match key.find(engine, &folder) {
            Ok(Some(component)) => return Ok((component, CacheUse::Loaded)),
            Ok(None) => None,
            Err(reason) => Some(reason),
        };
        let component = compile()?;
        let cache = match key.keep(&folder, &component) {
            Ok(()) => CacheUse::Kept { rejected },
            Err(reason) => CacheUse::Unusable { reason },
        };
        Ok((component, cache))
    }
}

/// The file of a folder's secret: the folder's path with `.key` appended.
fn beside(folder: &Path) -> PathBuf {
    // Removes a trailing slash, with which the file would be inside the folder.
    let mut file: OsString = folder.components().collect::<PathBuf>().into();
    file.push(".key");
    file.into()
}

/// The key of a component compiled by an engine: the entry's name, and the secret of its seal.
struct Key {
    hash: [u8; HASH],
    secret: [u8; HASH],
}

impl Key {
    fn new(engine: &Engine, wasm: &[u8], secret: [u8; HASH]) -> Key {
        let mut hash = Sha256::new();
        // The version is included because the format of an entry may change.
        hash.update(concat!("sockbox ", env!("CARGO_PKG_VERSION"), "\0"));
        let mut settings = Sha256Hasher(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut settings);
        hash.update(settings.0.finalize());
        hash.update(wasm);
        Key {
            hash: hash.finalize().into(),
            secret,
        }
    }

    /// The entry's name. Files with other names are never changed.
    fn name(&self) -> String {
        let hash: String = self.hash.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{hash}.cwasm")
    }

    /// The seal at the beginning of an entry with this code.
    fn seal(&self, code: &[u8]) -> [u8; HASH] {
        hmac(&self.secret, &[&self.hash, code])
    }

    #[allow(unsafe_code, reason = "native code is loaded")]
    fn find(&self, engine: &Engine, folder: &Folder) -> Result<Option<Component>, String> {
        let name = self.name();
        let Some(entry) = folder.read(&name, MAX_BYTES)? else {
            return Ok(None);
        };
        let code = entry
            .split_first_chunk()
            .filter(|(seal, code)| **seal == self.seal(code));
        let Some((_, code)) = code else {
            return Err(format!("{name} is damaged"));
        };
        // SAFETY: only this user can have written the code, it is complete, and the key belongs to
        // this engine. wasmtime checks the engine again.
        let component = unsafe { Component::deserialize(engine, code) };
        match component {
            Ok(component) => Ok(Some(component)),
            Err(error) => Err(format!("{name} can't be loaded: {error}")),
        }
    }

    fn keep(&self, folder: &Folder, component: &Component) -> Result<(), String> {
        let code = component
            .serialize()
            .map_err(|error| format!("cannot serialize the compiled component: {error}"))?;
        if (code.len() + HASH) as u64 > MAX_BYTES {
            return Err("it is larger than the whole cache may be".to_owned());
        }
        folder.write(&self.name(), &[&self.seal(&code), &code])?;
        folder.shrink(MAX_BYTES);
        Ok(())
    }
}

/// Whether a file in the folder is an entry, or one that is being written.
fn is_entry(name: &[u8]) -> Option<bool> {
    let (hash, rest) = name.split_at_checked(2 * HASH)?;
    let is_hash = hash.iter().all(u8::is_ascii_hexdigit);
    let written = rest.strip_prefix(b".cwasm").filter(|_| is_hash)?;
    match written {
        [] => Some(true),
        [b'.', ..] => Some(false),
        _ => None,
    }
}

/// The HMAC-SHA-256 (RFC 2104) of these parts, concatenated.
fn hmac(secret: &[u8; HASH], parts: &[&[u8]]) -> [u8; HASH] {
    let padded = |pad: u8| {
        let mut block = [pad; BLOCK];
        for (byte, secret) in block.iter_mut().zip(secret) {
            *byte ^= secret;
        }
        let mut hash = Sha256::new();
        hash.update(block);
        hash
    };
    let mut inner = padded(0x36);
    for part in parts {
        inner.update(part);
    }
    let mut outer = padded(0x5c);
    outer.update(inner.finalize());
    outer.finalize().into()
}

/// Adapts SHA-256 to the trait `Hasher`.
struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let hash: [u8; HASH] = self.0.clone().finalize().into();
        hash.iter()
            .take(8)
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

#[cfg(all(test, unix))]
mod tests;
