//! Tests of the library from outside. `check`: each fault told, nothing told of sound files.
//! `compare`: what the proof accepts and refuses. `evil`: a file for every fault. `faults`: every
//! operation of the writer fails. `flips`: every byte of a file. `fuzzed`: what fuzzing found.
//! `model`: random stores against the rule. `oversized`: a value over the limit. `plan`: what a dry
//! run tells. `received`: what had no name yet. `splice`: against other decoders. `status`: against
//! what etcdutl says. `structure`: faults made by hand.

mod change;
mod check;
mod compare;
mod evil;
mod faults;
mod flips;
mod fuzzed;
mod model;
mod oversized;
mod plan;
mod received;
mod splice;
mod status;
mod structure;
