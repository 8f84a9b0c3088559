//! Requests to servers on loopback.
