//! What the targets share.

use sockbox_guest::http1::Limits;

/// Limits so low that small inputs reach them.
pub const LOW: Limits = Limits {
    max_head_size: 120,
    max_header_count: 4,
    max_interim_responses: 2,
    max_trailer_size: 20,
    max_chunk_overhead: 24,
};

/// Cuts `data` into pieces of a few bytes; `seed` says of how many each.
pub fn pieces(seed: u8, mut data: &[u8]) -> Vec<&[u8]> {
    let mut state = u32::from(seed) + 1;
    let mut pieces = Vec::new();
    while !data.is_empty() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let size = 1 + (state >> 24) as usize % if seed < 16 { 1 } else { usize::from(seed) };
        let (piece, rest) = data.split_at(size.min(data.len()));
        pieces.push(piece);
        data = rest;
    }
    pieces
}

/// Asserts that `head` is one request with as many header fields as `fields`, and nothing behind it.
pub fn assert_one_request(head: &[u8], method: &str, fields: usize) {
    let mut headers = vec![httparse::EMPTY_HEADER; fields + 1];
    let mut request = httparse::Request::new(&mut headers);
    let parsed = request.parse(head);
    let shown = head.escape_ascii();
    assert_eq!(
        parsed,
        Ok(httparse::Status::Complete(head.len())),
        "{shown}"
    );
    assert_eq!(request.method, Some(method), "{shown}");
    assert_eq!(request.headers.len(), fields, "{shown}");
    for line in head.split(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        assert!(!line.contains(&b'\r') && !line.contains(&0), "{shown}");
    }
}
