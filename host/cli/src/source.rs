//! Where a component comes from: a file, or standard input.

use crate::descriptors::Descriptor;
use sockbox::{Error, Sandbox};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// Read a component; `-` is standard input. Also gives what people call the source.
pub fn read(path: &Path) -> Result<(PathBuf, Vec<u8>), Error> {
    let (name, bytes) = if path == Path::new("-") {
        (
            "standard input".into(),
            Descriptor::Input
                .check()
                .and_then(|()| Sandbox::read_component(io::stdin().lock())),
        )
    } else {
        (
            path.to_owned(),
            File::open(path).and_then(Sandbox::read_component),
        )
    };
    match bytes {
        Ok(Some(bytes)) => Ok((name, bytes)),
        Ok(None) => Err(Error::NotRunnable {
            file: Some(name),
            problem: "it is larger than the 256 MiB that a component may have".to_owned(),
        }),
        Err(source) => Err(Error::Read { file: name, source }),
    }
}
