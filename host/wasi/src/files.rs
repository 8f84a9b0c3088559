//! How many files a component has open, and what the host keeps for it of their contents.
//!
//! A file stays open for as long as anything holds its descriptor: the component's handle, a stream of
//! it, or a read or write that is under way. wasmtime-wasi shares it between these by an `Arc`, so what
//! is counted are those that are still alive.
//!
//! wasmtime-wasi reads ahead, buffers writes, and reads a whole directory at once. These buffers count as
//! the run's memory.

use crate::budget::Charge;
use crate::ctx::{SockboxCtxView, SockboxView};
use crate::replaced::FILESYSTEM;
use bytes::Bytes;
use sockbox_policy::{Limit, Limits};
use std::fs::File;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::vec;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, LinkerInstance, Resource, ResourceTableError, ResourceType};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DescriptorFlags, DirectoryEntry, ErrorCode, Filesize, HostDescriptor, OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::pipe::{ClosedInputStream, ClosedOutputStream};
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, FsError, FsResult, InputStream, OutputStream, Pollable,
    StreamResult,
};

/// What a stream of a file takes of the run's memory: 64 KiB, the most that wasmtime-wasi reads ahead or
/// writes behind.
const STREAM_BYTES: u64 = 64 * 1024;

/// What an entry of a directory takes of the run's memory beside its name: 64 bytes.
pub(crate) const ENTRY_BYTES: u64 = 64;

/// The files and directories that a run has opened. Those that it was given at the start are the
/// user's, and don't count.
pub(crate) struct Files {
    limit: usize,
    /// Those that were open when they were last counted, and those that were opened since.
    opened: Vec<Weak<File>>,
    /// How many calls are about to open one. Calls of WASI 0.3 may be under way together.
    opening: Arc<AtomicUsize>,
}

/// A call that is about to open a file.
pub(crate) struct Opening(Arc<AtomicUsize>);

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Files {
    pub(crate) fn new(limits: &Limits) -> Files {
        Files {
            limit: limits.files,
            opened: Vec::new(),
            opening: Arc::default(),
        }
    }

    /// Whether one more may be opened.
    fn have_room(&mut self) -> bool {
        let opening = self.opening.load(Ordering::Relaxed);
        if self.opened.len() + opening >= self.limit {
            self.opened.retain(|file| file.strong_count() > 0);
        }
        self.opened.len() + opening < self.limit
    }

    /// Begin to open one. It counts until the value is dropped. None: there are too many.
    pub(crate) fn begin_to_open(&mut self) -> Option<Opening> {
        self.have_room().then(|| {
            self.opening.fetch_add(1, Ordering::Relaxed);
            Opening(self.opening.clone())
        })
    }
}

/// Put these in the place of wasmtime-wasi's.
pub(crate) fn add_to_linker<T: SockboxView>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    let mut types = linker.instance(FILESYSTEM.name())?;
    add_streams(&mut types)?;
    add_directories(&mut types)?;
    types.func_wrap_async(
        FILESYSTEM.item("[method]descriptor.open-at"),
        |mut store: StoreContextMut<'_, T>,
         (this, at, path, how, flags): (
            Resource<Descriptor>,
            PathFlags,
            String,
            OpenFlags,
            DescriptorFlags,
        )|
         -> Box<dyn Future<Output = _> + Send + '_> {
            Box::new(async move {
                let opened = open(store.data_mut(), this, at, path, how, flags).await;
                Ok((plain(opened)?,))
            })
        },
    )
}

fn add_streams<T: SockboxView>(types: &mut LinkerInstance<'_, T>) -> wasmtime::Result<()> {
    types.func_wrap(
        FILESYSTEM.item("[method]descriptor.read-via-stream"),
        |mut store: StoreContextMut<'_, T>, (this, offset): (Resource<Descriptor>, Filesize)| {
            Ok((plain(read(store.data_mut(), this, offset))?,))
        },
    )?;
    types.func_wrap(
        FILESYSTEM.item("[method]descriptor.write-via-stream"),
        |mut store: StoreContextMut<'_, T>, (this, offset): (Resource<Descriptor>, Filesize)| {
            let written = write(store.data_mut(), |data| {
                data.filesystem().write_via_stream(this, offset)
            });
            Ok((plain(written)?,))
        },
    )?;
    types.func_wrap(
        FILESYSTEM.item("[method]descriptor.append-via-stream"),
        |mut store: StoreContextMut<'_, T>, (this,): (Resource<Descriptor>,)| {
            let written = write(store.data_mut(), |data| {
                data.filesystem().append_via_stream(this)
            });
            Ok((plain(written)?,))
        },
    )
}

fn add_directories<T: SockboxView>(types: &mut LinkerInstance<'_, T>) -> wasmtime::Result<()> {
    types.resource(
        FILESYSTEM.item("directory-entry-stream"),
        ResourceType::host::<Entries>(),
        |mut store: StoreContextMut<'_, T>, rep| {
            let entries = Resource::<Entries>::new_own(rep);
            store.data_mut().sockbox().table.delete(entries)?;
            Ok(())
        },
    )?;
    types.func_wrap_async(
        FILESYSTEM.item("[method]descriptor.read-directory"),
        |mut store: StoreContextMut<'_, T>,
         (this,): (Resource<Descriptor>,)|
         -> Box<dyn Future<Output = _> + Send + '_> {
            Box::new(async move { Ok((plain(list(store.data_mut(), this).await)?,)) })
        },
    )?;
    types.func_wrap(
        FILESYSTEM.item("[method]directory-entry-stream.read-directory-entry"),
        |mut store: StoreContextMut<'_, T>, (this,): (Resource<Entries>,)| {
            let state = store.data_mut().sockbox();
            let entries = state.table.get_mut(&this)?;
            Ok((entries.left.next().transpose(),))
        },
    )
}

pub(crate) fn plain<T>(result: FsResult<T>) -> wasmtime::Result<Result<T, ErrorCode>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error) => Ok(Err(error.downcast()?)),
    }
}

async fn open<T: SockboxView>(
    data: &mut T,
    this: Resource<Descriptor>,
    at: PathFlags,
    path: String,
    how: OpenFlags,
    flags: DescriptorFlags,
) -> FsResult<Resource<Descriptor>> {
    let state = data.sockbox();
    if !state.ctx.files.have_room() {
        state.ctx.authority.reached(Limit::Files, None);
        // WASI 0.2 has no error code for too many open files.
        return Err(ErrorCode::Quota.into());
    }
    let mut theirs = data.filesystem();
    let opened = theirs.open_at(this, at, path, how, flags).await?;
    remember(data.sockbox(), &opened)?;
    Ok(opened)
}

/// Count a file or directory that was opened.
pub(crate) fn remember(
    state: SockboxCtxView<'_>,
    opened: &Resource<Descriptor>,
) -> Result<(), ResourceTableError> {
    let file = match state.table.get(opened)? {
        Descriptor::File(file) => &file.file,
        Descriptor::Dir(dir) => &dir.dir,
    };
    let file = Arc::downgrade(file);
    state.ctx.files.opened.push(file);
    state.ctx.authority.has_room(Limit::Files);
    Ok(())
}

impl SockboxCtxView<'_> {
    /// Take so many bytes of the run's memory.
    fn charge(&self, bytes: u64) -> Result<Charge, ErrorCode> {
        self.ctx.limiter.memory().charge(bytes).ok_or_else(|| {
            self.ctx.authority.reached(Limit::Memory, None);
            ErrorCode::InsufficientMemory
        })
    }
}

fn read<T: SockboxView>(
    data: &mut T,
    this: Resource<Descriptor>,
    offset: Filesize,
) -> FsResult<Resource<DynInputStream>> {
    let charge = data.sockbox().charge(STREAM_BYTES)?;
    let stream = data.filesystem().read_via_stream(this, offset)?;
    let place = data.sockbox().table.get_mut(&stream)?;
    let inner = mem::replace(place, Box::new(ClosedInputStream));
    *place = Box::new(Charged {
        inner,
        _charge: charge,
    });
    Ok(stream)
}

fn write<T: SockboxView>(
    data: &mut T,
    make: impl FnOnce(&mut T) -> FsResult<Resource<DynOutputStream>>,
) -> FsResult<Resource<DynOutputStream>> {
    let charge = data.sockbox().charge(STREAM_BYTES)?;
    let stream = make(data)?;
    let place = data.sockbox().table.get_mut(&stream)?;
    let inner = mem::replace(place, Box::new(ClosedOutputStream));
    *place = Box::new(Charged {
        inner,
        _charge: charge,
    });
    Ok(stream)
}

/// A directory's entries: the host's side of `directory-entry-stream`.
struct Entries {
    left: vec::IntoIter<Result<DirectoryEntry, ErrorCode>>,
    _charge: Charge,
}

async fn list<T: SockboxView>(
    data: &mut T,
    this: Resource<Descriptor>,
) -> FsResult<Resource<Entries>> {
    let entries = read_directory(data, this).await?;
    let state = data.sockbox();
    let mut bytes = ENTRY_BYTES;
    for entry in &entries {
        let name = entry.as_ref().map_or(0, |entry| entry.name.len());
        bytes = bytes
            .saturating_add(ENTRY_BYTES)
            .saturating_add(name as u64);
    }
    let entries = Entries {
        _charge: state.charge(bytes)?,
        left: entries.into_iter(),
    };
    Ok(state.table.push(entries)?)
}

/// Read a directory.
pub(crate) async fn read_directory<T: SockboxView>(
    data: &mut T,
    this: Resource<Descriptor>,
) -> FsResult<Vec<Result<DirectoryEntry, ErrorCode>>> {
    let read = data.filesystem().read_directory(this).await?;
    let mut entries = Vec::new();
    for entry in data.sockbox().table.delete(read)? {
        entries.push(match entry {
            Ok(entry) => Ok(entry),
            Err(error) => Err(error.downcast().map_err(FsError::trap)?),
        });
    }
    Ok(entries)
}

/// A stream of a file, and what it takes of the run's memory.
struct Charged<S> {
    inner: S,
    _charge: Charge,
}

// As `async_trait` would write it, without a box around the stream's own.
impl<S: Pollable> Pollable for Charged<S> {
    fn ready<'stream, 'future>(
        &'stream mut self,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'future>>
    where
        'stream: 'future,
        Self: 'future,
    {
        self.inner.ready()
    }
}

#[async_trait]
impl InputStream for Charged<DynInputStream> {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        self.inner.read(size)
    }

    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        self.inner.blocking_read(size).await
    }

    fn skip(&mut self, count: usize) -> StreamResult<usize> {
        self.inner.skip(count)
    }

    async fn blocking_skip(&mut self, count: usize) -> StreamResult<usize> {
        self.inner.blocking_skip(count).await
    }

    async fn cancel(&mut self) {
        self.inner.cancel().await;
    }
}

#[async_trait]
impl OutputStream for Charged<DynOutputStream> {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.inner.flush()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.inner.check_write()
    }

    async fn blocking_write_and_flush(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.inner.blocking_write_and_flush(bytes).await
    }

    fn write_zeroes(&mut self, count: usize) -> StreamResult<()> {
        self.inner.write_zeroes(count)
    }

    async fn write_ready(&mut self) -> StreamResult<usize> {
        self.inner.write_ready().await
    }

    async fn cancel(&mut self) {
        self.inner.cancel().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Grant;
    use crate::testing::{self, State};
    use sockbox_policy::Limits;
    use wasmtime::Store;
    use wasmtime_wasi::p2::bindings::filesystem::preopens::Host as _;
    use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

    fn store(limits: &Limits, folder: &std::path::Path) -> Store<State> {
        let mut wasi = WasiCtxBuilder::new();
        wasi.preopened_dir(folder, "/", FsPerms::ReadWrite).unwrap();
        let grant = Grant::new().limits(limits.clone());
        testing::store_with(&testing::engine(), &grant, wasi.build())
    }

    #[tokio::test]
    async fn a_file_counts_for_as_long_as_anything_holds_it_open() {
        for limit in [0, 1, 2, 3] {
            let folder = tempfile::tempdir().unwrap();
            let mut store = store(&Limits::default().files(limit), folder.path());
            let state = store.data_mut();
            let root = state.filesystem().get_directories().unwrap().remove(0).0;
            let rep = root.rep();
            let create = async |state: &mut State, name: &str| {
                let flags = DescriptorFlags::READ | DescriptorFlags::WRITE;
                let root = Resource::new_borrow(rep);
                let name = name.to_owned();
                let opened = open(
                    state,
                    root,
                    PathFlags::empty(),
                    name,
                    OpenFlags::CREATE,
                    flags,
                );
                opened.await.map_err(|error| error.downcast().unwrap())
            };
            let mut files = Vec::new();
            for number in 0..limit {
                files.push(create(state, &number.to_string()).await.unwrap());
            }
            assert_eq!(create(state, "more").await.unwrap_err(), ErrorCode::Quota);
            assert!(!folder.path().join("more").exists());
            assert!(state.sockbox.authority().has_reached(Limit::Files));
            let Some(last) = files.pop() else { continue };
            // A stream keeps the file open when its descriptor is dropped.
            let descriptor = Resource::new_borrow(last.rep());
            let stream = plain(read(state, descriptor, 0)).unwrap().unwrap();
            HostDescriptor::drop(&mut state.filesystem(), last).unwrap();
            assert_eq!(create(state, "more").await.unwrap_err(), ErrorCode::Quota);
            state.table.delete(stream).unwrap();
            create(state, "more").await.unwrap();
            assert!(!state.sockbox.authority().has_reached(Limit::Files));
            assert_eq!(create(state, "again").await.unwrap_err(), ErrorCode::Quota);
        }
    }
    #[tokio::test]
    async fn what_is_kept_of_files_takes_of_the_runs_memory() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["a".to_owned(), "b".repeat(200)];
        for name in &names {
            std::fs::write(folder.path().join(name), "text").unwrap();
        }
        let entries = 3 * ENTRY_BYTES + 201;
        for (limit, streams, lists) in [
            (STREAM_BYTES - 1, 0, true),
            (STREAM_BYTES, 1, false),
            (2 * STREAM_BYTES - 1, 1, true),
            (2 * STREAM_BYTES, 2, false),
            (2 * STREAM_BYTES + entries - 1, 2, false),
            (2 * STREAM_BYTES + entries + 64, 2, true),
        ] {
            let limits = Limits::default().memory_bytes(limit);
            let mut store = store(&limits, folder.path());
            let state = store.data_mut();
            let root = state.filesystem().get_directories().unwrap().remove(0).0;
            let this = |of: &Resource<Descriptor>| Resource::new_borrow(of.rep());
            let (at, how) = (PathFlags::empty(), OpenFlags::empty());
            let flags = DescriptorFlags::READ | DescriptorFlags::WRITE;
            let opened = open(state, this(&root), at, "a".to_owned(), how, flags).await;
            let file = plain(opened).unwrap().unwrap();
            let mut kept = Vec::new();
            let refusal = loop {
                match plain(read(state, this(&file), 0)).unwrap() {
                    Ok(stream) => kept.push(stream),
                    Err(code) => break code,
                }
            };
            assert_eq!(refusal, ErrorCode::InsufficientMemory);
            assert_eq!(kept.len(), streams, "{limit}");
            let listed = plain(list(state, this(&root)).await).unwrap();
            assert_eq!(listed.is_ok(), lists, "{limit}");
            if let Some(stream) = kept.pop() {
                state.table.delete(stream).unwrap();
                let written = write(state, |state| {
                    state.filesystem().write_via_stream(this(&file), 0)
                });
                plain(written).unwrap().unwrap();
            }
        }
    }
}
