//! x

pub mod golden_cases;
