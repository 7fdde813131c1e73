//! Who may import whom. What is not in these tables is refused: whoever adds a crate decides where it belongs.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

/// Each crate of the workspace with those of the workspace that it may import. `*` is all of them.
const ROOMS: &[(&str, &[&str])] = &[
    ("trestle-core", &[]),
    ("trestle-ipam", &["trestle-core"]),
    ("trestle-drivers", &["trestle-core"]),
    ("trestle-kernel", &["trestle-core"]),
    ("trestle-plugins", &["trestle-core"]),
    ("trestle-resolver", &["trestle-core"]),
    ("trestle-engine", &["trestle-core"]),
    ("trestle-store", &["trestle-core"]),
    ("trestle", &["*"]),
    ("trestle-tests", &["*"]),
];

/// What the core may import from elsewhere, with the features that it may ask for: no I/O, no runtime.
const CORE: &[(&str, &[&str])] = &[
    ("async-trait", &[]),
    // Only with the feature `failpoints`.
    ("inventory", &[]),
    ("ipnet", &["serde"]),
    ("serde", &["derive", "rc"]),
    ("tokio", &["sync"]),
    ("tracing", &[]),
];

#[test]
fn crates_import_only_whom_they_may() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(metadata["packages"].as_array().unwrap().len(), ROOMS.len());
    assert_eq!(violations(&metadata), [""; 0]);
}

#[test]
fn an_import_that_is_not_allowed_is_found() {
    let package = |name: &str, dependencies: &str| format!(r#"{{"name": "{name}", "dependencies": [{dependencies}]}}"#);
    let import = |name: &str, kind: &str, features: &str| {
        format!(r#"{{"name": "{name}", "kind": {kind}, "features": [{features}]}}"#)
    };
    for (package, found) in [
        (package("trestle-ipam", &import("trestle-kernel", "null", "")), "trestle-ipam imports trestle-kernel"),
        (package("trestle-store", &import("trestle-tests", "null", "")), "trestle-store imports trestle-tests"),
        (package("trestle-core", &import("rustix", "null", "")), "trestle-core imports rustix"),
        (package("trestle-core", &import("tokio", "null", r#""sync", "rt""#)), "trestle-core asks tokio for rt"),
        (package("trestle-core", &import("cc", r#""build""#, "")), "trestle-core imports cc"),
        (package("trestle-new", ""), "trestle-new has no room"),
    ] {
        let metadata = serde_json::from_str(&format!(r#"{{"packages": [{package}]}}"#)).unwrap();
        assert_eq!(violations(&metadata), [found]);
    }
    let allowed = package("trestle-core", &import("proptest", r#""dev""#, ""));
    assert_eq!(violations(&serde_json::from_str(&format!(r#"{{"packages": [{allowed}]}}"#)).unwrap()), [""; 0]);
}

/// Every import that the tables don't allow, as a sentence. What only tests of a crate import is its own affair.
fn violations(metadata: &Value) -> Vec<String> {
    let rooms: BTreeSet<&str> = ROOMS.iter().map(|(name, _)| *name).collect();
    let mut violations = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let Some((_, may)) = ROOMS.iter().find(|(room, _)| *room == name) else {
            violations.push(format!("{name} has no room"));
            continue;
        };
        let imports = package["dependencies"].as_array().unwrap().iter().filter(|import| import["kind"] != "dev");
        for import in imports {
            let imported = import["name"].as_str().unwrap();
            let features = import["features"].as_array().unwrap().iter().map(|feature| feature.as_str().unwrap());
            if rooms.contains(imported) {
                if !may.contains(&imported) && (!may.contains(&"*") || imported == "trestle-tests") {
                    violations.push(format!("{name} imports {imported}"));
                }
            } else if name == "trestle-core" {
                match CORE.iter().find(|(known, _)| *known == imported) {
                    None => violations.push(format!("{name} imports {imported}")),
                    Some((_, known)) => {
                        let others = features.filter(|feature| !known.contains(feature));
                        violations.extend(others.map(|feature| format!("{name} asks {imported} for {feature}")));
                    }
                }
            }
        }
    }
    violations
}
