//! What a run has to do: one task for each URL, and what they share.

use super::console::Console;
use super::headers_file::HeadersFile;
use super::request::Template;
use super::write_out::Format;
use super::{data, input, names, tls};
use crate::args::{Fetch, SaveAs};
use crate::descriptors::Descriptor;
use crate::exit::Failure;
use sockbox::policy::{AnsweredNames, Proxies};
use sockbox::{Profile, TlsConfig};
use std::path::{Path, PathBuf};

/// What all transfers share.
pub struct Plan {
    pub args: Fetch,
    /// What the policy file says, which is read once, however many sandboxes there will be.
    pub profile: Profile,
    pub proxies: Proxies,
    pub tls: TlsConfig,
    /// The names whose servers have answered.
    pub answered: AnsweredNames,
    pub template: Template,
    pub format: Option<Format>,
    pub headers_file: Option<HeadersFile>,
    pub console: Console,
    pub heads: Heads,
}

/// Where the heads of responses are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heads {
    Nowhere,
    /// Before the page, where the page goes.
    WithPage,
    /// The last one, on standard output.
    Stdout,
}

/// One URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    pub number: usize,
    pub url: String,
    pub upload: Option<PathBuf>,
    /// Where its page goes; none is standard output.
    pub target: Result<Option<PathBuf>, NoName>,
}

/// The URL's path has no name at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoName;

impl Plan {
    /// Read all that the options name. No file is created or emptied.
    ///
    /// # Errors
    /// Something can't be read.
    pub fn new(args: Fetch) -> Result<Plan, Failure> {
        let console = Console::new(&args);
        let mut profile = args.common.profile()?;
        let settings = std::mem::take(&mut profile.proxy);
        let urls = args.urls.0.iter();
        let urls: Vec<String> = urls.map(|it| sockbox_grammar::values::url(it)).collect();
        let proxies = args
            .proxy
            .proxies(&settings, &urls, args.location, |name| {
                std::env::var_os(name)
            })?;
        let files = std::mem::take(&mut profile.tls);
        let tls = tls::config(&args, files, &console)?;
        let template = Template::new(&args)?;
        if args.time_cond.is_some() && template.condition.is_none() {
            console.warn(format_args!(
                "what -z says is neither a date nor a file: it is left out"
            ));
        }
        if args.outputs.0.len() > args.urls.0.len() {
            console.warn(format_args!("there are more -o and -O than URLs"));
        }
        let format = match &args.write_out {
            None => None,
            Some(typed) => Some(match input::file_name(typed) {
                // curl's way: the file's own line ends are not printed.
                Some(file) => {
                    let mut format = input::read(Path::new(&file), input::FORMAT)?;
                    format.retain(|byte| !b"\r\n".contains(byte));
                    Format::read(&format)
                }
                None => Format::read(typed.as_encoded_bytes()),
            }),
        };
        for name in format.iter().flat_map(|format| &format.unknown) {
            console.warn(format_args!("-w: there is no variable `{name}`"));
        }
        Ok(Plan {
            profile,
            proxies,
            tls,
            answered: AnsweredNames::new(),
            heads: heads(&args),
            template,
            format,
            headers_file: None,
            console,
            args,
        })
    }

    /// Create the file of `-D`, or empty it.
    ///
    /// # Errors
    /// It can't be written to.
    pub fn open_headers_file(&mut self) -> Result<(), Failure> {
        if let Some(path) = &self.args.dump_header {
            self.headers_file = Some(HeadersFile::open(path, self.args.create_dirs)?);
        }
        Ok(())
    }

    /// What is to be done, in the order in which it was typed.
    ///
    /// # Errors
    /// A file can't be read.
    pub fn tasks(&self) -> Result<Vec<Task>, Failure> {
        tasks(&self.args)
    }
}

fn tasks(args: &Fetch) -> Result<Vec<Task>, Failure> {
    let query = match args.get && !args.data.0.is_empty() {
        true => Some(data::join(&args.data)?),
        false => None,
    };
    let tasks = args.urls.0.iter().enumerate().map(|(number, typed)| {
        let mut url = sockbox_grammar::values::url(typed);
        if let Some(query) = &query {
            url = data::into_query(&url, query);
        }
        let upload = args.uploads.get(number).cloned();
        if let Some(file) = &upload {
            url = names::upload_url(&url, file);
        }
        let save_as = args.outputs.0.get(number);
        let target = names::target(save_as, args.output_dir.as_deref(), &url);
        Task {
            number,
            target: target.map_err(|_| NoName),
            url,
            upload,
        }
    });
    Ok(tasks.collect())
}

/// `-o` alone prints the head on standard output, to be read at once. Without a standard output it is left out, and the
/// body is saved all the same.
fn heads(args: &Fetch) -> Heads {
    if args.include || args.head {
        return Heads::WithPage;
    }
    if Descriptor::Output.check().is_err() {
        return Heads::Nowhere;
    }
    let for_a_script = args.silent
        || args.write_out.is_some()
        || args.json
        || args.dump_header.is_some()
        || args.parallel
        || args.urls.0.len() > 1;
    match args.outputs.0.first() {
        Some(SaveAs::File(path)) if path.as_os_str() != "-" && !for_a_script => Heads::Stdout,
        _ => Heads::Nowhere,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_printed_for_people() {
        for (words, expected) in [
            ("a", Heads::Nowhere),
            ("-o f a", Heads::Stdout),
            ("-o f -v -f -L a", Heads::Stdout),
            ("-o - a", Heads::Nowhere),
            ("-O a/b", Heads::Nowhere),
            ("-o f -s a", Heads::Nowhere),
            ("-o f -w x a", Heads::Nowhere),
            ("-o f --json a", Heads::Nowhere),
            ("-o f -D d a", Heads::Nowhere),
            ("-o f a b", Heads::Nowhere),
            ("-o f -Z a", Heads::Nowhere),
            ("-o f -i a", Heads::WithPage),
            ("-i a", Heads::WithPage),
            ("-I a", Heads::WithPage),
        ] {
            assert_eq!(heads(&Fetch::typed(words)), expected, "{words}");
        }
    }

    #[test]
    fn options_are_matched_with_urls_in_order() {
        type Row = (
            &'static str,
            Option<&'static str>,
            Result<Option<&'static str>, NoName>,
        );
        let table: [(&str, &[Row]); 7] = [
            ("a", &[("http://a", None, Ok(None))]),
            (
                "-o x a b -O c/d",
                &[
                    ("http://a", None, Ok(Some("x"))),
                    ("http://b", None, Err(NoName)),
                    ("http://c/d", None, Ok(None)),
                ],
            ),
            (
                "a/b -O c -o y --output-dir dir",
                &[
                    ("http://a/b", None, Ok(Some("dir/b"))),
                    ("http://c", None, Ok(Some("dir/y"))),
                ],
            ),
            (
                "-T f a/ b/",
                &[
                    ("http://a/f", Some("f"), Ok(None)),
                    ("http://b/", None, Ok(None)),
                ],
            ),
            (
                "-T - -T g a/ b/c",
                &[
                    ("http://a/", Some("-"), Ok(None)),
                    ("http://b/c", Some("g"), Ok(None)),
                ],
            ),
            (
                "-G -d x=1 -d y a b?c#d",
                &[
                    ("http://a?x=1&y", None, Ok(None)),
                    ("http://b?c&x=1&y#d", None, Ok(None)),
                ],
            ),
            ("-G a", &[("http://a", None, Ok(None))]),
        ];
        for (words, expected) in table {
            let found = tasks(&Fetch::typed(words)).unwrap();
            let found: Vec<_> = found
                .iter()
                .map(|task| {
                    let target = task.target.as_ref();
                    (
                        task.url.as_str(),
                        task.upload.as_ref().map(|path| path.to_str().unwrap()),
                        target
                            .map(|path| path.as_ref().map(|path| path.to_str().unwrap()))
                            .map_err(NoName::clone),
                    )
                })
                .collect();
            assert_eq!(found, expected, "{words}");
        }
    }
}
