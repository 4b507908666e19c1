//! `migrate` and `node` from outside: three hosts that are reached over SSH, a real etcd across them, a
//! control plane whose manifests are watched, a store. Whatever a run says or leaves is searched for
//! secrets, and hosts that are to be as before are compared byte for byte.

// From the rehearsal to the bundle, and back by force.
mod straight;
// Ctrl-C at any time.
mod signals;
// The orchestrator dies at every step.
pub mod killed;
// Nobody comes back.
pub mod timers;
// Connections break, a host is off the network.
mod lost;
// The managed side serves.
mod after;
// Steps by themselves, by hand on a host.
mod node;
// The same with SeaweedFS, sudo and a recipient, to its end.
pub mod seaweed;
// Somebody still writes; leases end.
mod writers;
// The leader changes, a learner is there.
mod leaders;
// A control plane that doesn't stop.
mod sleepers;
// A store that refuses, credentials that end, a disk that is full.
mod refused;
// Two migrations at once.
pub mod locks;
// The same led by Ansible.
mod playbook;
// Hosts, store, configuration, and the command on them.
pub mod bench;
// What hosts were before.
mod before;
// The bundle and the snapshot behind its URL.
pub mod moved;
// ssh's processes that outlive ours.
mod connections;
// The command while it runs, and what it left.
pub mod run;
// What nobody may find.
pub mod secrets;

pub use bench::Migration;
