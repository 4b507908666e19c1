//! The command as scripts and people meet it, without any etcd. Proofs with real etcd: tests/it.

// What --help says, under every name.
mod help;
// Flags, words and prefixes that are wrong, and what the error says.
mod usage;
// Each exit code, as docs/cli-contract.md has them, and its one line of error.
mod exit_codes;
// `check`: findings, their forms and the exit code.
mod check;
// `hashkv`: its forms; that it is right is proved with servers in tests/it.
mod hashkv;
// Results on stdout in every form, warnings on stderr, nothing mixed.
mod results;
// Readers that go away, full disks, closed streams.
mod pipes;
// Disks that are full, read-only or elsewhere.
mod disks;
// What builds without network code say of the commands that need it.
#[cfg(not(feature = "migrate"))]
mod offline;
// Killed, stopped, deprived of its input.
mod kills;

// `migrate` and `node`, as far as they go without hosts.
#[cfg(feature = "migrate")]
mod migrate;
#[cfg(feature = "migrate")]
mod node_steps;
// `migrate policy`: what is printed, and what is refused.
#[cfg(feature = "migrate")]
mod policy;

// `verify`: its forms, its refusals and its exit code.
mod verify;

mod support;
