//! `OPTIONS.md` says what the tables say. `TRESTLE_RENEW=1` writes it.

use std::fmt::Write;
use std::path::Path;

use trestle_core::driver::OptionDoc;
use trestle_drivers::{Bridge, builtin};

#[test]
fn the_page_of_options_is_up_to_date() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("OPTIONS.md");
    let expected = rendered();
    if std::env::var_os("TRESTLE_RENEW").is_some_and(|renew| renew == "1") {
        std::fs::write(&page, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&page).unwrap_or_default();
    assert!(found == expected, "{} is out of date: run this test with TRESTLE_RENEW=1", page.display());
}

#[test]
fn every_option_is_documented_in_whole() {
    let options = builtin().into_iter().flat_map(|(_, driver)| driver.options()).chain(Bridge.endpoint_options());
    for option in options {
        for text in [&option.key, &option.values, &option.default, &option.meaning] {
            assert!(!text.is_empty() && !text.contains('|') && !text.contains('\n'), "{option:?}");
        }
    }
}

fn rendered() -> String {
    let mut page = String::from(
        "# Options of the built-in drivers\n\n\
         They are Docker's labels: `trestle network create -o KEY=VALUE`, `docker network create -o KEY=VALUE`, and \
         `driver_opts` in a compose file.\nAn unknown one under `com.docker.`, or without any `.`, is refused with the \
         nearest known one; options of other domains are left\nalone.\n\nA test writes this page from the tables that read the options.\n",
    );
    for (name, driver) in builtin() {
        write_table(&mut page, &format!("Networks of the {name} driver"), &driver.options());
    }
    write_table(&mut page, "Endpoints on networks of the bridge driver", &Bridge.endpoint_options());
    page
}

fn write_table(page: &mut String, title: &str, options: &[OptionDoc]) {
    writeln!(page, "\n## {title}\n").unwrap();
    if options.is_empty() {
        page.push_str("None.\n");
        return;
    }
    page.push_str("| option | values | default | what it does |\n|---|---|---|---|\n");
    for OptionDoc { key, values, default, meaning, .. } in options {
        writeln!(page, "| `{key}` | {values} | {default} | {meaning} |").unwrap();
    }
}
