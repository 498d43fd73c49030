//! `docs/features.md` names only tests that exist.

use std::{fs, path::Path};

/// The cells of the last column, of all tables.
fn shown_by(page: &str) -> impl Iterator<Item = &str> {
    let rows = page.lines().filter(|line| line.starts_with('|') && !line.contains("---"));
    rows.filter_map(|row| row.trim_end_matches('|').rsplit(" | ").next()).map(str::trim)
}

/// What stands between backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

#[test]
fn the_table_of_features_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/features.md")).unwrap();
    let mut found = 0;
    for cell in shown_by(&page).filter(|cell| *cell != "shown by") {
        // A file, and then names of tests in it.
        let mut text = None;
        for name in quoted(cell) {
            if name.starts_with("tests/") {
                text = fs::read_to_string(root.join(name)).ok();
                assert!(text.is_some(), "no {name}: {cell}");
            } else if let Some(text) = &text {
                assert!(text.contains(name), "no test {name:?}: {cell}");
                found += 1;
            }
        }
        assert!(cell.contains("tests/"), "a row without a test: {cell:?}");
    }
    assert!(found > 60, "{found}");
}

#[test]
fn a_test_that_is_gone_is_noticed() {
    let table = "| a | b |\n|---|---|\n| x `y` | `tests/it/none.rs`: `gone`; `tests/it/api.rs` |\n";
    let cells: Vec<_> = shown_by(table).collect();
    assert_eq!(cells, ["b", "`tests/it/none.rs`: `gone`; `tests/it/api.rs`"]);
    assert_eq!(
        quoted(cells[1]).collect::<Vec<_>>(),
        ["tests/it/none.rs", "gone", "tests/it/api.rs"]
    );
}
