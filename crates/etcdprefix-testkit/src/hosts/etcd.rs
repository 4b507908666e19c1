//! A member of a real etcd cluster on each host, with the certificates and folders of ACK's.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use etcd_client::{Client, MemberAddOptions, StatusResponse};
use rustix::process::Signal;

use super::init::Init;
use super::{TestHost, name, until};
use crate::cluster::{HASTE, PATIENCE};
use crate::process::last_lines;
use crate::writer::Writer;
use crate::{Version, block_on, member};

/// A frozen member takes connections but never answers.
const STATUS_LIMIT: Duration = Duration::from_secs(2);

/// The cluster across hosts. A member has the number of its host.
pub struct HostsEtcd {
    version: Version,
    members: Vec<Member>,
}

struct Member {
    number: usize,
    address: Ipv4Addr,
    init: Arc<Init>,
    log: PathBuf,
    state: Mutex<State>,
}

/// The process, if it has not been ended.
#[derive(Clone, Copy, Default)]
struct State {
    process: Option<u32>,
    frozen: bool,
}

impl HostsEtcd {
    /// Starts a cluster of the first so many hosts.
    pub(super) fn launch(version: Version, hosts: &[TestHost], voters: usize) -> Result<Self> {
        ensure!((1..=hosts.len()).contains(&voters), "{voters} voters on {} hosts", hosts.len());
        let this = Self { version, members: hosts.iter().map(Member::of).collect() };
        let initial = this.initial(0..voters);
        for member in &this.members[..voters] {
            member.start(version, &initial, "new")?;
            // A new member asks the others first whether it is known, and waits two seconds for those that listen but
            // don't serve yet. Those that don't even listen cost nothing.
            until("a member doesn't start", || Ok(member.says("now serving peer")))?;
        }
        Ok(this)
    }

    /// Waits until all that run serve and know the leader.
    pub(super) fn settle(&self) -> Result<()> {
        self.leader().map(drop).with_context(|| {
            let logs: Vec<String> = self.members.iter().map(|it| last_lines(&it.log)).collect();
            logs.join("\n")
        })
    }

    /// Where clients with a certificate reach the members that there are, those that ended included.
    pub fn endpoints(&self) -> Vec<String> {
        let there = self.members.iter().filter(|it| it.state().process.is_some());
        there.map(|it| format!("https://{}:2379", it.address)).collect()
    }

    /// Where a host's member is reached without TLS, by fixtures.
    pub fn plain_url(&self, host: usize) -> String {
        self.members[host - 1].plain()
    }

    /// A client of a host's member, for fixtures.
    pub async fn client(&self, host: usize) -> Result<Client> {
        member::connect(&self.plain_url(host), None).await
    }

    /// Writes through a host's member until it is stopped.
    pub fn writer(&self, host: usize, pause: Duration) -> Writer {
        Writer::start(&self.plain_url(host), pause)
    }

    /// A member's ID.
    pub fn member_id(&self, host: usize) -> Result<u64> {
        let status = self.members[host - 1].status().context("it doesn't answer")?;
        Ok(status.header().context("a status without header")?.member_id())
    }

    /// The host whose member leads, as soon as all that run agree on one that runs.
    pub fn leader(&self) -> Result<usize> {
        let mut leader = None;
        until("no leader", || {
            leader = self.agreed_leader();
            Ok(leader.is_some())
        })?;
        leader.context("found just now")
    }

    /// Makes a host's member the leader and waits until all that run agree.
    pub fn move_leader(&self, to: usize) -> Result<()> {
        let (leader, id) = (self.leader()?, self.member_id(to)?);
        if leader != to {
            block_on(async { anyhow::Ok(self.client(leader).await?.move_leader(id).await?) })?;
        }
        let now = self.leader()?;
        ensure!(now == to, "host {now} leads, not {to}");
        Ok(())
    }

    /// Ends a member's process, as a power failure would.
    pub fn kill(&self, host: usize) -> Result<()> {
        let member = &self.members[host - 1];
        let process = member.state().process.context("it has ended")?;
        member.init.kill(process)?;
        member.set(State::default());
        Ok(())
    }

    /// Starts a member again that [`Self::kill`] ended, on what it had, and waits until it serves.
    pub fn restart(&self, host: usize) -> Result<()> {
        self.members[host - 1].start(
            self.version,
            &self.initial(0..self.members.len()),
            "existing",
        )?;
        self.leader().map(drop)
    }

    /// Freezes a member: clients connect to it, but it never answers.
    pub fn stop(&self, host: usize) -> Result<()> {
        self.members[host - 1].freeze(true)
    }

    /// Ends what [`Self::stop`] began.
    pub fn resume(&self, host: usize) -> Result<()> {
        self.members[host - 1].freeze(false)
    }

    /// Starts a member that learns on a host that has none, and waits until it has all that was written.
    pub fn add_learner(&self, host: usize) -> Result<()> {
        let member = &self.members[host - 1];
        ensure!(member.state().process.is_none(), "there is a member on host {host}");
        let there: Vec<usize> = (0..self.members.len())
            .filter(|&index| index == host - 1 || self.members[index].state().process.is_some())
            .collect();
        let leader = self.leader()?;
        let applied = block_on(async {
            let mut client = self.client(leader).await?;
            let options = MemberAddOptions::new().with_is_learner();
            client.member_add([member.peer()], Some(options)).await?;
            anyhow::Ok(client.status().await?.raft_applied_index())
        })?;
        member.start(self.version, &self.initial(there), "existing")?;
        until("the learner doesn't learn", || {
            let learned =
                |it: StatusResponse| it.is_learner() && it.raft_applied_index() >= applied;
            Ok(member.status().is_some_and(learned))
        })
    }

    /// The version that serves.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The end of a member's log, for a failure's message.
    pub fn log(&self, host: usize) -> String {
        last_lines(&self.members[host - 1].log)
    }

    fn agreed_leader(&self) -> Option<usize> {
        let running: Vec<&Member> = self.members.iter().filter(|it| it.runs()).collect();
        let statuses: Vec<_> = running.iter().map(|it| it.status()).collect::<Option<_>>()?;
        let named: BTreeSet<u64> = statuses.iter().map(StatusResponse::leader).collect();
        let leads = |status: &StatusResponse| {
            status.header().is_some_and(|it| named == BTreeSet::from([it.member_id()]))
        };
        Some(running[statuses.iter().position(leads)?].number)
    }

    /// `--initial-cluster`.
    fn initial(&self, indexes: impl IntoIterator<Item = usize>) -> String {
        let named = |index: usize| format!("{}={}", name(index + 1), self.members[index].peer());
        indexes.into_iter().map(named).collect::<Vec<_>>().join(",")
    }
}

impl Member {
    fn of(host: &TestHost) -> Self {
        Self {
            number: host.number(),
            address: super::address(host.number()),
            init: Arc::clone(&host.init),
            log: host.path("/var/log/etcd.log"),
            state: Mutex::default(),
        }
    }

    fn start(&self, version: Version, initial: &str, state: &str) -> Result<()> {
        let (own, peer) = (format!("https://{}:2379", self.address), self.peer());
        let listened = format!("{own},https://127.0.0.1:2379,{}", self.plain());
        let cert = |file: &str| format!("/var/lib/etcd/cert/{file}");
        let (ca, pem, key) = (cert("ca.pem"), cert("etcd-server.pem"), cert("etcd-server-key.pem"));
        let name = name(self.number);
        let mut arguments = vec!["/usr/bin/etcd", "--name", &name, "--logger", "zap"];
        arguments.extend(["--data-dir", "/var/lib/etcd/data.etcd"]);
        arguments.extend(["--listen-client-urls", &listened, "--advertise-client-urls", &own]);
        arguments.extend(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        arguments.extend(["--initial-cluster", initial, "--initial-cluster-state", state]);
        arguments.extend(["--cert-file", &pem, "--key-file", &key, "--trusted-ca-file", &ca]);
        arguments.extend(["--peer-cert-file", &pem, "--peer-key-file", &key]);
        arguments.extend(["--peer-trusted-ca-file", &ca, "--client-cert-auth"]);
        arguments.extend(["--peer-client-cert-auth"].iter().chain(&PATIENCE).chain(&HASTE));
        if version > Version::V3_4_23 {
            arguments.push("--unsafe-no-fsync");
        }
        let process = self.init.start("/var/log/etcd.log", &arguments)?;
        self.set(State { process: Some(process), frozen: false });
        Ok(())
    }

    fn says(&self, what: &str) -> bool {
        std::fs::read_to_string(&self.log).unwrap_or_default().contains(what)
    }

    fn freeze(&self, frozen: bool) -> Result<()> {
        let Some(process) = self.state().process else { bail!("it has ended") };
        self.init.signal(process, if frozen { Signal::STOP } else { Signal::CONT })?;
        self.set(State { process: Some(process), frozen });
        Ok(())
    }

    /// `None` if it doesn't answer soon.
    fn status(&self) -> Option<StatusResponse> {
        let url = self.plain();
        let asked = async { anyhow::Ok(member::connect(&url, None).await?.status().await?) };
        block_on(async { tokio::time::timeout(STATUS_LIMIT, asked).await.ok()?.ok() })
    }

    fn runs(&self) -> bool {
        let state = self.state();
        state.process.is_some() && !state.frozen
    }

    fn peer(&self) -> String {
        format!("https://{}:2380", self.address)
    }

    fn plain(&self) -> String {
        format!("http://{}:2378", self.address)
    }

    fn state(&self) -> State {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, state: State) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }
}
