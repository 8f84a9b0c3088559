;; Fails when it is given a folder, or a variable of the environment.
(component
  (import "wasi:filesystem/types@0.2.0" (instance $files (export "descriptor" (type (sub resource)))))
  (alias export $files "descriptor" (type $descriptor))
  (import "wasi:filesystem/preopens@0.2.0" (instance $preopens
    (alias outer 1 $descriptor (type $outer-descriptor))
    (export "descriptor" (type $descriptor (eq $outer-descriptor)))
    (export "get-directories" (func (result (list (tuple (own $descriptor) string)))))))
  (import "wasi:cli/environment@0.2.0" (instance $environment
    (export "get-environment" (func (result (list (tuple string string)))))))

  (core module $memory
    (memory (export "memory") 16)
    (global $free (mut i32) (i32.const 1024))
    ;; Nothing is freed: the component ends before its memory does.
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (local $start i32)
      (local.set $start (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
      (global.set $free (i32.add (local.get $start) (local.get 3)))
      (local.get $start)))
  (core instance $memory (instantiate $memory))
  (core func $get-directories (canon lower (func $preopens "get-directories")
    (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
  (core func $get-environment (canon lower (func $environment "get-environment")
    (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))

  (core module $check
    (import "host" "memory" (memory 1))
    (import "host" "get-directories" (func $get-directories (param i32)))
    (import "host" "get-environment" (func $get-environment (param i32)))
    ;; A list comes as its place and its length.
    (func (export "run") (result i32)
      (call $get-directories (i32.const 0))
      (call $get-environment (i32.const 8))
      (i32.or
        (i32.ne (i32.load (i32.const 4)) (i32.const 0))
        (i32.ne (i32.load (i32.const 12)) (i32.const 0)))))
  (core instance $check (instantiate $check (with "host" (instance
    (export "memory" (memory $memory "memory"))
    (export "get-directories" (func $get-directories))
    (export "get-environment" (func $get-environment))))))
  (func $run (result (result)) (canon lift (core func $check "run")))
  (instance $exported (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $exported)))
