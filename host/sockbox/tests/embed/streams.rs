//! The standard streams of components: discarded, captured and piped.

use crate::MOMENT;
use sockbox::{Error, Input, Limits, Output, Program, Sandbox, StdioWriter};
use std::io::{ErrorKind, Write};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A command that copies its standard input to its standard output.
fn cat() -> Program {
    let text = include_str!("../../../../tests/tests/sandbox/components/cat.wat");
    Sandbox::new().unwrap().program(text).unwrap()
}

#[tokio::test]
async fn output_is_captured_up_to_a_bound() {
    for (limit, expected) in [
        (100, "one\ntwo\n"),
        (8, "one\ntwo\n"),
        (7, "one\ntwo\n[... 1 more bytes were cut]"),
        (0, "[... 8 more bytes were cut]"),
    ] {
        let (output, captured) = Output::captured(limit);
        let command = cat().command().stdin(Input::bytes("one\ntwo\n"));
        assert_eq!(command.stdout(output).run().await.unwrap(), 0, "{limit}");
        assert_eq!(captured.text(), expected);
    }
}

#[tokio::test]
async fn runs_that_are_given_the_same_bytes_read_all_of_them() {
    let program = cat();
    let (output, captured) = Output::captured(100);
    let input = Input::bytes("a");
    for _ in 0..3 {
        let command = program.command().stdin(input.clone());
        let status = command.stdout(output.clone()).run().await;
        assert_eq!(status.unwrap(), 0);
    }
    assert_eq!(captured.take(), b"aaa");
}

#[tokio::test]
async fn both_streams_can_be_piped() {
    // More than either pipe holds, so that both sides wait.
    let sent: Vec<u8> = (0..200_000_u32).map(|number| number as u8).collect();
    let (input, mut writer) = Input::piped(1000);
    let (output, mut reader) = Output::piped(100);
    let running = tokio::spawn(cat().command().stdin(input).stdout(output).run());
    let writing = {
        let sent = sent.clone();
        tokio::spawn(async move {
            writer.write_all(&sent).await.unwrap();
            writer.shutdown().await.unwrap();
            writer.write_all(b"more").await.unwrap_err().kind()
        })
    };
    let mut received = Vec::new();
    reader.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, sent);
    assert_eq!(writing.await.unwrap(), ErrorKind::BrokenPipe);
    assert_eq!(running.await.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn a_reply_is_read_before_the_next_question_is_written() {
    let (input, mut writer) = Input::piped(100);
    let (output, mut reader) = Output::piped(100);
    let running = tokio::spawn(cat().command().stdin(input).stdout(output).run());
    for question in ["one", "two", "six"] {
        writer.write_all(question.as_bytes()).await.unwrap();
        let mut reply = [0; 3];
        reader.read_exact(&mut reply).await.unwrap();
        assert_eq!(reply, question.as_bytes());
    }
    drop(writer);
    assert_eq!(running.await.unwrap().unwrap(), 0);
    assert_eq!(reader.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test]
async fn an_end_that_is_dropped_is_a_closed_pipe() {
    // The reader: the component's write fails, and it returns an error.
    let (output, reader) = Output::piped(4);
    drop(reader);
    let command = cat().command().stdin(Input::bytes("a")).stdout(output);
    assert_eq!(command.run().await.unwrap(), 0, "`closed` is its good end");
    // The component: the writer's write fails.
    let (input, mut writer) = Input::piped(4);
    drop(cat().command().stdin(input));
    let error = writer.write_all(b"a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn waiting_for_a_reader_counts_as_the_runs_time() {
    let (output, _reader) = Output::piped(1);
    let command = cat()
        .command()
        .stdin(Input::bytes("two"))
        .stdout(output)
        .limits(Limits::default().wall_time(Some(MOMENT)));
    let error = command.run().await.unwrap_err();
    assert!(matches!(error, Error::WallTime { .. }), "{error:?}");
}

#[tokio::test]
async fn a_closed_input_is_an_error_and_an_empty_one_is_the_end() {
    for (input, expected) in [
        (Input::none(), 0),
        (Input::default(), 0),
        (Input::closed(), 1),
    ] {
        let status = cat().command().stdin(input.clone()).run().await.unwrap();
        assert_eq!(status, expected, "{input:?}");
    }
}

#[tokio::test]
async fn a_writer_is_an_output_too() {
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);
    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let written = Written::default();
    let writer = StdioWriter::new(written.clone()).unwrap();
    let command = cat().command().stdin(Input::bytes("a line\n"));
    assert_eq!(command.stdout(writer).run().await.unwrap(), 0);
    assert_eq!(*written.0.lock().unwrap(), b"a line\n");
}
