//! Tests of the library from outside. `compare`: what the proof accepts and refuses. `fuzzed`: what
//! fuzzing found. `plan`: what a dry run tells. `model`: random stores against the rule. `splice`: against other decoders.
//! `status`: against what etcdutl says. `structure`: faults made by hand.

mod change;
mod compare;
mod fuzzed;
mod model;
mod plan;
mod splice;
mod status;
mod structure;
