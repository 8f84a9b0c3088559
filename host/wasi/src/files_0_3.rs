//! Files of WASI 0.3: how many a component has open, and what the host keeps for it of their contents. The limits are
//! those of [WASI 0.2](crate::files).

use crate::budget::Charge;
use crate::ctx::{SockboxCtxView, SockboxView};
use crate::files::{self, ENTRY_BYTES};
use crate::replaced::FILESYSTEM_0_3;
use sockbox_policy::Limit;
use std::future::Future;
use std::iter;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::vec;
use tokio::sync::oneshot;
use wasmtime::component::{
    Access, Accessor, Destination, FutureConsumer, FutureReader, Lift, Linker, LinkerInstance,
    Lower, Resource, Source, StreamProducer, StreamReader, StreamResult, VecBuffer,
};
use wasmtime::{AsContextMut, StoreContextMut};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::filesystem::types as v0_2;
use wasmtime_wasi::p3::bindings::filesystem::types::{
    DescriptorFlags, DescriptorType, DirectoryEntry, ErrorCode, Filesize, HostDescriptorWithStore,
    OpenFlags, PathFlags,
};
use wasmtime_wasi::p3::filesystem::{FilesystemError, FilesystemResult};

/// What a stream of a file takes of the run's memory: 16 KiB. wasmtime-wasi has a buffer of 8 KiB for what is read or
/// written next, and one for what the component has not taken yet.
const STREAM_BYTES: u64 = 16 * 1024;

type Outcome = Result<(), ErrorCode>;

/// Put these in the place of wasmtime-wasi's.
pub(crate) fn add_to_linker<T: SockboxView>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    let mut types = linker.instance(FILESYSTEM_0_3.name())?;
    add_streams(&mut types)?;
    types.func_wrap_async(
        FILESYSTEM_0_3.item("[method]descriptor.read-directory"),
        |store: StoreContextMut<'_, T>,
         (this,): (Resource<Descriptor>,)|
         -> Box<dyn Future<Output = _> + Send + '_> {
            Box::new(async move { Ok((list(store, this).await?,)) })
        },
    )?;
    types.func_wrap_concurrent(
        FILESYSTEM_0_3.item("[method]descriptor.open-at"),
        |store: &Accessor<T>,
         (this, at, path, how, flags): (
            Resource<Descriptor>,
            PathFlags,
            String,
            OpenFlags,
            DescriptorFlags,
        )|
         -> Pin<
            Box<dyn Future<Output = wasmtime::Result<(Result<_, ErrorCode>,)>> + Send + '_>,
        > {
            Box::pin(async move {
                let opened = open(store, this, at, path, how, flags).await;
                Ok((plain(opened)?,))
            })
        },
    )
}

fn add_streams<T: SockboxView>(types: &mut LinkerInstance<'_, T>) -> wasmtime::Result<()> {
    types.func_wrap(
        FILESYSTEM_0_3.item("[method]descriptor.read-via-stream"),
        |mut store: StoreContextMut<'_, T>, (this, offset): (Resource<Descriptor>, Filesize)| {
            let charge = match charge(store.data_mut().sockbox(), STREAM_BYTES) {
                Ok(charge) => charge,
                Err(code) => return Ok((refused(store, code)?,)),
            };
            let (bytes, ended) = WasiFilesystem::read_via_stream(access(&mut store), this, offset)?;
            Ok(((bytes, charged(store, charge, ended)?),))
        },
    )?;
    types.func_wrap(
        FILESYSTEM_0_3.item("[method]descriptor.write-via-stream"),
        |store: StoreContextMut<'_, T>,
         (this, data, offset): (Resource<Descriptor>, StreamReader<u8>, Filesize)| {
            let ended = write(store, data, |store, data| {
                WasiFilesystem::write_via_stream(store, this, data, offset)
            });
            Ok((ended?,))
        },
    )?;
    types.func_wrap(
        FILESYSTEM_0_3.item("[method]descriptor.append-via-stream"),
        |store: StoreContextMut<'_, T>, (this, data): (Resource<Descriptor>, StreamReader<u8>)| {
            let ended = write(store, data, |store, data| {
                WasiFilesystem::append_via_stream(store, this, data)
            });
            Ok((ended?,))
        },
    )
}

/// The store, as wasmtime-wasi's functions take it.
fn access<'a, T: SockboxView>(
    store: &'a mut StoreContextMut<'_, T>,
) -> Access<'a, T, WasiFilesystem> {
    Access::<T, WasiFilesystem>::new(store.as_context_mut(), T::filesystem)
}

fn plain<T>(result: FilesystemResult<T>) -> wasmtime::Result<Result<T, ErrorCode>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error) => Ok(Err(error.downcast()?)),
    }
}

/// Take so many bytes of the run's memory.
fn charge(state: SockboxCtxView<'_>, bytes: u64) -> Result<Charge, ErrorCode> {
    state.ctx.limiter.memory().charge(bytes).ok_or_else(|| {
        state.ctx.authority.reached(Limit::Memory, None);
        ErrorCode::InsufficientMemory
    })
}

/// A stream with nothing in it, and the reason for that.
fn refused<T: SockboxView, I: Lower + Lift + Send + Sync + 'static>(
    mut store: StoreContextMut<'_, T>,
    code: ErrorCode,
) -> wasmtime::Result<(StreamReader<I>, FutureReader<Outcome>)> {
    let nothing = StreamReader::new(&mut store, iter::empty())?;
    Ok((nothing, failed(store, code)?))
}

fn failed<T: SockboxView>(
    store: StoreContextMut<'_, T>,
    code: ErrorCode,
) -> wasmtime::Result<FutureReader<Outcome>> {
    FutureReader::new(store, async move { wasmtime::error::Ok(Err(code)) })
}

/// Keep the charge until `ended` tells that the stream has ended. wasmtime-wasi's streams always tell it, also when
/// the component has dropped them.
fn charged<T: SockboxView>(
    mut store: StoreContextMut<'_, T>,
    charge: Charge,
    ended: FutureReader<Outcome>,
) -> wasmtime::Result<FutureReader<Outcome>> {
    let (told, outcome) = oneshot::channel();
    let held = Held {
        charge: Some(charge),
        told: Some(told),
    };
    ended.pipe(&mut store, held)?;
    FutureReader::new(store, outcome)
}

struct Held {
    charge: Option<Charge>,
    told: Option<oneshot::Sender<Outcome>>,
}

impl<D> FutureConsumer<D> for Held {
    type Item = Outcome;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        store: StoreContextMut<'_, D>,
        mut source: Source<'_, Self::Item>,
        _: bool,
    ) -> Poll<wasmtime::Result<()>> {
        let mut outcome = None;
        source.read(store, &mut outcome)?;
        self.charge = None;
        if let (Some(outcome), Some(told)) = (outcome, self.told.take()) {
            // The component may have dropped the future.
            let _ = told.send(outcome);
        }
        Poll::Ready(Ok(()))
    }
}

fn write<T: SockboxView>(
    mut store: StoreContextMut<'_, T>,
    mut data: StreamReader<u8>,
    begin: impl FnOnce(
        Access<'_, T, WasiFilesystem>,
        StreamReader<u8>,
    ) -> wasmtime::Result<FutureReader<Outcome>>,
) -> wasmtime::Result<FutureReader<Outcome>> {
    match charge(store.data_mut().sockbox(), STREAM_BYTES) {
        Ok(charge) => {
            let ended = begin(access(&mut store), data)?;
            charged(store, charge, ended)
        }
        Err(code) => {
            data.close(&mut store)?;
            failed(store, code)
        }
    }
}

async fn open<T: SockboxView>(
    store: &Accessor<T>,
    this: Resource<Descriptor>,
    at: PathFlags,
    path: String,
    how: OpenFlags,
    flags: DescriptorFlags,
) -> FilesystemResult<Resource<Descriptor>> {
    // Calls that wait count as well: any number of them may be under way.
    let _opening = store.with(|mut store| {
        let state = store.data_mut().sockbox();
        state.ctx.files.begin_to_open().ok_or_else(|| {
            state.ctx.authority.reached(Limit::Files, None);
            // WASI has no error code for too many open files.
            FilesystemError::from(ErrorCode::Quota)
        })
    })?;
    let inner = store.with_getter::<WasiFilesystem>(T::filesystem);
    let opened = WasiFilesystem::open_at(&inner, this, at, path, how, flags).await?;
    store.with(|mut store| {
        let state = store.data_mut().sockbox();
        files::remember(state, &opened)?;
        FilesystemResult::Ok(())
    })?;
    Ok(opened)
}

/// The entries of a directory. They are read at once, as for WASI 0.2: while wasmtime-wasi's stream of WASI 0.3 is not
/// read, it keeps one of the runtime's threads for files waiting.
async fn list<T: SockboxView>(
    mut store: StoreContextMut<'_, T>,
    this: Resource<Descriptor>,
) -> wasmtime::Result<(StreamReader<DirectoryEntry>, FutureReader<Outcome>)> {
    let read = files::read_directory(store.data_mut(), this).await;
    let read = match files::plain(read)? {
        Ok(read) => read,
        Err(code) => return refused(store, error(code)),
    };
    let mut entries = Vec::new();
    let mut outcome = Ok(());
    let mut bytes = ENTRY_BYTES;
    for entry in read {
        match entry {
            Ok(entry) => {
                bytes += ENTRY_BYTES + entry.name.len() as u64;
                entries.push(DirectoryEntry {
                    type_: kind(entry.type_),
                    name: entry.name,
                });
            }
            Err(code) => {
                outcome = Err(error(code));
                break;
            }
        }
    }
    let charge = match charge(store.data_mut().sockbox(), bytes) {
        Ok(charge) => charge,
        Err(code) => return refused(store, code),
    };
    let (told, ended) = oneshot::channel();
    let entries = Entries {
        left: entries.into_iter(),
        ended: Some((told, outcome)),
        _charge: charge,
    };
    let stream = StreamReader::new(&mut store, entries)?;
    Ok((stream, FutureReader::new(store, ended)?))
}

/// The stream of a directory's entries.
struct Entries {
    left: vec::IntoIter<DirectoryEntry>,
    /// What the component is told at the end. None once it was told.
    ended: Option<(oneshot::Sender<Outcome>, Outcome)>,
    _charge: Charge,
}

/// How many entries are given at once if the reader does not say how many it wants.
const ENTRIES: usize = 32;

impl<D> StreamProducer<D> for Entries {
    type Item = DirectoryEntry;
    type Buffer = VecBuffer<DirectoryEntry>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        store: StoreContextMut<'a, D>,
        mut destination: Destination<'a, Self::Item, Self::Buffer>,
        _: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let count = destination.remaining(store).unwrap_or(ENTRIES);
        let entries: Vec<_> = self.left.by_ref().take(count).collect();
        let is_over = self.left.as_slice().is_empty();
        destination.set_buffer(entries.into());
        if !is_over {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        if let Some((told, outcome)) = self.ended.take() {
            // The component may have dropped the future.
            let _ = told.send(outcome);
        }
        Poll::Ready(Ok(StreamResult::Dropped))
    }
}

impl Drop for Entries {
    fn drop(&mut self) {
        if let Some((told, _)) = self.ended.take() {
            // The component has dropped the stream before its end, which is no failure.
            let _ = told.send(Ok(()));
        }
    }
}

fn kind(of_0_2: v0_2::DescriptorType) -> DescriptorType {
    match of_0_2 {
        v0_2::DescriptorType::BlockDevice => DescriptorType::BlockDevice,
        v0_2::DescriptorType::CharacterDevice => DescriptorType::CharacterDevice,
        v0_2::DescriptorType::Directory => DescriptorType::Directory,
        v0_2::DescriptorType::Fifo => DescriptorType::Fifo,
        v0_2::DescriptorType::SymbolicLink => DescriptorType::SymbolicLink,
        v0_2::DescriptorType::RegularFile => DescriptorType::RegularFile,
        v0_2::DescriptorType::Socket => DescriptorType::Socket,
        v0_2::DescriptorType::Unknown => DescriptorType::Other(None),
    }
}

/// The same error code in WASI 0.3.
fn error(of_0_2: v0_2::ErrorCode) -> ErrorCode {
    match of_0_2 {
        v0_2::ErrorCode::Access => ErrorCode::Access,
        v0_2::ErrorCode::Already => ErrorCode::Already,
        v0_2::ErrorCode::BadDescriptor => ErrorCode::BadDescriptor,
        v0_2::ErrorCode::Busy => ErrorCode::Busy,
        v0_2::ErrorCode::Deadlock => ErrorCode::Deadlock,
        v0_2::ErrorCode::Quota => ErrorCode::Quota,
        v0_2::ErrorCode::Exist => ErrorCode::Exist,
        v0_2::ErrorCode::FileTooLarge => ErrorCode::FileTooLarge,
        v0_2::ErrorCode::IllegalByteSequence => ErrorCode::IllegalByteSequence,
        v0_2::ErrorCode::InProgress => ErrorCode::InProgress,
        v0_2::ErrorCode::Interrupted => ErrorCode::Interrupted,
        v0_2::ErrorCode::Invalid => ErrorCode::Invalid,
        v0_2::ErrorCode::Io => ErrorCode::Io,
        v0_2::ErrorCode::IsDirectory => ErrorCode::IsDirectory,
        v0_2::ErrorCode::Loop => ErrorCode::Loop,
        v0_2::ErrorCode::TooManyLinks => ErrorCode::TooManyLinks,
        v0_2::ErrorCode::MessageSize => ErrorCode::MessageSize,
        v0_2::ErrorCode::NameTooLong => ErrorCode::NameTooLong,
        v0_2::ErrorCode::NoDevice => ErrorCode::NoDevice,
        v0_2::ErrorCode::NoEntry => ErrorCode::NoEntry,
        v0_2::ErrorCode::NoLock => ErrorCode::NoLock,
        v0_2::ErrorCode::InsufficientMemory => ErrorCode::InsufficientMemory,
        v0_2::ErrorCode::InsufficientSpace => ErrorCode::InsufficientSpace,
        v0_2::ErrorCode::NotDirectory => ErrorCode::NotDirectory,
        v0_2::ErrorCode::NotEmpty => ErrorCode::NotEmpty,
        v0_2::ErrorCode::NotRecoverable => ErrorCode::NotRecoverable,
        v0_2::ErrorCode::Unsupported => ErrorCode::Unsupported,
        v0_2::ErrorCode::NoTty => ErrorCode::NoTty,
        v0_2::ErrorCode::NoSuchDevice => ErrorCode::NoSuchDevice,
        v0_2::ErrorCode::Overflow => ErrorCode::Overflow,
        v0_2::ErrorCode::NotPermitted => ErrorCode::NotPermitted,
        v0_2::ErrorCode::Pipe => ErrorCode::Pipe,
        v0_2::ErrorCode::ReadOnly => ErrorCode::ReadOnly,
        v0_2::ErrorCode::InvalidSeek => ErrorCode::InvalidSeek,
        v0_2::ErrorCode::TextFileBusy => ErrorCode::TextFileBusy,
        v0_2::ErrorCode::CrossDevice => ErrorCode::CrossDevice,
        v0_2::ErrorCode::WouldBlock => ErrorCode::Other(None),
    }
}
