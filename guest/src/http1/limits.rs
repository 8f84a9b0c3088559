//! Limits on what a peer can make this component keep, each with its reason.

/// The most bytes that the heads of one response may have together: 256 KiB.
///
/// Interim responses and blank lines count as well. Real heads have a few KiB, and those with many
/// cookies some tens of KiB. Chromium has the same limit.
pub const MAX_HEAD_SIZE: usize = 256 * 1024;

/// The most header fields that one head may have: 1000.
///
/// A field of four bytes takes about sixty bytes of memory, so the limit on the size alone would
/// not limit the memory.
pub const MAX_HEADER_COUNT: usize = 1000;

/// The most interim responses (1xx) that may come before the response: 100.
///
/// A server that works for a long time may send `102 Processing` now and then, and `103 Early
/// Hints` a few times. One that sends more will not send a final response.
pub const MAX_INTERIM_RESPONSES: usize = 100;

/// The most bytes that a chunked body's trailer section may have, its blank line included: 64 KiB.
///
/// Trailers contain a checksum or some timings. They are kept until the end of the body, hence the
/// limit.
pub const MAX_TRAILER_SIZE: usize = 64 * 1024;

/// The most bytes of chunk size lines beyond their allowance: 16 KiB.
///
/// Chunk extensions are not kept, so they cost no memory. But a peer could send them for ever
/// without a body that a limit on its size would stop. The allowance of each chunk is 32 bytes and
/// its own size, and the excess of all size lines adds up to this limit. It is also the longest
/// size line that the first chunk may have.
pub const MAX_CHUNK_OVERHEAD: usize = 16 * 1024;

/// The limits on one response. Every limit is inclusive: exactly that size is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// In bytes, all heads of the response together. Default: [`MAX_HEAD_SIZE`].
    pub max_head_size: usize,
    /// In fields, for each head and for the trailers. Default: [`MAX_HEADER_COUNT`].
    pub max_header_count: usize,
    /// In responses of status 1xx. Default: [`MAX_INTERIM_RESPONSES`].
    pub max_interim_responses: usize,
    /// In bytes. Default: [`MAX_TRAILER_SIZE`].
    pub max_trailer_size: usize,
    /// In bytes. Default: [`MAX_CHUNK_OVERHEAD`].
    pub max_chunk_overhead: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_head_size: MAX_HEAD_SIZE,
            max_header_count: MAX_HEADER_COUNT,
            max_interim_responses: MAX_INTERIM_RESPONSES,
            max_trailer_size: MAX_TRAILER_SIZE,
            max_chunk_overhead: MAX_CHUNK_OVERHEAD,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_the_documented_ones() {
        let limits = Limits::default();
        assert_eq!(limits.max_head_size, 262_144);
        assert_eq!(limits.max_header_count, 1000);
        assert_eq!(limits.max_interim_responses, 100);
        assert_eq!(limits.max_trailer_size, 65_536);
        assert_eq!(limits.max_chunk_overhead, 16_384);
    }
}
