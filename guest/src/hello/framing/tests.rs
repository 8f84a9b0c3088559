use super::*;

fn framer(framing: Framing, max: u32) -> Framer {
    Framer::new(Rc::new(Rules::new(framing, "Hello", max)))
}

/// Feeds `packets` one at a time, the socket being drained after each, and then the end.
fn converse(packets: &[&[u8]], framing: Framing) -> (Vec<u8>, Flow, u64) {
    let mut framer = framer(framing, 64);
    let mut answers = Vec::new();
    let mut flow = Flow::Continue;
    for packet in packets {
        let mut input = *packet;
        while !input.is_empty() && flow == Flow::Continue {
            flow = framer.push(&mut input, &mut answers, usize::MAX);
        }
        if flow == Flow::Continue {
            flow = framer.end_of_read(true, &mut answers);
        }
    }
    if flow == Flow::Continue {
        flow = framer.end(&mut answers);
    }
    (answers, flow, framer.messages())
}

#[test]
fn messages_and_answers() {
    let cases: &[(&[&[u8]], &[u8], Flow, u64)] = &[
        (&[b"Michael"], b"Hello, Michael!", Flow::Continue, 1),
        (
            &[b"Michael", b"Tracy"],
            b"Hello, Michael!Hello, Tracy!",
            Flow::Continue,
            2,
        ),
        (&[b"a\n"], b"Hello, a!\n", Flow::Continue, 1),
        (&[b"a\r\n"], b"Hello, a!\r\n", Flow::Continue, 1),
        (
            &[b"a\nb\r\nc"],
            b"Hello, a!\nHello, b!\r\nHello, c!",
            Flow::Continue,
            3,
        ),
        (
            &[b"\n\r\n\n"],
            b"Hello, !\nHello, !\r\nHello, !\n",
            Flow::Continue,
            3,
        ),
        (&[b"a\rb\n"], b"Hello, a\rb!\n", Flow::Continue, 1),
        (&[b"a\r\r\n"], b"Hello, a\r!\r\n", Flow::Continue, 1),
        (&[b"a\r", b"\n"], b"Hello, a!\r\n", Flow::Continue, 1),
        (
            &[b"a\r", b"b\n"],
            b"Hello, a!\rHello, b!\n",
            Flow::Continue,
            2,
        ),
        (
            &[b"a\r", b"\n\n"],
            b"Hello, a!\r\nHello, !\n",
            Flow::Continue,
            2,
        ),
        (
            &[b"\xE4\xBD", b"\xA0\n"],
            "Hello, 你!\n".as_bytes(),
            Flow::Continue,
            1,
        ),
        (
            &[b"\xF0\x9F\x98", b"\x80"],
            "Hello, 😀!".as_bytes(),
            Flow::Continue,
            1,
        ),
        (&[b"\xE4\xBD"], b"Hello, \xE4\xBD!", Flow::Continue, 1),
        (
            &[b"\xFF\xFE", b"\n"],
            b"Hello, \xFF\xFE!Hello, !\n",
            Flow::Continue,
            2,
        ),
        (&[b"\0\n"], b"Hello, \0!\n", Flow::Continue, 1),
        (&[b"exit"], b"", Flow::Exit, 0),
        (&[b"exit\n"], b"", Flow::Exit, 0),
        (&[b"exit\r\n"], b"", Flow::Exit, 0),
        (&[b"a\nexit\nb\n"], b"Hello, a!\n", Flow::Exit, 1),
        (&[b"exit \n"], b"Hello, exit !\n", Flow::Continue, 1),
        (&[b"Exit\n"], b"Hello, Exit!\n", Flow::Continue, 1),
        (&[], b"", Flow::Continue, 0),
    ];
    for (packets, answers, flow, messages) in cases {
        let got = converse(packets, Framing::Auto);
        assert_eq!(
            (String::from_utf8_lossy(&got.0), got.1, got.2),
            (String::from_utf8_lossy(answers), *flow, *messages),
            "packets {packets:?}"
        );
    }
}

#[test]
fn only_newlines_end_lines() {
    let cases: &[(&[&[u8]], &str, Flow, u64)] = &[
        (&[b"Mich", b"ael\n"], "Hello, Michael!\n", Flow::Continue, 1),
        (
            &[b"a\r", b"\nb"],
            "Hello, a!\r\nHello, b!",
            Flow::Continue,
            2,
        ),
        (&[b"\n", b"\n"], "Hello, !\nHello, !\n", Flow::Continue, 2),
        (&[b"\xE4\xBD", b"\xA0\n"], "Hello, 你!\n", Flow::Continue, 1),
        (&[b"ex", b"it\n", b"a\n"], "", Flow::Exit, 0),
        (&[b"ex", b"it"], "", Flow::Exit, 0),
        (&[b"", b""], "", Flow::Continue, 0),
    ];
    for (packets, answers, flow, messages) in cases {
        let got = converse(packets, Framing::Line);
        assert_eq!(
            (String::from_utf8_lossy(&got.0).as_ref(), got.1, got.2),
            (*answers, *flow, *messages),
            "packets {packets:?}"
        );
    }
}

#[test]
fn a_chunk_is_a_message() {
    let cases: &[(&[&[u8]], &str, Flow, u64)] = &[
        (
            &[b"Mich", b"ael\n"],
            "Hello, Mich!Hello, ael\n!",
            Flow::Continue,
            2,
        ),
        (&[b"a\nb\r\n"], "Hello, a\nb\r\n!", Flow::Continue, 1),
        (&[b"a\r", b"\n"], "Hello, a\r!Hello, \n!", Flow::Continue, 2),
        (
            &[b"\xE4\xBD", b"\xA0", b"b"],
            "Hello, 你!Hello, b!",
            Flow::Continue,
            2,
        ),
        (&[b"\xE4"], "Hello, \u{FFFD}!", Flow::Continue, 1),
        (&[b"exit"], "", Flow::Exit, 0),
        (&[b"exit\n"], "Hello, exit\n!", Flow::Continue, 1),
        (&[], "", Flow::Continue, 0),
    ];
    for (packets, answers, flow, messages) in cases {
        let got = converse(packets, Framing::Chunk);
        assert_eq!(
            (String::from_utf8_lossy(&got.0).as_ref(), got.1, got.2),
            (*answers, *flow, *messages),
            "packets {packets:?}"
        );
    }
    // A read is a message even if the socket may have more bytes.
    let (mut framer, mut answers) = (framer(Framing::Chunk, 64), Vec::new());
    framer.push(&mut &b"a"[..], &mut answers, usize::MAX);
    framer.end_of_read(false, &mut answers);
    assert_eq!(answers, b"Hello, a!");
}

#[test]
fn a_welcome_is_a_line_where_lines_count() {
    for (framing, text, expected) in [
        (Framing::Auto, None, ""),
        (Framing::Line, None, ""),
        (Framing::Line, Some(""), ""),
        (Framing::Auto, Some("a"), "a"),
        (Framing::Chunk, Some("a"), "a"),
        (Framing::Line, Some("a"), "a\n"),
        (Framing::Line, Some("a\n"), "a\n"),
    ] {
        let welcome = Rules::welcome(framing, text);
        assert_eq!(welcome, expected.as_bytes(), "{framing:?} {text:?}");
    }
}

#[test]
fn lines_are_the_same_however_they_are_split() {
    let input = "ab\r\n你好\n\n\r\nlast\n".as_bytes();
    let whole = converse(&[input], Framing::Auto);
    for cut in 0..=input.len() {
        let mut framer = framer(Framing::Auto, 64);
        let mut answers = Vec::new();
        for part in [&input[..cut], &input[cut..]] {
            let mut part = part;
            framer.push(&mut part, &mut answers, usize::MAX);
            assert!(part.is_empty());
        }
        assert_eq!(answers, whole.0, "cut at {cut}");
    }
    let mut framer = framer(Framing::Auto, 64);
    let mut answers = Vec::new();
    for byte in input {
        framer.push(&mut &[*byte][..], &mut answers, usize::MAX);
    }
    assert_eq!(answers, whole.0, "byte by byte");
}

#[test]
fn the_longest_message_is_answered_and_one_byte_more_is_not() {
    for (length, newline, flow) in [
        (7, "", Flow::Continue),
        (8, "", Flow::Continue),
        (9, "", Flow::TooLong),
        (10, "", Flow::TooLong),
        (8, "\n", Flow::Continue),
        (9, "\n", Flow::TooLong),
        (8, "\r\n", Flow::Continue),
        (9, "\r\n", Flow::TooLong),
    ] {
        let input = "x".repeat(length) + newline;
        for packets in [vec![input.as_bytes()], input.as_bytes().chunks(3).collect()] {
            let mut framer = framer(Framing::Auto, 8);
            let mut answers = Vec::new();
            let mut got = Flow::Continue;
            for packet in packets {
                if got == Flow::Continue {
                    got = framer.push(&mut &packet[..], &mut answers, usize::MAX);
                }
            }
            if got == Flow::Continue {
                got = framer.end(&mut answers);
            }
            assert_eq!(got, flow, "{length} bytes and {newline:?}");
            if flow == Flow::TooLong {
                assert_eq!(answers, b"message longer than 8 bytes\n");
            }
        }
    }
}

#[test]
fn answers_stop_when_there_are_enough_and_go_on_later() {
    let mut framer = framer(Framing::Auto, 64);
    let mut input = &b"a\nb\nc\n"[..];
    let mut answers = Vec::new();
    framer.push(&mut input, &mut answers, 1);
    assert_eq!((&answers[..], input), (&b"Hello, a!\n"[..], &b"b\nc\n"[..]));
    answers.clear();
    framer.push(&mut input, &mut answers, 11);
    assert_eq!(
        (&answers[..], input),
        (&b"Hello, b!\nHello, c!\n"[..], &b""[..])
    );
}

#[test]
fn characters_cut_anywhere_are_recognised() {
    for text in ["é", "你", "😀"] {
        for cut in 1..text.len() {
            assert!(
                ends_inside_character(&text.as_bytes()[..cut]),
                "{text} cut at {cut}"
            );
        }
        assert!(!ends_inside_character(text.as_bytes()), "{text}");
    }
    for bytes in [
        &b""[..],
        b"a",
        b"\x80",
        b"\xFF",
        b"\xE4a",
        b"\xC0",
        b"\xF8\x80",
    ] {
        assert!(!ends_inside_character(bytes), "{bytes:?}");
    }
}
