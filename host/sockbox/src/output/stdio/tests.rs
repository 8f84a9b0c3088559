use super::*;
use std::io::Read;

/// Long enough for any machine.
const LONG: Duration = Duration::from_secs(60);

/// Short, since it is waited for in vain.
const SHORT: Duration = Duration::from_millis(20);

/// A pipe, and a writer to it.
fn piped() -> (io::PipeReader, StdioWriter) {
    let (reader, writer) = io::pipe().unwrap();
    let file = File::from(std::os::fd::OwnedFd::from(writer));
    (reader, StdioWriter::file(file).unwrap())
}

#[test]
fn unread_lines_are_lost_and_counted_and_delay_nothing() {
    let (mut reader, writer) = piped();
    writer.lost_line(|lines| format!("lost {lines}"));
    let line = "x".repeat(99);
    // More than the pipe and the queue hold.
    let count = 2 * MAX_WAITING_LINES as u64 / 100;
    for _ in 0..count {
        writer.line(&line);
    }
    let lost = writer.lost();
    assert!(lost > 0 && lost < count, "{lost}");
    assert!(!writer.settle(SHORT), "no reader has read anything");
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    });
    assert!(writer.settle(LONG));
    writer.line("later");
    drop(writer);
    let text = reading.join().unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let (told, rest) = lines.split_at(lines.len() - 2);
    assert_eq!(told.len() as u64 + lost, count);
    assert!(told.iter().all(|told| *told == line));
    assert_eq!(rest, [format!("lost {lost}").as_str(), "later"]);
}

#[tokio::test(flavor = "current_thread")]
async fn a_component_waits_for_a_reader_and_the_thread_does_not() {
    let (mut reader, writer) = piped();
    let mut stream = writer.p2_stream();
    let mut written = 0;
    loop {
        let permit = stream.check_write().unwrap();
        if permit == 0 {
            // The thread may still have to fill the pipe.
            let ready = tokio::time::timeout(SHORT, stream.ready()).await;
            match ready {
                Ok(()) => continue,
                Err(_) => break,
            }
        }
        stream.write(Bytes::from(vec![b'x'; permit])).unwrap();
        written += permit;
    }
    assert!(written <= 2 * MAX_WAITING_BYTES, "{written}");
    let reading = std::thread::spawn(move || reader.read_to_end(&mut Vec::new()).unwrap());
    stream.ready().await;
    stream.flush().unwrap();
    stream.ready().await;
    writer.written().await.unwrap();
    drop((stream, writer));
    assert_eq!(reading.join().unwrap(), written);
}

#[test]
fn nothing_is_written_during_a_pause() {
    let (mut reader, writer) = piped();
    let mut read = |count| {
        let mut bytes = vec![0; count];
        reader.read_exact(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    };
    writer.line("before");
    assert_eq!(read(7), "before\n");
    let (first, second) = (writer.pause(LONG), writer.pause(LONG));
    writer.line("during");
    drop(first);
    std::thread::sleep(SHORT);
    assert_eq!(writer.shared().state().written, 7, "there is another pause");
    drop(second);
    assert_eq!(read(7), "during\n");
    // At the end of a program everything is written, even if a pause was not dropped.
    let forgotten = writer.pause(LONG);
    writer.line("at the end");
    assert!(writer.settle(LONG));
    assert_eq!(read(11), "at the end\n");
    drop(forgotten);
    let pause = writer.pause(LONG);
    writer.line("last");
    drop((pause, writer));
    assert_eq!(read(5), "last\n");
}

#[tokio::test(flavor = "current_thread")]
async fn a_closed_pipe_is_the_end_of_the_stream_and_told() {
    let (reader, writer) = piped();
    drop(reader);
    let mut stream = writer.p2_stream();
    stream.write(Bytes::from_static(b"no")).unwrap();
    // It may have failed by now.
    let _ = stream.flush();
    stream.ready().await;
    assert!(matches!(stream.check_write(), Err(StreamError::Closed)));
    assert_eq!(writer.failed().await.kind(), ErrorKind::BrokenPipe);
    assert!(writer.written().await.is_err());
    writer.line("it is no use");
    assert!(writer.settle(LONG));
}

#[tokio::test(flavor = "current_thread")]
async fn an_error_is_passed_on_as_it_is() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let writer = StdioWriter::file_at_once(full).unwrap();
    let mut stream = writer.p2_stream();
    stream.write(Bytes::from_static(b"no")).unwrap();
    // It may have failed by now.
    let _ = stream.flush();
    stream.ready().await;
    let Err(StreamError::LastOperationFailed(error)) = stream.check_write() else {
        panic!("it didn't fail");
    };
    let error = error.downcast_ref::<io::Error>().unwrap();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
}

#[test]
fn streams_that_never_wait_pass_on_whole_lines() {
    let mut file = tempfile::tempfile().unwrap();
    let writer = StdioWriter::file(file.try_clone().unwrap()).unwrap();
    let lossy = writer.never_waiting();
    let mut stream = lossy.p2_stream();
    stream.write(Bytes::from_static(b"one\ntw")).unwrap();
    writer.line("between");
    stream.write(Bytes::from_static(b"o\nthree")).unwrap();
    assert!(stream.check_write().unwrap() > 0);
    drop(stream);
    assert!(writer.settle(LONG));
    let mut text = String::new();
    io::Seek::rewind(&mut file).unwrap();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "one\nbetween\ntwo\nthree\n");
}

#[test]
fn lines_are_written_in_the_form_that_is_asked_for() {
    let mut file = tempfile::tempfile().unwrap();
    let writer = StdioWriter::file(file.try_clone().unwrap()).unwrap();
    let formed = writer.never_waiting_as(|line| format!("<{}>", line.replace('\r', "R")));
    let mut stream = formed.p2_stream();
    let long = "x".repeat(MAX_LINE);
    let pieces = ["one\ntw", "o\r\n\n", &long, "\n", &long, "y\n", "end"];
    for piece in pieces {
        let piece = Bytes::copy_from_slice(piece.as_bytes());
        stream.write(piece).unwrap();
    }
    stream.write(Bytes::from_static(b"\xff")).unwrap();
    writer.line("own");
    drop(stream);
    assert!(writer.settle(LONG));
    let mut text = String::new();
    io::Seek::rewind(&mut file).unwrap();
    file.read_to_string(&mut text).unwrap();
    let expected = format!("<one>\n<twoR>\n<>\n<{long}>\n<{long}>\n<y>\nown\n<end\u{fffd}>\n");
    assert!(text == expected, "{text}");
}

#[test]
fn what_is_written_to_a_file_at_once_is_there_at_once() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let writer = StdioWriter::file_at_once(file.reopen().unwrap()).unwrap();
    let mut stream = writer.p2_stream();
    stream.write(Bytes::from_static(b"a ")).unwrap();
    writer.line("b");
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "a b\n");
}

#[test]
fn a_writer_that_would_block_is_tried_again() {
    struct Reluctant(usize, std::sync::mpsc::Sender<Vec<u8>>);
    impl Write for Reluctant {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += 1;
            if self.0 % 2 == 1 {
                return Err(ErrorKind::WouldBlock.into());
            }
            let _ = self.1.send(bytes[..1].to_vec());
            Ok(1)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (sender, receiver) = std::sync::mpsc::channel();
    let writer = StdioWriter::new(Reluctant(0, sender)).unwrap();
    writer.line("abc");
    assert!(writer.settle(LONG));
    drop(writer);
    let text: Vec<u8> = receiver.into_iter().flatten().collect();
    assert_eq!(text, b"abc\n");
}
