//! Bounds on what a peer can make us keep, each with its reason.

/// The most bytes that the heads of one response may have together: 256 KiB.
///
/// Interim responses count as well, blank lines too. Real heads have a few KiB, those full of
/// cookies some tens; Chromium draws the line here as well.
pub const MAX_HEAD_SIZE: usize = 256 * 1024;

/// The most header fields that one head may have: 1000.
///
/// A field of four bytes costs us some sixty, so that the size alone would not bound the memory.
pub const MAX_HEADER_COUNT: usize = 1000;

/// The most interim responses (1xx) that may come before the response: 100.
///
/// A server that works long may send `102 Processing` now and then, and `103 Early Hints` a few
/// times; a server that sends more than this isn't going to answer.
pub const MAX_INTERIM_RESPONSES: usize = 100;

/// The most bytes that a chunked body's trailer section may have, its blank line included: 64 KiB.
///
/// Trailers carry a checksum or some timings. They are kept until the body's end, hence the bound.
pub const MAX_TRAILER_SIZE: usize = 64 * 1024;

/// The most bytes of chunk size lines that may come without body to show for them: 16 KiB.
///
/// Chunk extensions cost no memory, since nobody reads them, but a peer could send them for ever
/// without ever sending a body that its receiver's limits could stop. Each chunk pays for
/// its line with 32 bytes and its own size; what is left over adds up to this bound. It is
/// also the longest line that the first chunk may have.
pub const MAX_CHUNK_OVERHEAD: usize = 16 * 1024;

/// How much one response may cost. Every bound is inclusive: what has exactly that size passes.
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
