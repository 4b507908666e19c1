//! Tests of the library from outside. `compare`: what the proof accepts and refuses. `fuzzed`: what
//! fuzzing found. `model`: random stores against the rule. `splice`: against other decoders.
//! `status`: against what etcdutl says. `structure`: faults made by hand.

mod change;
mod compare;
mod fuzzed;
mod model;
mod splice;
mod status;
mod structure;
