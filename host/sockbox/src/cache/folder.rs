//! A folder that only this process's user can write to.

use super::{HASH, is_entry};
use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use rustix::process::geteuid;
use std::collections::hash_map::RandomState;
use std::fs::{DirBuilder, File};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// How long writing a file may take. An older temporary file counts as abandoned by a process that
/// has ended.
const WRITING: Duration = Duration::from_secs(3600);

/// The opened folder. It stays the same if another one gets its name.
pub(super) struct Folder {
    opened: OwnedFd,
}

impl Folder {
    /// Open the folder, making it if there is none.
    ///
    /// # Errors
    /// It can't be made or opened, or another user can write to it.
    pub(super) fn open(path: &Path) -> Result<Folder, String> {
        let failed = |what: &str, error: io::Error| format!("{} {what}: {error}", path.display());
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|error| failed("can't be made", error))?;
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
        let opened = fs::open(path, flags, Mode::empty())
            .map_err(|error| failed("can't be opened", error.into()))?;
        let stat = fs::fstat(&opened).map_err(|error| failed("can't be opened", error.into()))?;
        ours_alone(&stat).map_err(|why| format!("{} {why}", path.display()))?;
        Ok(Folder { opened })
    }

    /// Read a file of at most `max` bytes; None if there is none.
    ///
    /// # Errors
    /// It can't be read, is not a regular file, or another user can write to it.
    pub(super) fn read(&self, name: &str, max: u64) -> Result<Option<Vec<u8>>, String> {
        let failed = |error: io::Error| format!("{name} can't be read: {error}");
        // NONBLOCK: opening a pipe must not wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match fs::openat(&self.opened, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(failed(error.into())),
        };
        let stat = fs::fstat(&file).map_err(|error| failed(error.into()))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(format!("{name} is not a regular file"));
        }
        ours_alone(&stat).map_err(|why| format!("{name} {why}"))?;
        if stat.st_nlink > 1 {
            return Err(format!(
                "{name} has a second name (a hard link) through which it could be changed"
            ));
        }
        let mut bytes = Vec::new();
        let read = (&file).take(max + 1).read_to_end(&mut bytes);
        read.map_err(failed)?;
        if bytes.len() as u64 > max {
            return Err(format!("{name} is too large"));
        }
        // The time of the last use decides which entries are removed first. If the folder can't be
        // written to, none are removed.
        let _ = file.set_modified(SystemTime::now());
        Ok(Some(bytes))
    }

    /// Write a file atomically.
    pub(super) fn write(&self, name: &str, parts: &[&[u8]]) -> Result<(), String> {
        let temporary = format!("{name}.{:016x}", RandomState::new().build_hasher().finish());
        self.write_as(&temporary, parts)
            .and_then(|()| Ok(fs::renameat(&self.opened, &temporary, &self.opened, name)?))
            .map_err(|error| {
                // The file does not exist or is incomplete. If it can't be removed, `shrink` tries
                // again.
                let _ = fs::unlinkat(&self.opened, &temporary, AtFlags::empty());
                format!("{name} can't be written: {error}")
            })
    }

    fn write_as(&self, name: &str, parts: &[&[u8]]) -> io::Result<()> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let mut file = File::from(fs::openat(&self.opened, name, flags, mode)?);
        parts.iter().try_for_each(|part| file.write_all(part))
    }

    /// Remove the least recently used entries until the rest have at most `max` bytes, and abandoned
    /// temporary files. Other files in the folder stay.
    pub(super) fn shrink(&self, max: u64) {
        let Ok(files) = Dir::read_from(&self.opened) else {
            return;
        };
        let now = SystemTime::now();
        let mut entries = Vec::new();
        for file in files.flatten() {
            let name = file.file_name();
            let Some(whole) = is_entry(name.to_bytes()) else {
                continue;
            };
            let Ok(stat) = fs::statat(&self.opened, name, AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            let seconds = u64::try_from(stat.st_mtime).unwrap_or_default();
            let written = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            if whole {
                let size = u64::try_from(stat.st_size).unwrap_or_default();
                entries.push((written, stat.st_mtime_nsec, size, name.to_owned()));
            } else if now.duration_since(written).is_ok_and(|age| age > WRITING) {
                let _ = fs::unlinkat(&self.opened, name, AtFlags::empty());
            }
        }
        let mut total: u64 = entries.iter().map(|(_, _, size, _)| size).sum();
        entries.sort();
        for (_, _, size, name) in entries {
            if total <= max {
                break;
            }
            // Another process may have removed it first.
            let _ = fs::unlinkat(&self.opened, &name, AtFlags::empty());
            total -= size;
        }
    }
}

/// Read the secret in a file that only this process's user can read and write, making it if there is none.
///
/// # Errors
/// It can't be read or made, or other users can read it.
pub(super) fn secret(path: &Path) -> Result<[u8; HASH], String> {
    let failed = |what: &str, error: io::Error| format!("{} {what}: {error}", path.display());
    if let Some(secret) = read_secret(path)? {
        return Ok(secret);
    }
    let secret = make_secret(path).map_err(|error| failed("can't be made", error))?;
    // Another process may have been faster.
    match secret {
        Some(secret) => Ok(secret),
        None => read_secret(path)?
            .ok_or_else(|| failed("can't be read", io::ErrorKind::NotFound.into())),
    }
}

/// None if there is no such file.
fn read_secret(path: &Path) -> Result<Option<[u8; HASH]>, String> {
    let failed = |what: &str| format!("{} {what}", path.display());
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(failed(&format!("can't be read: {error}"))),
    };
    let stat = fs::fstat(&file).map_err(|error| failed(&format!("can't be read: {error}")))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(failed("is not a regular file"));
    }
    ours_alone(&stat).map_err(failed)?;
    if Mode::from_raw_mode(stat.st_mode).intersects(Mode::RGRP | Mode::ROTH) {
        return Err(failed("can be read by other users (fix: chmod go-r)"));
    }
    let mut bytes = Vec::new();
    let read = file.take(HASH as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| failed(&format!("can't be read: {error}")))?;
    let secret = bytes.try_into();
    let secret = secret.map_err(|_| {
        failed("is not a secret that sockbox made (remove it; sockbox makes a new one)")
    })?;
    Ok(Some(secret))
}

/// Make a secret, and a file with it. None: another process has made the file.
fn make_secret(path: &Path) -> io::Result<Option<[u8; HASH]>> {
    if let Some(folder) = path.parent().filter(|it| !it.as_os_str().is_empty()) {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    let mut secret = [0; HASH];
    File::open("/dev/urandom")?.read_exact(&mut secret)?;
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(
        ".{:016x}",
        RandomState::new().build_hasher().finish()
    ));
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(fs::open(&temporary, flags, Mode::RUSR | Mode::WUSR)?);
    let linked = file
        .write_all(&secret)
        .and_then(|()| Ok(fs::link(&temporary, path)?));
    // The file has been renamed, or is not needed.
    let _ = fs::unlink(&temporary);
    match linked {
        Ok(()) => Ok(Some(secret)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(error),
    }
}

/// Check that only this process's user can write to the file with this `stat`. The error says why
/// not.
fn ours_alone(stat: &Stat) -> Result<(), &'static str> {
    if stat.st_uid != geteuid().as_raw() {
        Err("belongs to another user")
    } else if Mode::from_raw_mode(stat.st_mode).intersects(Mode::WGRP | Mode::WOTH) {
        Err("can be written to by other users (fix: chmod go-w)")
    } else {
        Ok(())
    }
}
