//! `migrate` over Alibaba Cloud Assistant: the hosts of `migrate`'s tests as instances of a cloud whose API is
//! played, and really runs what it is given. What it saw is searched for secrets, too.

// From the rehearsal to the bundle, and back by force; by tags and resource groups.
mod straight;
// The orchestrator dies, or is asked to stop.
mod killed;
// The API throttles, loses answers, cuts outputs off, is away.
mod api;
// Agents that are away; a binary that is another, or can't be fetched; rights.
mod refused;
// Agents that are interrupted, tell nothing, or come late.
mod lost;
// What goes wrong on the hosts in the outage.
mod outage;
// The cloud, and the migration on it.
mod bench;
// Where the binary is fetched.
mod files;

use bench::Cloud;
