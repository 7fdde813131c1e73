//! Packets: a question as it came, the answer that we give, and what is changed in answers of others.

pub mod answer;
pub mod question;
pub mod raw;

/// The largest packet of UDP that we read or send, in bytes.
pub const LARGEST_DATAGRAM: usize = 4096;

/// The largest packet of TCP, whose length stands before it in 16 bits.
pub const LARGEST_MESSAGE: usize = u16::MAX as usize;

/// What any asker takes over UDP (RFC 1035, 4.2.1).
pub const SMALLEST_LIMIT: u16 = 512;

/// What we say that we take (the DNS flag day of 2020).
pub const OUR_LIMIT: u16 = 1232;
