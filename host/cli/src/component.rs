//! `sockbox component`.

use crate::args::Component;
use crate::exit::Failure;
use crate::output::Output;
use sockbox::Sandbox;
use std::io::Write;

pub fn run(args: Component) -> Result<(), Failure> {
    let output = Output::open(Some(&args.output))?;
    let component = match args.tls {
        true => Sandbox::component_with_tls(),
        false => Sandbox::component(args.wasi.into()),
    };
    output
        .writer()?
        .write_all(component)
        .map_err(|source| output.failed(source))?;
    output.commit().map(|_| ())
}
