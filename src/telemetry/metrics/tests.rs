#![allow(clippy::unwrap_used)]

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use regex::Regex;

use super::{Metric, all};

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// What stands in the code itself. Those who write the names of an enum compare them with the table themselves.
#[test]
fn each_value_of_a_label_that_stands_in_the_code_has_a_series_from_the_start() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let texts: Vec<_> = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let row = Regex::new(r#"([A-Z_]+) = (?:Counter|Gauge|Histogram\([A-Z_]+\)) "(roomcast_\w+)""#)
        .unwrap();
    let by_name: HashMap<_, &Metric> = all().map(|metric| (metric.name, metric)).collect();
    let mut metrics = HashMap::new();
    for found in texts.iter().flat_map(|text| row.captures_iter(text)) {
        metrics.insert(found[1].to_owned(), by_name[&found[2]]);
    }
    assert_eq!(metrics.len(), by_name.len());

    let written = Regex::new(r#"([A-Z_]+)\.name,\s*((?:"\w+" => [^,)]+,?\s*)+)"#).unwrap();
    let label = Regex::new(r#""(\w+)" => "([^"]+)""#).unwrap();
    let mut seen = 0;
    for found in texts.iter().flat_map(|text| written.captures_iter(text)) {
        let metric = metrics[&found[1]];
        for pair in label.captures_iter(&found[2]) {
            let (name, value) = (&pair[1], &pair[2]);
            assert!(metric.values_of(name).contains(&value), "{}: {name}={value}", metric.name);
            seen += 1;
        }
    }
    assert!(seen > 10, "{seen} were found");
}

#[test]
fn no_value_stands_twice() {
    for metric in all() {
        for label in metric.labels {
            let mut values = metric.values_of(label.name);
            let count = values.len();
            values.dedup();
            assert_eq!(values.len(), count, "{}: {}", metric.name, label.name);
        }
    }
}
