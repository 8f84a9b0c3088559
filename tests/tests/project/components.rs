//! The page about components of other toolchains names all that the tests run, and the versions that they run.

use sockbox_tests::Foreign;
use std::collections::BTreeSet;
use std::path::Path;

const PAGE: &str = include_str!("../../../host/docs/components.md");

/// The rows of the page's table under this heading: the first cell, which is a source, and the second.
fn rows(heading: &str) -> Vec<(&'static str, &'static str)> {
    let (_, section) = PAGE.split_once(heading).unwrap();
    let (section, _) = section.split_once("\n## ").unwrap_or((section, ""));
    let rows = section.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        Some((cells.next()?.strip_suffix('`')?, cells.next()?))
    });
    rows.collect()
}

#[test]
fn the_page_about_components_has_them_all_with_their_versions() {
    let mut expected: Vec<(&str, String)> = Foreign::ALL
        .iter()
        .map(|component| (component.source(), component.toolchain()))
        .collect();
    let mut found: Vec<(&str, String)> = rows("## What was run\n")
        .into_iter()
        .map(|(source, toolchain)| (source, toolchain.to_owned()))
        .collect();
    expected.sort();
    found.sort();
    assert_eq!(found, expected, "host/docs/components.md");

    let needed = rows("## What each needed\n");
    let needed: BTreeSet<&str> = needed.into_iter().map(|(source, _)| source).collect();
    let sources: BTreeSet<&str> = expected.iter().map(|(source, _)| *source).collect();
    assert_eq!(needed, sources);
}

#[test]
fn their_sources_are_there() {
    let components = Path::new(env!("CARGO_MANIFEST_DIR")).join("components");
    for component in Foreign::ALL {
        let source = components.join(component.source());
        assert!(source.exists(), "{}", source.display());
    }
}
