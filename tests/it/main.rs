//! Everything that needs a socket, tested from outside.

mod gateway;
mod wire;
