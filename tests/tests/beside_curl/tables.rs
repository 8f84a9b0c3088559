//! The tables, `tables.md` beside this file.

use crate::Beside;
use crate::differences::DIFFERENCES;
use std::fs;
use std::path::Path;

/// The variable that says to write the tables rather than to compare them.
const WRITE: &str = "SOCKBOX_WRITE_TABLES";

/// What is above the tables.
const HEAD: &str =
    "# Beside curl\n\nWritten by the test `beside_curl`, from real runs of both programs.\n";

/// The options and the URL of a case, with servers that are easy to read.
fn words(beside: &Beside<'_>) -> String {
    let mut words = beside.case.args.to_owned();
    for (here, there) in [
        ("{nginx}", "http://nginx.example"),
        ("{tls}", "https://nginx.example"),
        ("{without-tls}", "https://plain.example"),
        ("{node}", "http://node.example"),
        ("{cut}", "https://raw.example"),
        ("{raw}", "http://raw.example"),
        ("{refused}", "http://closed.example"),
        ("/flaky/{program}/1/503", "/busy"),
        ("/flaky/{program}gone/1/close", "/nothing"),
        ("{port}", "8080"),
        ("|", "\\|"),
    ] {
        words = words.replace(here, there);
    }
    words
}

/// Both tables: of what is the same, and of what is not.
fn tables(same: &[Beside<'_>], different: &[Beside<'_>]) -> String {
    let mut text =
        "\n| as curl does | options and URL | curl | sockbox |\n| --- | --- | --- | --- |\n"
            .to_owned();
    for beside in same {
        let (what, words) = (beside.case.what, words(beside));
        text += &format!(
            "| {what} | `{words}` | {} | {} |\n",
            beside.curl, beside.sockbox
        );
    }
    text += "\n| not as curl does | options and URL | curl | sockbox | because |\n| --- | --- | --- | --- | --- |\n";
    for (beside, known) in different.iter().zip(DIFFERENCES) {
        let (what, words, why) = (beside.case.what, words(beside), known.why);
        text += &format!(
            "| {what} | `{words}` | {} | {} | {why} |\n",
            beside.curl, beside.sockbox
        );
    }
    text + "\n"
}

/// Assert that the file has these tables, or write them if the variable is set.
#[track_caller]
pub(crate) fn assert_shown(same: &[Beside<'_>], different: &[Beside<'_>]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/beside_curl/tables.md");
    let text = format!("{HEAD}{}", tables(same, different).trim_end()) + "\n";
    if std::env::var_os(WRITE).is_some_and(|value| !value.is_empty()) {
        fs::write(&path, text).expect("the tables written");
        return;
    }
    let shown = fs::read_to_string(&path).expect("the tables");
    assert!(
        shown == text,
        "tables.md doesn't tell what happens; {WRITE}=1 lets this test write it:\n{text}"
    );
}
