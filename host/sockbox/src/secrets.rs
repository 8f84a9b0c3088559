//! Checks that a component is not given the value of a secret header in another way.

use crate::error::{Error, Result};
use crate::exposed::must_not_show;
use crate::profile::Dir;
use sockbox_policy::{SecretHeader, SecretSource};

/// Check that the secrets are in no argument, in no environment variable and in no directory of the component.
///
/// # Errors
/// [`Error::InvalidOptions`]: one is. The message names the place, and not the value.
pub(crate) fn must_stay_hidden(
    headers: &[SecretHeader],
    args: &[String],
    env: &[(String, String)],
    dirs: &[Dir],
) -> Result<()> {
    for header in headers {
        let name = header.name();
        let refused = |place: &str| {
            Err(Error::InvalidOptions {
                reason: format!(
                    "the component would see the value of the secret header `{name}` in {place}"
                ),
            })
        };
        for (number, arg) in args.iter().enumerate() {
            if header.is_in(arg.as_bytes()) {
                return refused(&format!("its argument {number}"));
            }
        }
        for (variable, value) in env {
            if header.is_in(value.as_bytes()) {
                return refused(&format!(
                    "its environment variable `{variable}` (name only those variables that it is to have, with env)"
                ));
            }
        }
        for source in header.sources() {
            if let SecretSource::File(file) = source {
                let what = format!("the secret header `{name}`");
                for dir in dirs {
                    must_not_show(dir, file, &what)?;
                }
            }
        }
    }
    Ok(())
}
