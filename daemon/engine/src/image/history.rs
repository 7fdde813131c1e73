//! How an image came about.

use super::configuration::Step;
use super::unpacked::Image;

impl Image {
    /// Its steps and how many bytes of files each added, the newest first. An image that tells none has a step for
    /// each layer.
    pub fn history(&self) -> Vec<(Step, u64)> {
        let mut sizes = self.sizes.iter().copied();
        let told = self.configuration.history.iter().map(|step| {
            let size = if step.empty_layer { 0 } else { sizes.next().unwrap_or(0) };
            (step.clone(), size)
        });
        let mut rows: Vec<_> = told.collect();
        rows.extend(sizes.map(|size| (Step::default(), size)));
        rows.reverse();
        rows
    }
}
