//! `sockbox compile`.

use crate::args::Compile;
use crate::exit::Failure;
use crate::output::Output;
use crate::source;
use sockbox::Sandbox;
use std::io::Write;

pub fn run(args: Compile) -> Result<(), Failure> {
    let (name, bytes) = source::read(&args.component)?;
    let compiled = Sandbox::new()?.precompile(name, bytes)?;
    let output = Output::open(Some(&args.output))?;
    output
        .writer()?
        .write_all(&compiled)
        .map_err(|source| output.failed(source))?;
    output.commit().map(|_| ())
}
