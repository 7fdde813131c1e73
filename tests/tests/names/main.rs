//! Names, as containers have them: asked by the resolvers of glibc, musl and busybox, and by packets of our own.

#![allow(clippy::unwrap_used, reason = "a scenario is a test, and tests unwrap")]

mod churn;
mod files;
mod others;
mod resolvers;
mod restart;
mod world;
