//! `sockbox component`.

use crate::args::Component;
use crate::exit::Failure;
use crate::output::Output;
use sockbox::Sandbox;
use std::io::Write;

pub fn run(args: Component) -> Result<(), Failure> {
    let output = Output::open(Some(&args.output))?;
    output
        .writer()?
        .write_all(Sandbox::component(args.wasi.into()))
        .map_err(|source| output.failed(source))?;
    output.commit().map(|_| ())
}
