//! Names: the DNS server inside each sandbox, and the files that tell a container who it is.

#![forbid(unsafe_code)]
