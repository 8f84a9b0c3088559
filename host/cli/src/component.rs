//! `sockbox component`.

use crate::args::Component;
use crate::exit::Failure;
use crate::output::Output;
use crate::watchdog::{self, Ends};
use sockbox::Sandbox;
use std::io::Write;

pub fn run(args: Component) -> Result<(), Failure> {
    // A signal removes the temporary file.
    let _signals = watchdog::start(Ends::AtTheFirst).map_err(Failure::system)?;
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
