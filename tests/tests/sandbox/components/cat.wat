;; Copies standard input to standard output, until the end.
(component
  (import "wasi:io/error@0.2.0" (instance $errors (export "error" (type (sub resource)))))
  (alias export $errors "error" (type $error))
  (import "wasi:io/streams@0.2.0" (instance $streams
    (alias outer 1 $error (type $outer-error))
    (export "error" (type $error (eq $outer-error)))
    (export "input-stream" (type $input-stream (sub resource)))
    (export "output-stream" (type $output-stream (sub resource)))
    (type $failure (variant (case "last-operation-failed" (own $error)) (case "closed")))
    (export "stream-error" (type $stream-error (eq $failure)))
    (export "[method]output-stream.blocking-splice" (func
      (param "self" (borrow $output-stream))
      (param "src" (borrow $input-stream))
      (param "len" u64)
      (result (result u64 (error $stream-error)))))
    (export "[method]output-stream.blocking-flush" (func
      (param "self" (borrow $output-stream))
      (result (result (error $stream-error)))))))
  (alias export $streams "input-stream" (type $input-stream))
  (alias export $streams "output-stream" (type $output-stream))
  (import "wasi:cli/stdin@0.2.0" (instance $stdin
    (alias outer 1 $input-stream (type $outer-input))
    (export "input-stream" (type $input-stream (eq $outer-input)))
    (export "get-stdin" (func (result (own $input-stream))))))
  (import "wasi:cli/stdout@0.2.0" (instance $stdout
    (alias outer 1 $output-stream (type $outer-output))
    (export "output-stream" (type $output-stream (eq $outer-output)))
    (export "get-stdout" (func (result (own $output-stream))))))

  (core module $memory (memory (export "memory") 1))
  (core instance $memory (instantiate $memory))
  (core func $get-stdin (canon lower (func $stdin "get-stdin")))
  (core func $get-stdout (canon lower (func $stdout "get-stdout")))
  (core func $splice (canon lower
    (func $streams "[method]output-stream.blocking-splice") (memory (core memory $memory "memory"))))
  (core func $flush (canon lower
    (func $streams "[method]output-stream.blocking-flush") (memory (core memory $memory "memory"))))

  (core module $cat
    (import "host" "memory" (memory 1))
    (import "host" "get-stdin" (func $get-stdin (result i32)))
    (import "host" "get-stdout" (func $get-stdout (result i32)))
    (import "host" "splice" (func $splice (param i32 i32 i64 i32)))
    (import "host" "flush" (func $flush (param i32 i32)))
    (func (export "run") (result i32)
      (local $in i32)
      (local $out i32)
      (local.set $in (call $get-stdin))
      (local.set $out (call $get-stdout))
      (loop $next
        (call $splice (local.get $out) (local.get $in) (i64.const 65536) (i32.const 0))
        ;; An error: the end is one, too (case 1 of `stream-error`), and the only good one.
        (if (i32.load8_u (i32.const 0))
          (then (return (i32.ne (i32.load8_u (i32.const 8)) (i32.const 1)))))
        (call $flush (local.get $out) (i32.const 0))
        (if (i32.load8_u (i32.const 0)) (then (return (i32.const 1))))
        (br $next))
      unreachable))
  (core instance $cat (instantiate $cat (with "host" (instance
    (export "memory" (memory $memory "memory"))
    (export "get-stdin" (func $get-stdin))
    (export "get-stdout" (func $get-stdout))
    (export "splice" (func $splice))
    (export "flush" (func $flush))))))
  (func $run (result (result)) (canon lift (core func $cat "run")))
  (instance $exported (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $exported)))
