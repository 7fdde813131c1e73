//! Containers: what is asked of one, what is stored of it, and what is done with it.

pub mod config;
pub mod name;
pub mod record;
pub mod records;
pub mod state;
