//! The command against real etcd servers and tools (`cargo xtask provision`).

// What real etcd makes of the rewritten snapshots of many versions, shipped in testdata.
mod fixtures;
// The same for stores made here, with everything that a snapshot can hold.
mod live;
// Users, roles and their permissions, before and after, asked of servers that have auth enabled.
mod auth;
// A real kube-apiserver before and after: the same objects under another prefix.
mod kubernetes;
// The names and arguments of the programs that this one replaces.
mod drop_in;
// `snapshot status` against the recorded output of eight versions of etcdutl.
mod status;
// `hashkv` against servers: those that were saved, and those that restored the file.
mod hashkv;
// The commands that talk to live members: their JSON.
#[cfg(feature = "live")]
mod contract;
// `snapshot save` from real members, whole and broken.
#[cfg(feature = "live")]
mod save;
// `endpoint quiet`: a writer, an interruption.
#[cfg(feature = "live")]
mod quiet;
// `verify` on output that others made or laid out anew.
mod verify;
// Damaged and random files: refused with a documented code, nothing touched.
mod damaged;
// Mutated snapshots: what etcdutl refuses we never call sound.
mod differential;
// The structure check that judges our output does refuse broken files made from it.
mod oracle;
// Live members: whom they believe, whom we believe, and whether they hold the same.
#[cfg(feature = "live")]
mod trust;
// `store`, and files of other commands that are in object stores.
#[cfg(feature = "store")]
mod store;
// `migrate` and `node` over SSH: hosts with etcd and a control plane, stores, faults.
#[cfg(feature = "migrate")]
mod migrate;
// The same over Alibaba Cloud Assistant.
#[cfg(feature = "migrate")]
mod assistant;
// `migrate render oos`: the template, run by an interpreter on hosts as OOS does.
#[cfg(feature = "migrate")]
mod oos;
// `migrate oos` against the cloud's API: templates really run, bundles come back, no secret is shown.
#[cfg(feature = "migrate")]
mod oos_api;
// `migrate hosted`: a real kube-apiserver with HyperShift's kinds, a hosted etcd, a store.
#[cfg(feature = "migrate")]
mod hosted;
// Runs the command; proves a rewritten snapshot.
mod support;
