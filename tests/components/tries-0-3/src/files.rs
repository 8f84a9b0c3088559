//! Files.

use crate::attempt::{At, Attempt, Failure};
use crate::bindings::wasi::filesystem::preopens::get_directories;
use crate::bindings::wasi::filesystem::types::{Descriptor, DescriptorFlags, OpenFlags, PathFlags};
use crate::bindings::wit_stream;

/// The given directory that a path is in, and the path inside of it.
fn place(path: &str) -> Result<(Descriptor, String), Failure> {
    let mut found: Option<(Descriptor, String, usize)> = None;
    for (descriptor, at) in get_directories() {
        let root = at.trim_end_matches('/');
        let Some(rest) = path.strip_prefix(root) else {
            continue;
        };
        if (rest.is_empty() || rest.starts_with('/'))
            && found
                .as_ref()
                .is_none_or(|(_, _, length)| root.len() > *length)
        {
            let rest = match rest.trim_start_matches('/') {
                "" => ".",
                rest => rest,
            };
            found = Some((descriptor, rest.to_owned(), root.len()));
        }
    }
    let found = found.map(|(descriptor, rest, _)| (descriptor, rest));
    found.ok_or_else(|| Failure::new("no-directory", path))
}

pub async fn open(
    path: &str,
    how: OpenFlags,
    flags: DescriptorFlags,
) -> Result<Descriptor, Failure> {
    let (directory, path) = place(path)?;
    let at = PathFlags::SYMLINK_FOLLOW;
    directory.open_at(at, path, how, flags).await.at("open")
}

pub async fn read(path: &str) -> Attempt {
    let file = open(path, OpenFlags::empty(), DescriptorFlags::READ).await?;
    let (bytes, ended) = file.read_via_stream(0);
    let bytes = bytes.collect().await;
    ended.await.at("read")?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

pub async fn write(path: &str, text: &str) -> Attempt {
    let how = OpenFlags::CREATE | OpenFlags::TRUNCATE;
    let file = open(path, how, DescriptorFlags::WRITE).await?;
    let (mut output, data) = wit_stream::new();
    let written = file.write_via_stream(data, 0);
    let left = output.write_all(text.as_bytes().to_vec()).await;
    drop(output);
    written.await.at("write")?;
    match left.is_empty() {
        true => Ok(String::new()),
        false => Err(Failure::new("not-written", "write")),
    }
}

pub async fn remove(path: &str) -> Attempt {
    let (directory, path) = place(path)?;
    directory.unlink_file_at(path).await.at("remove")?;
    Ok(String::new())
}

pub async fn list(path: &str) -> Attempt {
    let folder = open(path, OpenFlags::DIRECTORY, DescriptorFlags::READ).await?;
    let (entries, ended) = folder.read_directory();
    let entries = entries.collect().await;
    ended.await.at("list")?;
    let mut names: Vec<String> = entries.into_iter().map(|entry| entry.name).collect();
    names.sort();
    Ok(names.join(" "))
}
