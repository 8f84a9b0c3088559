//! Where one page goes.

use super::console::{blocking, write_head};
use super::plan::Plan;
use super::resume::{Beginning, Overlap};
use crate::exit::Failure;
use crate::output::{Making, Output};
use std::fs::{self, File, Metadata};
use std::io::{Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// The device whose bytes go nowhere.
const NULL: &str = "/dev/null";

/// An output that is open, and how it is treated.
pub enum Place {
    /// Standard output, or what isn't a regular file: what is written there can't be taken back.
    Stream(Output),
    /// A file that appears when the page is whole.
    Whole(Output),
    /// A file that keeps what it gets. It isn't opened, if there is none, before there is something
    /// to be put into it.
    Growing {
        path: PathBuf,
        making: Making,
        output: Option<Output>,
    },
}

impl Place {
    /// Open it. A file that can't be written is found out before a request is sent.
    pub async fn open(plan: &Plan, target: Option<&Path>) -> Result<Place, Failure> {
        let Some(path) = target else {
            return Ok(Place::Stream(Output::stdout()?));
        };
        let making = Making {
            folders: plan.args.create_dirs,
            replace: !plan.args.no_clobber,
        };
        let is_device = |found: &Metadata| !found.is_file() && !found.is_dir();
        match fs::metadata(path) {
            // It never waits, and passing it to another thread would take longer than opening it.
            Ok(found) if is_device(&found) && path == Path::new(NULL) => {
                Output::file(path, making).map(Place::Stream)
            }
            // Opening a pipe may have to wait for its other end.
            Ok(found) if is_device(&found) => {
                let path = path.to_owned();
                let opened = blocking(move || Ok(Output::file(&path, making))).await;
                opened.map_err(Failure::system)?.map(Place::Stream)
            }
            found if plan.args.resume.is_some() => Ok(Place::Growing {
                path: path.to_owned(),
                making,
                output: match found {
                    Ok(_) => Some(Output::in_place(path, making)?),
                    Err(_) => None,
                },
            }),
            _ => Output::file(path, making).map(Place::Whole),
        }
    }

    /// What there is of the page already, if it is to be gone on with, and how much of it is compared.
    pub fn beginning(&self, overlap: Overlap) -> Result<Option<Beginning>, Failure> {
        let Place::Growing {
            output: Some(output),
            ..
        } = self
        else {
            return Ok(None);
        };
        let metadata = output.writer()?.metadata();
        let metadata = metadata.map_err(|source| output.failed(source))?;
        Ok(Beginning::of(&metadata, overlap))
    }

    /// Have it ready for a page, or for the rest of one that has `size` bytes already.
    pub fn writer(&mut self, size: u64) -> Result<File, Failure> {
        let (output, file) = self.ready()?;
        let Some(mut file) = file else {
            return output.writer();
        };
        output.truncate(size)?;
        file.seek(SeekFrom::Start(size))
            .map_err(|source| output.failed(source))?;
        Ok(file)
    }

    /// The output, and the file if it is one that keeps what it gets.
    fn ready(&mut self) -> Result<(&Output, Option<File>), Failure> {
        match self {
            Place::Stream(output) | Place::Whole(output) => Ok((output, None)),
            Place::Growing {
                path,
                making,
                output,
            } => {
                let open = match output.take() {
                    Some(open) => open,
                    None => Output::in_place(path, *making)?,
                };
                let output = output.insert(open);
                let file = output.writer()?;
                Ok((output, Some(file)))
            }
        }
    }

    /// Write the head, which comes before the page.
    pub async fn write(&mut self, head: Vec<u8>) -> Result<(), Failure> {
        let (output, _) = self.ready()?;
        let writer = output.writer()?;
        write_head(writer, &head)
            .await
            .map_err(|source| output.failed(source))
    }

    /// What it means that writing failed.
    pub fn failed(&mut self, source: std::io::Error) -> Failure {
        match self.ready() {
            Ok((output, _)) => output.failed(source),
            Err(failure) => failure,
        }
    }

    /// The page is whole. Tells where it is, if that isn't the place that was named.
    pub async fn commit(self) -> Result<Option<PathBuf>, Failure> {
        match self {
            Place::Stream(_) | Place::Growing { .. } => Ok(None),
            Place::Whole(output) if output.is_renamed() => output.commit(),
            // It may have to be copied there.
            Place::Whole(output) => blocking(move || Ok(output.commit()))
                .await
                .map_err(Failure::system)?,
        }
    }
}
