//! `sockbox compile`.

use crate::args::Compile;
use crate::exit::Failure;
use crate::output::Output;
use crate::watchdog::{self, Ends};
use crate::{cache, sandbox, source};
use sockbox::Limits;
use std::io::Write;

pub fn run(args: Compile) -> Result<(), Failure> {
    // A signal removes the temporary file.
    let _signals = watchdog::start(Ends::AtTheFirst).map_err(Failure::system)?;
    let mut limits = Limits::default();
    for (limit, value) in &args.loading.0 {
        limits.set(*limit, value).map_err(|error| Failure::Usage {
            problem: error.to_string(),
        })?;
    }
    let (name, bytes) = source::read(&args.component)?;
    let sandbox = sandbox::builder(cache::place()).limits(limits).build()?;
    let compiled = sandbox.precompile(name, bytes)?;
    let output = Output::open(Some(&args.output))?;
    output
        .writer()?
        .write_all(&compiled)
        .map_err(|source| output.failed(source))?;
    output.commit().map(|_| ())
}
