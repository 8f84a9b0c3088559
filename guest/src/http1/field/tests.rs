use super::LineFault::*;
use super::*;

fn read(lines: &[&[u8]]) -> Result<Vec<(String, Vec<u8>)>, ParseError> {
    let mut section = FieldSection::of_head(&Limits::default());
    for line in lines {
        section.push(line)?;
    }
    Ok(section
        .into_fields()
        .into_iter()
        .map(|field| (field.name, field.value))
        .collect())
}

#[test]
fn accepts() {
    let cases: &[(&[u8], &str, &[u8])] = &[
        (b"A: b", "A", b"b"),
        (b"A:b", "A", b"b"),
        (b"A:", "A", b""),
        (b"A: ", "A", b""),
        (b"A: \t b \t ", "A", b"b"),
        (b"A: b\r", "A", b"b"),
        (b"A:\r", "A", b""),
        (b"A: b c\td", "A", b"b c\td"),
        (b"A: b:c", "A", b"b:c"),
        (b"A::", "A", b":"),
        (b"a-B_c.1: x", "a-B_c.1", b"x"),
        (b"!#$%&'*+-.^_`|~09azAZ: x", "!#$%&'*+-.^_`|~09azAZ", b"x"),
        (b"A: \xe9\xff", "A", b"\xe9\xff"),
        (b"A: \x01\x0b\x0c\x1b\x7f", "A", b"\x01\x0b\x0c\x1b\x7f"),
        (b"A : b", "A", b"b"),
        (b"A \t: b", "A", b"b"),
        (b"Cache Control: no-cache", "Cache Control", b"no-cache"),
        (b"Content-Lengths : 5", "Content-Lengths", b"5"),
        (b"Content Length : 5", "Content Length", b"5"),
    ];
    for (line, name, value) in cases {
        let expected = Ok(vec![(name.to_string(), value.to_vec())]);
        assert_eq!(read(&[line]), expected, "{}", line.escape_ascii());
    }
}

#[test]
fn refuses() {
    let cases: &[(&[u8], LineFault)] = &[
        (b"A", NoColon),
        (b"A b", NoColon),
        (b"A\r", NoColon),
        (b":", InvalidName),
        (b": b", InvalidName),
        (b"\x0b: b", InvalidName),
        (b"\x0bA: b", InvalidName),
        (b"A\x0b: b", InvalidName),
        (b"A\x0c: b", InvalidName),
        (b"A\x01: b", InvalidName),
        (b"A\x7f: b", InvalidName),
        (b"A(: b", InvalidName),
        (b"A): b", InvalidName),
        (b"A<: b", InvalidName),
        (b"A>: b", InvalidName),
        (b"A@: b", InvalidName),
        (b"A,: b", InvalidName),
        (b"A;: b", InvalidName),
        (b"A\\: b", InvalidName),
        (b"A\": b", InvalidName),
        (b"A/: b", InvalidName),
        (b"A[: b", InvalidName),
        (b"A]: b", InvalidName),
        (b"A?: b", InvalidName),
        (b"A=: b", InvalidName),
        (b"A{: b", InvalidName),
        (b"A}: b", InvalidName),
        (b"\xc3\xa4: b", InvalidName),
        (b"\xff: b", InvalidName),
        (b" A: b", NothingToContinue),
        (b"\tA: b", NothingToContinue),
        (b" ", NothingToContinue),
        (b" \r", NothingToContinue),
        (b"A: b\rc", BareCr),
        (b"A: b\r\r", BareCr),
        (b"\rA: b", BareCr),
        (b"A\r: b", BareCr),
        (b"\r\r", BareCr),
        (b"A: b\0", Nul),
        (b"A\0: b", Nul),
        (b"\0", Nul),
        (b"A: \0\r\r", Nul),
        (b"A: \r\0\r", BareCr),
        (b"Content-Length : 5", SpaceBeforeColon),
        (b"content-length\t: 5", SpaceBeforeColon),
        (b"Transfer-Encoding : chunked", SpaceBeforeColon),
        (b"TRANSFER-ENCODING  : chunked", SpaceBeforeColon),
    ];
    for &(line, fault) in cases {
        let expected = ParseError::InvalidLine {
            section: Section::Head,
            line: 2,
            fault,
        };
        assert_eq!(read(&[line]), Err(expected), "{}", line.escape_ascii());
    }
}

#[test]
fn folds_become_spaces() {
    let cases: &[(&[&[u8]], &[u8])] = &[
        (&[b"A: b", b" c"], b"b c"),
        (&[b"A: b", b"\tc"], b"b c"),
        (&[b"A: b \t\r", b" \t c \r"], b"b c"),
        (&[b"A: b", b" c", b" d"], b"b c d"),
        (&[b"A:", b" c"], b"c"),
        (&[b"A: b", b" "], b"b"),
        (&[b"A: b", b" \r", b" c"], b"b c"),
        (&[b"A: b", b" c: d"], b"b c: d"),
        (&[b"A:", b" ", b" "], b""),
    ];
    for (lines, value) in cases {
        let expected = Ok(vec![("A".to_owned(), value.to_vec())]);
        assert_eq!(read(lines), expected, "{lines:?}");
    }
}

#[test]
fn errors_name_the_line() {
    let mut trailers = FieldSection::of_trailers(&Limits::default());
    assert_eq!(trailers.push(b"A: b\r"), Ok(SectionStatus::Open));
    assert_eq!(trailers.push(b" c\r"), Ok(SectionStatus::Open));
    assert_eq!(
        trailers.push(b"d\r"),
        Err(ParseError::InvalidLine {
            section: Section::Trailers,
            line: 3,
            fault: NoColon
        })
    );
}

#[test]
fn blank_lines_end_the_section() {
    for line in [&b""[..], b"\r"] {
        let mut section = FieldSection::of_head(&Limits::default());
        assert_eq!(section.push(line), Ok(SectionStatus::Ended), "{line:?}");
    }
}

#[test]
fn the_number_of_fields_is_bounded() {
    let limits = Limits {
        max_header_count: 3,
        ..Limits::default()
    };
    for (count, expected) in [
        (2, Ok(SectionStatus::Open)),
        (3, Ok(SectionStatus::Open)),
        (4, Err(ParseError::TooManyHeaders { limit: 3 })),
    ] {
        let mut section = FieldSection::of_head(&limits);
        let last = (0..count).map(|_| section.push(b"A: b")).last();
        assert_eq!(last, Some(expected), "{count}");
    }
    let mut section = FieldSection::of_trailers(&limits);
    for _ in 0..3 {
        assert_eq!(section.push(b"A: b"), Ok(SectionStatus::Open));
        assert_eq!(
            section.push(b" folds are no fields"),
            Ok(SectionStatus::Open)
        );
    }
    assert_eq!(
        section.push(b"A: b"),
        Err(ParseError::TooManyTrailers { limit: 3 })
    );
}
