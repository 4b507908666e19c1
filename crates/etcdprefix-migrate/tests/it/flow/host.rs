//! A host as the orchestrator reaches it, and what becomes of its calls on the way.

use std::sync::Arc;
use std::time::Duration;

use etcdprefix_migrate::NodeError;
use etcdprefix_migrate::host::{Host, HostError, Installed, Output, Work};
use etcdprefix_migrate::protocol::{Call, Reply, Request};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::{sleep, timeout};
use zeroize::Zeroizing;

use super::world::World;

/// There and back.
const WAY: Duration = Duration::from_millis(10);

/// One of a world's hosts.
pub struct FakeHost {
    pub world: Arc<World>,
    pub place: usize,
    pub name: String,
}

/// A call that is on its way.
pub struct Ask {
    /// Counted over all hosts, from 1.
    pub n: usize,
    pub host: usize,
    /// `lock`, `sleep`, …
    pub what: &'static str,
}

/// What becomes of it.
#[derive(Clone, Debug)]
pub enum Fate {
    /// It is done, and answered.
    Done,
    /// The orchestrator dies before it gets there.
    KillBefore,
    /// The orchestrator dies when it is done, and never hears of it.
    KillAfter,
    /// The orchestrator dies, and it goes on.
    KillDuring,
    /// The orchestrator dies, and it gets there so much later.
    KillLate(Duration),
    /// It doesn't get there.
    Lost,
    /// It is done, and its answer doesn't get back.
    AnswerLost,
    /// The connection breaks while it is at work, and it goes on.
    Broken,
    /// The host doesn't let us.
    Refused,
    /// The host answers this, and does nothing.
    Fails(NodeError),
}

/// What becomes of all of them.
pub struct Plan(pub Box<dyn FnMut(&Ask) -> Fate + Send>);

impl Plan {
    pub fn none() -> Self {
        Self(Box::new(|_| Fate::Done))
    }
}

impl Host for FakeHost {
    fn name(&self) -> &str {
        &self.name
    }

    fn install(&self) -> BoxFuture<'_, Result<Installed, HostError>> {
        let installed = Installed { path: "/x".into(), sha256: String::new(), copied: false };
        std::future::ready(Ok(installed)).boxed()
    }

    fn run<'a>(&'a self, work: &'a Work) -> BoxFuture<'a, Result<Output, HostError>> {
        assert_eq!(work.args, ["node", "step", "--state", "/var/lib/etcdprefix"]);
        let call: Call = serde_json::from_slice(&work.stdin).unwrap();
        let limit = work.limit;
        async move {
            let answer = timeout(limit, self.world.deliver(self.place, call)).await;
            answer.unwrap_or(Err(HostError::OutOfTime(limit))).map(|reply| output(&reply))
        }
        .boxed()
    }
}

fn output(reply: &Reply) -> Output {
    let stdout = Zeroizing::new(serde_json::to_vec(reply).unwrap());
    Output { code: Some(0), stdout, stderr: String::new() }
}

impl World {
    async fn deliver(self: &Arc<Self>, host: usize, call: Call) -> Result<Reply, HostError> {
        let lost = || Err(HostError::Unreachable("the connection is gone".into()));
        let fate = self.fate(host, &call);
        sleep(WAY).await;
        match fate {
            Fate::Done => {
                let reply = self.serve(host, call).await;
                sleep(WAY).await;
                return Ok(reply);
            }
            Fate::Fails(error) => return Ok(Reply::Failed(error)),
            Fate::Refused => return Err(HostError::Refused("unknown host key".into())),
            Fate::Lost => return lost(),
            Fate::AnswerLost => {
                self.serve(host, call).await;
                return lost();
            }
            Fate::Broken => {
                drop(tokio::spawn(Arc::clone(self).serve_alone(host, call, Duration::ZERO)));
                sleep(WAY).await;
                return lost();
            }
            Fate::KillBefore => {}
            Fate::KillAfter => drop(self.serve(host, call).await),
            Fate::KillDuring => {
                drop(tokio::spawn(Arc::clone(self).serve_alone(host, call, Duration::ZERO)));
                tokio::task::yield_now().await;
            }
            Fate::KillLate(later) => {
                drop(tokio::spawn(Arc::clone(self).serve_alone(host, call, later)));
            }
        }
        self.killed.notify_one();
        std::future::pending().await
    }

    async fn serve_alone(self: Arc<Self>, host: usize, call: Call, later: Duration) {
        sleep(later).await;
        self.serve(host, call).await;
    }

    fn fate(&self, host: usize, call: &Call) -> Fate {
        let what = what(&call.request);
        let n = self.change(|state| {
            state.calls += 1;
            if !call.environment.is_empty() && !needs_store(what) {
                state.breaks(format!("{what} was given the store's credentials"));
            }
            state.calls
        });
        let ask = Ask { n, host, what };
        let fate = (self.plan.lock().unwrap().0)(&ask);
        self.change(|state| {
            let name = state.nodes[host].name.clone();
            state.say(format_args!("#{n} {name} <- {} {fate:?}", call.id));
        });
        fate
    }
}

fn needs_store(what: &str) -> bool {
    ["preflight", "snapshot", "bundle", "presign", "unpublish"].contains(&what)
}

pub fn what(request: &Request) -> &'static str {
    match request {
        Request::Status => "status",
        Request::Lock { .. } => "lock",
        Request::Unlock { .. } => "unlock",
        Request::Preflight(_) => "preflight",
        Request::Sleep(_) => "sleep",
        Request::Wake(_) => "wake",
        Request::Renew { .. } => "renew",
        Request::Fence { .. } => "fence",
        Request::Members(_) => "members",
        Request::Snapshot(_) => "snapshot",
        Request::Bundle(_) => "bundle",
        Request::Quiet(_) => "quiet",
        Request::Presign(_) => "presign",
        Request::Unpublish(_) => "unpublish",
        Request::Cancel { .. } => "cancel",
    }
}
