//! Integration tests of nsys against real parts.
