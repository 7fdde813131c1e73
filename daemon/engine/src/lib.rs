//! Containers: images and their layers, the OCI runtime and its monitor, volumes and logs.

#![forbid(unsafe_code)]
