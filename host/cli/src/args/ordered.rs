//! Options whose order among each other matters.
//!
//! The parser keeps each option's values apart; here they are brought back into the order in which
//! they were typed.

use clap::{Arg, ArgAction, ArgMatches, Command, Error, FromArgMatches, ValueHint, value_parser};
use std::ffi::OsString;
use std::path::PathBuf;

/// Where one page goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SaveAs {
    /// `-o FILE`.
    File(PathBuf),
    /// `-O`.
    RemoteName,
}

/// `-o` and `-O`: the first is for the first URL, and so on.
#[derive(Clone, Debug, Default)]
pub struct Outputs(pub Vec<SaveAs>);

/// How a piece of data is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataKind {
    /// `-d`.
    Plain,
    /// `--data-raw`.
    Raw,
    /// `--data-binary`.
    Binary,
    /// `--data-urlencode`.
    UrlEncode,
}

/// `-d` and its kin.
#[derive(Clone, Debug, Default)]
pub struct Data(pub Vec<(DataKind, OsString)>);

/// What to fetch.
#[derive(Clone, Debug, Default)]
pub struct Urls(pub Vec<String>);

const REQUEST: &str = "Request";
const OUTPUT: &str = "Output";

impl clap::Args for Outputs {
    fn augment_args(command: Command) -> Command {
        command
            .next_help_heading(OUTPUT)
            .arg(
                Arg::new("output")
                    .short('o')
                    .long("output")
                    .value_name("FILE")
                    .value_hint(ValueHint::FilePath)
                    .value_parser(value_parser!(PathBuf))
                    .action(ArgAction::Append)
                    .help(
                        "Save the page in FILE, which appears when it is complete; `-` is standard \
                         output. Alone it prints the response's head as well. The first -o is \
                         for the first URL, and so on",
                    ),
            )
            .arg(
                Arg::new("remote_name")
                    .short('O')
                    .long("remote-name")
                    .num_args(0)
                    .default_missing_value("true")
                    .value_parser(value_parser!(bool))
                    .action(ArgAction::Append)
                    .help("Save the page under the last part of its URL's path"),
            )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Outputs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Outputs, Error> {
        let mut found = indexed(matches, "output", |path: PathBuf| SaveAs::File(path));
        found.extend(indexed(matches, "remote_name", |_: bool| {
            SaveAs::RemoteName
        }));
        Ok(Outputs(in_order(found)))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Args for Data {
    fn augment_args(command: Command) -> Command {
        let data = |name: &'static str| {
            Arg::new(name)
                .long(name)
                .value_name("DATA")
                .value_parser(value_parser!(OsString))
                .allow_hyphen_values(true)
                .action(ArgAction::Append)
        };
        command
            .next_help_heading(REQUEST)
            .arg(data("data").short('d').help(
                "Send DATA, with POST; several are joined with `&`. `@FILE` is the file's \
                 content without its line ends, `@-` standard input's",
            ))
            .arg(data("data-raw").help("The same, but an `@` at its beginning means nothing"))
            .arg(data("data-binary").help("The same as -d, but files are sent as they are"))
            .arg(data("data-urlencode").help(
                "The same, percent-encoded: CONTENT, =CONTENT, NAME=CONTENT, @FILE or NAME@FILE",
            ))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Data {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Data, Error> {
        let mut found = Vec::new();
        for (id, kind) in [
            ("data", DataKind::Plain),
            ("data-raw", DataKind::Raw),
            ("data-binary", DataKind::Binary),
            ("data-urlencode", DataKind::UrlEncode),
        ] {
            found.extend(indexed(matches, id, |text: OsString| (kind, text)));
        }
        Ok(Data(in_order(found)))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Args for Urls {
    fn augment_args(command: Command) -> Command {
        command
            .arg(
                Arg::new("urls")
                    .value_name("URL")
                    .num_args(1..)
                    .required_unless_present("url")
                    .help_heading(None::<&str>)
                    .value_hint(ValueHint::Url)
                    .help("What to fetch; without a scheme, `http://` is put before it"),
            )
            .next_help_heading(REQUEST)
            .arg(
                Arg::new("url")
                    .long("url")
                    .value_name("URL")
                    .value_hint(ValueHint::Url)
                    .action(ArgAction::Append)
                    .help("Another way to name a URL"),
            )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Urls {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Urls, Error> {
        let mut found = indexed(matches, "urls", |url: String| url);
        found.extend(indexed(matches, "url", |url: String| url));
        Ok(Urls(in_order(found)))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// An argument's values, each with its place on the command line.
fn indexed<T, U>(matches: &ArgMatches, id: &str, make: impl Fn(T) -> U) -> Vec<(usize, U)>
where
    T: Clone + Send + Sync + 'static,
{
    let places = matches.indices_of(id).into_iter().flatten();
    let values = matches.get_many::<T>(id).into_iter().flatten();
    places.zip(values.cloned().map(make)).collect()
}

fn in_order<T>(mut found: Vec<(usize, T)>) -> Vec<T> {
    found.sort_by_key(|(place, _)| *place);
    found.into_iter().map(|(_, value)| value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct All {
        #[command(flatten)]
        outputs: Outputs,
        #[command(flatten)]
        data: Data,
        #[command(flatten)]
        urls: Urls,
    }

    fn parse(words: &str) -> All {
        All::try_parse_from(words.split(' ')).unwrap_or_else(|error| panic!("{words}: {error}"))
    }

    #[test]
    fn outputs_keep_their_order() {
        let file = |name: &str| SaveAs::File(name.into());
        for (words, expected) in [
            ("a u", vec![]),
            ("a -o x u", vec![file("x")]),
            ("a -O u", vec![SaveAs::RemoteName]),
            ("a -OO u v", vec![SaveAs::RemoteName, SaveAs::RemoteName]),
            (
                "a -o x u -O v -oy w -O -o - z",
                vec![
                    file("x"),
                    SaveAs::RemoteName,
                    file("y"),
                    SaveAs::RemoteName,
                    file("-"),
                ],
            ),
        ] {
            assert_eq!(parse(words).outputs.0, expected, "{words:?}");
        }
    }

    #[test]
    fn data_keep_their_order() {
        let words = "a -d 1 --data-raw @2 u -d3 --data-urlencode n=4 --data-binary -5 -d @6";
        let found = parse(words).data.0;
        let found: Vec<_> = found
            .iter()
            .map(|(kind, text)| (*kind, text.to_str().unwrap()))
            .collect();
        assert_eq!(
            found,
            [
                (DataKind::Plain, "1"),
                (DataKind::Raw, "@2"),
                (DataKind::Plain, "3"),
                (DataKind::UrlEncode, "n=4"),
                (DataKind::Binary, "-5"),
                (DataKind::Plain, "@6"),
            ]
        );
    }

    #[test]
    fn urls_keep_their_order() {
        for (words, expected) in [
            ("a u", vec!["u"]),
            ("a --url u", vec!["u"]),
            ("a u --url v w", vec!["u", "v", "w"]),
            ("a --url v -d x u -O w", vec!["v", "u", "w"]),
        ] {
            assert_eq!(parse(words).urls.0, expected, "{words:?}");
        }
        assert!(All::try_parse_from(["a"]).is_err());
    }
}
