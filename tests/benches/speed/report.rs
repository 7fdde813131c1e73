//! What was measured, for people as a table and for programs as `target/bench.json`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

/// One contestant's times.
pub(crate) struct Samples {
    id: &'static str,
    sorted: Vec<Duration>,
}

impl Samples {
    /// # Panics
    /// If there are none.
    pub(crate) fn new(id: &'static str, mut times: Vec<Duration>) -> Self {
        assert!(!times.is_empty(), "{id} was never measured");
        times.sort();
        Self { id, sorted: times }
    }

    /// Milliseconds, below which so much of the samples lies.
    fn quantile(&self, part: f64) -> f64 {
        let place = (self.sorted.len() - 1) as f64 * part;
        self.sorted[place.round() as usize].as_secs_f64() * 1e3
    }

    fn median(&self) -> f64 {
        self.quantile(0.5)
    }
}

/// Prints the table, and writes the file. The first of the samples is what the others are compared to.
pub(crate) fn tell(samples: &[Samples]) {
    let floor = samples[0].median();
    println!("{:<24}{:>10}{:>10}{:>10}{:>6}{:>10}", "", "median", "p90", "least", "n", "x floor");
    for it in samples {
        let (median, p90, least) = (it.median(), it.quantile(0.9), it.quantile(0.0));
        let (count, ratio) = (it.sorted.len(), median / floor);
        println!("{:<24}{median:>7.3} ms{p90:>7.3} ms{least:>7.3} ms{count:>6}{ratio:>10.2}", it.id);
    }
    let path = file();
    let text = serde_json::to_string_pretty(&figures(samples, floor)).expect("numbers are JSON");
    fs::write(&path, text + "\n").unwrap_or_else(|error| panic!("writing {}: {error}", path.display()));
    println!("written to {}", path.display());
}

fn figures(samples: &[Samples], floor: f64) -> Value {
    let figure = |it: &Samples| {
        json!({
            "id": it.id,
            "unit": "ms",
            "median": rounded(it.median()),
            "p90": rounded(it.quantile(0.9)),
            "n": it.sorted.len(),
            "ratio_to_floor": rounded(it.median() / floor),
        })
    };
    samples.iter().map(figure).collect()
}

/// Thousandths are below what a machine measures twice alike.
fn rounded(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

/// In cargo's folder for what it builds, wherever the program was started.
fn file() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package is in a workspace");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    workspace.join(target).join("bench.json")
}
