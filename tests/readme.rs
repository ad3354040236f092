//! The README against the crate: its blocks run as doctests; here, that they leave nothing out.

use std::{collections::BTreeSet, fs, path::Path};

const README: &str = include_str!("../README.md");

/// The Rust in it.
fn code() -> String {
    README.split("```").skip(1).step_by(2).filter(|block| block.starts_with("rust")).collect()
}

/// The public methods in the sources, but for those of the embedded server and of the in-memory peer, which are
/// documented where they are.
fn public_methods(folder: &Path, into: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            if !["testing", "core", "driver", "tests", "memory"].contains(&name) {
                public_methods(&path, into);
            }
            continue;
        }
        if ["tests.rs", "memory.rs"].contains(&name) {
            continue;
        }
        for line in fs::read_to_string(&path).unwrap().lines() {
            let Some(rest) = line.trim_start().strip_prefix("pub ").filter(|_| line.starts_with("    ")) else {
                continue;
            };
            let rest = rest.strip_prefix("async ").or(rest.strip_prefix("const ")).unwrap_or(rest);
            let Some(rest) = rest.strip_prefix("fn ") else { continue };
            into.insert(rest.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect());
        }
    }
}

#[test]
fn every_public_method_has_a_place_in_it() {
    let mut methods = BTreeSet::new();
    public_methods(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut methods);
    assert!(methods.len() > 60 && methods.contains("join_with"), "{methods:?}");
    let code = code();
    let words: BTreeSet<&str> = code.split(|letter: char| !letter.is_alphanumeric() && letter != '_').collect();
    let missing: Vec<_> = methods.iter().filter(|method| !words.contains(&***method)).collect();
    assert!(missing.is_empty(), "not in the README: {missing:?}");
}

#[test]
fn t_30_it_documents_the_version_it_tells_to_install() {
    let (major_minor, _) = env!("CARGO_PKG_VERSION").rsplit_once('.').unwrap();
    let told: Vec<&str> = README.lines().filter(|line| line.starts_with("phoenix-streams = ")).collect();
    assert_eq!(told.len(), 2);
    for line in told {
        assert!(line.contains(&format!("\"{major_minor}\"")), "{line}");
    }
}
