//! What was measured, beside what is to be reached: for people as a table and for programs as `target/bench.json`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

/// One row of the table.
pub(crate) struct Figure {
    id: &'static str,
    unit: &'static str,
    sorted: Vec<f64>,
    /// The median of the least that the kernel must be asked for.
    floor: Option<f64>,
}

/// What a figure is to be at most.
#[derive(Clone, Copy)]
enum Goal {
    /// In the figure's own unit.
    Value(f64),
    /// So many times the floor.
    Ratio(f64),
}

/// What is to be reached.
const GOALS: [(&str, Goal); 17] = [
    ("attach_cold_library", Goal::Ratio(1.3)),
    ("attach_cold_socket", Goal::Ratio(1.5)),
    ("attach_warm", Goal::Value(0.15)),
    ("detach_answer", Goal::Value(0.3)),
    ("detach_sustained", Goal::Value(1.5)),
    ("attach_500th_over_1st", Goal::Value(2.0)),
    ("attach_500_in_a_row", Goal::Ratio(1.5)),
    ("ports_1000", Goal::Ratio(2.0)),
    ("ports_10000", Goal::Ratio(2.0)),
    ("ports_10000_detach", Goal::Value(50.0)),
    ("port_with_50000_over_none", Goal::Value(1.1)),
    ("memory_per_port_kib", Goal::Value(4.0)),
    ("rss_500_endpoints_mib", Goal::Value(40.0)),
    ("connect_500_ports_over_1", Goal::Value(1.05)),
    ("dns", Goal::Ratio(1.667)),
    ("dns_p99", Goal::Ratio(2.0)),
    ("dns_10000_names_over_10", Goal::Value(1.1)),
];

impl Figure {
    /// # Panics
    /// If nothing was measured.
    pub(crate) fn new(id: &'static str, unit: &'static str, mut samples: Vec<f64>) -> Self {
        assert!(!samples.is_empty(), "{id} was never measured");
        samples.sort_by(f64::total_cmp);
        Self { id, unit, sorted: samples, floor: None }
    }

    /// Times, told in milliseconds.
    pub(crate) fn times(id: &'static str, times: &[Duration]) -> Self {
        Self::new(id, "ms", times.iter().map(|time| time.as_secs_f64() * 1e3).collect())
    }

    /// Beside the least.
    pub(crate) fn beside(self, floor: &Figure) -> Self {
        self.beside_median(floor.median())
    }

    /// Beside the least, whose median is this.
    pub(crate) fn beside_median(self, floor: f64) -> Self {
        Self { floor: Some(floor), ..self }
    }

    /// The value below which half of what was measured lies.
    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The value below which so much of what was measured lies.
    fn quantile(&self, part: f64) -> f64 {
        let place = (self.sorted.len() - 1) as f64 * part;
        self.sorted[place.round() as usize]
    }

    fn ratio(&self) -> Option<f64> {
        self.floor.map(|floor| self.median() / floor)
    }

    /// The goal in words, and whether it is met.
    fn goal(&self) -> Option<(String, bool)> {
        let (_, goal) = GOALS.iter().find(|(id, _)| *id == self.id)?;
        match *goal {
            Goal::Value(most) => Some((format!("{most} {}", self.unit), self.median() <= most)),
            Goal::Ratio(most) => Some((format!("{most} x floor"), self.ratio()? <= most)),
        }
    }
}

/// The median of times, in milliseconds.
pub(crate) fn median(times: &[Duration]) -> f64 {
    Figure::times("times", times).median()
}

/// Prints rows of the table.
pub(crate) fn print(figures: &[Figure]) {
    println!(
        "{:<28}{:>10}{:>10}{:>10}{:>5}{:>6}{:>9}   {:<14}",
        "", "median", "p90", "least", "", "n", "x floor", "to reach"
    );
    for it in figures {
        let (median, p90, least) = (it.median(), it.quantile(0.9), it.quantile(0.0));
        let ratio = it.ratio().map_or_else(String::new, |ratio| format!("{ratio:.2}"));
        let goal = it
            .goal()
            .map_or_else(String::new, |(goal, met)| format!("{goal:<14}{}", if met { "met" } else { "NOT MET" }));
        let (id, unit, count) = (it.id, it.unit, it.sorted.len());
        println!("{id:<28}{median:>10.3}{p90:>10.3}{least:>10.3} {unit:<4}{count:>6}{ratio:>9}   {goal}");
    }
    println!();
}

/// Writes the file.
pub(crate) fn write(figures: &[Figure]) {
    let told: Value = figures
        .iter()
        .map(|it| {
            json!({
                "id": it.id,
                "unit": it.unit,
                "median": rounded(it.median()),
                "p90": rounded(it.quantile(0.9)),
                "n": it.sorted.len(),
                "ratio_to_floor": it.ratio().map(rounded),
            })
        })
        .collect();
    let path = file();
    let text = serde_json::to_string_pretty(&told).expect("numbers are JSON");
    fs::write(&path, text + "\n").unwrap_or_else(|error| panic!("writing {}: {error}", path.display()));
    println!("written to {}", path.display());
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
