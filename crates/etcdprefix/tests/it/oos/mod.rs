//! The rendered template, run by the stand-in for OOS on hosts with a real etcd: what is handed out, and
//! what is left, however it ends.

// To the bundle, and back by force; secrets.
mod straight;
// A host, the store or the engine fails at each task.
mod faults;
// The leader moves, there is none, a learner is there.
mod leaders;
// Values that mean harm.
mod hostile;
// The template's text: what it has, and what the interpreter refuses.
mod template;
// Steps of engines by themselves, on a host.
mod steps;
// Hosts as instances, the template, and executions of it.
mod bench;
// Serves the program to the hosts.
mod program;
