;; Hands calls of `wasi:sockets/tcp` over to the host, so that a test can make them as a component
;; does. What is in braces is made from the calls.
(component
  (import "wasi:io/poll@0.2.12" (instance $poll (export "pollable" (type (sub resource)))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:io/streams@0.2.12" (instance $streams
    (export "input-stream" (type (sub resource)))
    (export "output-stream" (type (sub resource)))))
  (alias export $streams "input-stream" (type $input-stream))
  (alias export $streams "output-stream" (type $output-stream))
  (import "wasi:sockets/network@0.2.12" (instance $network
    (export "network" (type (sub resource)))
    (type $codes (enum "unknown" "access-denied" "not-supported" "invalid-argument" "out-of-memory"
      "timeout" "concurrency-conflict" "not-in-progress" "would-block" "invalid-state"
      "new-socket-limit" "address-not-bindable" "address-in-use" "remote-unreachable"
      "connection-refused" "connection-reset" "connection-aborted" "datagram-too-large"
      "name-unresolvable" "temporary-resolver-failure" "permanent-resolver-failure"))
    (export "error-code" (type (eq $codes)))
    (type $families (enum "ipv4" "ipv6"))
    (export "ip-address-family" (type (eq $families)))
    (type $four (tuple u8 u8 u8 u8))
    (export "ipv4-address" (type $ipv4-address (eq $four)))
    (type $eight (tuple u16 u16 u16 u16 u16 u16 u16 u16))
    (export "ipv6-address" (type $ipv6-address (eq $eight)))
    (type $ipv4 (record (field "port" u16) (field "address" $ipv4-address)))
    (export "ipv4-socket-address" (type $ipv4-socket-address (eq $ipv4)))
    (type $ipv6 (record (field "port" u16) (field "flow-info" u32) (field "address" $ipv6-address)
      (field "scope-id" u32)))
    (export "ipv6-socket-address" (type $ipv6-socket-address (eq $ipv6)))
    (type $either (variant (case "ipv4" $ipv4-socket-address) (case "ipv6" $ipv6-socket-address)))
    (export "ip-socket-address" (type (eq $either)))))
  (alias export $network "network" (type $network-handle))
  (alias export $network "error-code" (type $error-code))
  (alias export $network "ip-address-family" (type $ip-address-family))
  (alias export $network "ip-socket-address" (type $ip-socket-address))
  (import "wasi:sockets/tcp@0.2.12" (instance $tcp
    (alias outer 1 $pollable (type $outer-pollable))
    (export "pollable" (type $pollable (eq $outer-pollable)))
    (alias outer 1 $input-stream (type $outer-input-stream))
    (export "input-stream" (type $input-stream (eq $outer-input-stream)))
    (alias outer 1 $output-stream (type $outer-output-stream))
    (export "output-stream" (type $output-stream (eq $outer-output-stream)))
    (alias outer 1 $network-handle (type $outer-network))
    (export "network" (type $network-handle (eq $outer-network)))
    (alias outer 1 $error-code (type $outer-error-code))
    (export "error-code" (type $error-code (eq $outer-error-code)))
    (alias outer 1 $ip-address-family (type $outer-ip-address-family))
    (export "ip-address-family" (type $ip-address-family (eq $outer-ip-address-family)))
    (alias outer 1 $ip-socket-address (type $outer-ip-socket-address))
    (export "ip-socket-address" (type $ip-socket-address (eq $outer-ip-socket-address)))
    (type $shutdowns (enum "receive" "send" "both"))
    (export "shutdown-type" (type $shutdown-type (eq $shutdowns)))
    (export "tcp-socket" (type $tcp-socket (sub resource)))
    {imports}))
  (alias export $tcp "tcp-socket" (type $tcp-socket))
  (alias export $tcp "shutdown-type" (type $shutdown-type))

  (core module $memory (memory (export "memory") 1))
  (core instance $memory (instantiate $memory))
  (core func $drop-socket (canon resource.drop $tcp-socket))
  (core func $drop-network (canon resource.drop $network-handle))
  {lowered}
  (core module $calls
    (import "host" "memory" (memory 1))
    (import "host" "drop-socket" (func $drop-socket (param i32)))
    (import "host" "drop-network" (func $drop-network (param i32)))
    {taken}
    {functions})
  (core instance $calls (instantiate $calls (with "host" (instance
    (export "memory" (memory $memory "memory"))
    (export "drop-socket" (func $drop-socket))
    (export "drop-network" (func $drop-network))
    {given}))))
  {exports})
