//! `migrate` and `node` from outside: three hosts that are reached over SSH, a real etcd across them, a
//! control plane whose manifests are watched, a store. Whatever a run says or leaves is searched for
//! secrets, and hosts that are to be as before are compared byte for byte.

// From the rehearsal to the bundle, and back by force.
mod straight;
// Ctrl-C at any time.
mod signals;
// The orchestrator dies at every step.
mod killed;
// Nobody comes back.
mod timers;
// Connections break, a host is off the network.
mod lost;
// The managed side serves.
mod after;
// Steps by themselves, by hand on a host.
mod node;
// The same with SeaweedFS, sudo and a recipient, to its end.
mod seaweed;
// Somebody still writes; leases end.
mod writers;
// The leader changes, a learner is there.
mod leaders;
// A control plane that doesn't stop.
mod sleepers;
// A store that refuses, credentials that end, a disk that is full.
mod refused;
// Two migrations at once.
mod locks;
// Hosts, store, configuration, and the command on them.
mod bench;
// What hosts were before.
mod before;
// The bundle and the snapshot behind its URL.
mod moved;
// ssh's processes that outlive ours.
mod connections;
// The command while it runs, and what it left.
mod run;
// What nobody may find.
mod secrets;

use bench::Migration;
