//! The page about components of other toolchains names all that the tests run, and the versions that they run.

use sockbox_tests::Foreign;
use std::path::Path;

const PAGE: &str = include_str!("../../../host/docs/components.md");

/// The first cells of the page's rows: the source, and the toolchain with its version.
fn rows() -> Vec<(&'static str, &'static str)> {
    let rows = PAGE.lines().filter_map(|line| {
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
    let mut found: Vec<(&str, String)> = rows()
        .into_iter()
        .map(|(source, toolchain)| (source, toolchain.to_owned()))
        .collect();
    expected.sort();
    found.sort();
    assert_eq!(found, expected, "host/docs/components.md");
}

#[test]
fn their_sources_are_there() {
    let components = Path::new(env!("CARGO_MANIFEST_DIR")).join("components");
    for component in Foreign::ALL {
        let source = components.join(component.source());
        assert!(source.exists(), "{}", source.display());
    }
}
