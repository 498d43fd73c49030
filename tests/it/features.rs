//! `docs/features.md` names only tests that exist, and one with a stock client for each row about clients; `docs/limits.md` has
//! every limit, and names only settings and metrics that exist.

use std::{fs, path::Path};

/// What a cell of rows begins with that are about programs and backends alone.
const NO_CLIENT: &str = "no client in it: ";

/// The rows of all tables.
fn rows(page: &str) -> impl Iterator<Item = Vec<&str>> {
    let rows = page.lines().filter(|line| line.starts_with('|') && !line.contains("---"));
    rows.map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect())
}

/// What stands between backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// Whether a file has a test, or in JavaScript a group of tests, of that whole name. Comments, strings and helpers do not
/// count, nor do tests that are skipped.
fn has_test(file: &str, text: &str, name: &str) -> bool {
    if file.ends_with(".mjs") {
        return text.lines().map(str::trim_start).any(|line| {
            let call = line.strip_prefix("test(").or_else(|| line.strip_prefix("describe("));
            call.is_some_and(|call| {
                ['"', '`', '\''].iter().any(|quote| {
                    let rest = call.strip_prefix(*quote).and_then(|rest| rest.strip_prefix(name));
                    rest.and_then(|rest| rest.strip_prefix(*quote))
                        .is_some_and(|rest| rest.starts_with(',') && !rest.contains("skip: true"))
                })
            })
        });
    }
    let mut is_test = false;
    text.lines().map(str::trim).any(|line| {
        if line.starts_with("#[") {
            is_test = (is_test || line == "#[test]" || line.starts_with("#[tokio::test"))
                && !line.starts_with("#[ignore");
            return false;
        }
        let function = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
        let found = is_test && function.is_some_and(|rest| rest.starts_with(&format!("{name}(")));
        is_test = false;
        found
    })
}

#[test]
fn the_table_of_features_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/features.md")).unwrap();
    let mut found = 0;
    for row in rows(&page) {
        let cell = *row.last().unwrap();
        // The second: of options of Node's server that are not there.
        if cell == "shown by" || cell == "–" {
            continue;
        }
        // A file, and then names of tests in it.
        let mut read = None;
        for name in quoted(cell) {
            if name.starts_with("tests/") {
                let text = fs::read_to_string(root.join(name)).ok();
                read = Some((name, text.unwrap_or_else(|| panic!("no {name}: {cell}"))));
            } else if let Some((file, text)) = &read {
                assert!(has_test(file, text, name), "no test {name:?} in {file}: {cell}");
                found += 1;
            }
        }
        assert!(read.is_some(), "a row without a test: {cell:?}");
        // The table of our own client has no column of settings.
        let ours = row.len() == 3;
        let stock = cell.contains("`tests/js/");
        assert!(ours || stock || cell.starts_with(NO_CLIENT), "no stock client: {row:?}");
    }
    assert!(found > 80, "{found}");
}

/// The names of all settings in the documented defaults, but for those of namespaces.
fn settings(defaults: &str) -> Vec<String> {
    let mut section = "";
    let mut settings = Vec::new();
    for line in defaults.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name;
        } else if let Some((key, _)) = line.split_once(" = ")
            && !line.starts_with('#')
        {
            settings.push(format!("{section}.{key}"));
        }
    }
    settings
}

#[test]
fn the_table_of_limits_has_every_limit_and_nothing_that_is_not_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    let (page, metrics) = (read("docs/limits.md"), read("docs/metrics.md"));
    let settings = settings(&read("src/config/defaults.toml"));
    let is_limit = |name: &str| name.starts_with("limits.") || name.starts_with("admission.");
    let limits: Vec<_> = settings.iter().filter(|name| is_limit(name)).collect();
    assert!(limits.len() > 20, "{limits:?}");
    for name in limits {
        assert!(page.contains(&format!("`{name}`")), "docs/limits.md lacks {name}");
    }
    let sections: Vec<_> = settings.iter().map(|name| name.split('.').next().unwrap()).collect();
    for name in quoted(&page) {
        let (section, _) = name.split_once('.').unwrap_or((name, ""));
        if name.starts_with("roomcast_") {
            let metric = name.split('{').next().unwrap();
            assert!(metrics.contains(&format!("| `{metric}` |")), "no metric {metric}");
        } else if section != name && sections.contains(&section) {
            assert!(settings.iter().any(|setting| setting == name), "no setting {name}");
        }
    }
}

#[test]
fn a_test_that_is_gone_is_noticed() {
    let table = "| a | b |\n|---|---|\n| x `y` | `tests/it/none.rs`: `gone`; `tests/it/api.rs` |\n";
    let cells: Vec<_> = rows(table).map(|row| row[1]).collect();
    assert_eq!(cells, ["b", "`tests/it/none.rs`: `gone`; `tests/it/api.rs`"]);
    assert_eq!(
        quoted(cells[1]).collect::<Vec<_>>(),
        ["tests/it/none.rs", "gone", "tests/it/api.rs"]
    );

    let script = "describe(\"all of it\", () => {\n  test(\"one\", async () => {\n  test(`of ${one}`, () => {});\n\
                  // test(\"two\", …\nassert(\"three\");\ntest.skip(\"four\", () => {});\ntest(\"five\", { skip: true }, f);\n";
    let named = |name| has_test("a.mjs", script, name);
    for name in ["all of it", "one", "of ${one}"] {
        assert!(named(name), "{name}");
    }
    for name in ["on", "all", "two", "three", "four", "five"] {
        assert!(!named(name), "{name}");
    }

    let program = "#[test]\nfn one() {\n    helper();\n}\n#[tokio::test]\n// Why.\n#[tokio::test]\nasync fn two() {}\n\
                   fn helper() {}\n// fn three()\n#[test]\n#[ignore = \"later\"]\nfn four() {}\n";
    let named = |name| has_test("a.rs", program, name);
    assert!(named("one") && named("two"));
    for name in ["on", "helper", "three", "four"] {
        assert!(!named(name), "{name}");
    }
}
