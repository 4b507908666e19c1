//! What each step does on a host.

use std::time::Duration;

use etcdprefix_migrate::bundle::{Bundle, Sensitive};
use etcdprefix_migrate::node::preflight::{Check, Facts, Preflight, Standing};
use etcdprefix_migrate::protocol::{
    Asleep, BundleRequest, Bundled, Call, EtcdAccess, Fence, LiftFence, Lock, MemberFacts,
    ObjectAccess, Owner, Request, Response, Signed, SleepRequest, Slept, SnapshotRequest,
    Snapshotted, WakeRequest, Woken,
};
use etcdprefix_migrate::{NodeError, NodeErrorKind};
use tokio::time::sleep;

use super::world::{BEGAN_MS, Node, Snap, State, World};

/// For the worker's parts before the upload.
const SAVING: Duration = Duration::from_secs(5);
const REWRITING: Duration = Duration::from_secs(5);
/// For all else.
const MOMENT: Duration = Duration::from_millis(100);
const STALE_MS: u64 = 120_000;

fn fenced(fence: &Fence) -> NodeError {
    let why = format!("the bundle of run {} was handed out or about to be", fence.run);
    NodeError::new(NodeErrorKind::Fenced, why)
}

type Outcome = Result<Response, NodeError>;

fn fails(kind: NodeErrorKind, why: &str) -> NodeError {
    NodeError::new(kind, why)
}

impl World {
    pub async fn perform(&self, host: usize, call: &Call) -> Outcome {
        sleep(MOMENT).await;
        match &call.request {
            Request::Status => self.status(host),
            Request::Lock { owner, take_over } => {
                self.change(|state| state.hold(host, owner, *take_over))?;
                self.status(host)
            }
            Request::Unlock { owner, .. } => {
                self.change(|state| state.release(host, owner))?;
                self.status(host)
            }
            Request::Preflight(_) => Ok(Response::Preflight(Box::new(self.look(host)))),
            Request::Sleep(request) => self.put_to_sleep(host, request).await,
            Request::Wake(request) => self.wake(host, request).await,
            Request::Renew { owner, wake_after_seconds } => {
                self.change(|state| state.renew(host, owner, *wake_after_seconds))?;
                self.status(host)
            }
            Request::Fence { owner } => {
                self.change(|state| state.fence(host, owner))?;
                let state = self.now();
                Ok(Response::Fenced(state.nodes[host].status(state.now_ms)))
            }
            Request::Members(_) => Ok(Response::Members(vec![self.member(host)])),
            Request::Snapshot(request) => self.snapshot(host, request).await,
            Request::Bundle(request) => self.change(|state| state.bundle(host, request)),
            Request::Quiet(request) => self.change(|state| state.quiet(request.revision)),
            Request::Presign(request) => self.change(|state| state.presign(&request.object)),
            Request::Unpublish(object) => Ok(self.change(|state| state.unpublish(object))),
            Request::Cancel { id } => Ok(Response::Cancelled(self.cancel(host, id).await)),
        }
    }

    fn status(&self, host: usize) -> Outcome {
        let state = self.now();
        Ok(Response::Status(state.nodes[host].status(state.now_ms)))
    }

    fn look(&self, host: usize) -> Preflight {
        let state = self.now();
        let found = state.against.clone().unwrap_or_default();
        let standing = if found.is_empty() { Standing::Ok } else { Standing::Fail };
        let (name, why, advice) = ("clock".into(), String::new(), String::new());
        let facts = Facts {
            hostname: state.nodes[host].name.clone(),
            etcd_prefix: "/registry".into(),
            etcd: EtcdAccess { endpoints: vec![ENDPOINT.into()], ..EtcdAccess::default() },
            members: vec![member(host, state.leader)],
            ..Facts::default()
        };
        Preflight { checks: vec![Check { name, standing, found, why, advice }], facts }
    }

    fn member(&self, host: usize) -> MemberFacts {
        member(host, self.now().leader)
    }

    async fn put_to_sleep(&self, host: usize, request: &SleepRequest) -> Outcome {
        let already = self.change(|state| state.move_away(host, request))?;
        let hangs = self.now().nodes[host].hangs;
        if hangs {
            std::future::pending::<()>().await;
        }
        let stopping = Duration::from_secs(self.now().stop_seconds);
        sleep(stopping).await;
        if self.now().nodes[host].is_stuck {
            sleep(Duration::from_secs(request.wait_seconds) - stopping).await;
            return self.change(|state| {
                let now_ms = state.now_ms;
                state.nodes[host].put_back(now_ms);
                Err(fails(NodeErrorKind::StillRunning, "kube-apiserver did not stop"))
            });
        }
        self.change(|state| {
            let now_ms = state.now_ms;
            let node = &mut state.nodes[host];
            if node.asleep.is_none() {
                return Err(fails(NodeErrorKind::Awake, "it was woken while it fell asleep"));
            }
            node.api_since_ms = None;
            node.quiet_since_ms.get_or_insert(now_ms);
            Ok(slept(node, already))
        })
    }

    async fn wake(&self, host: usize, request: &WakeRequest) -> Outcome {
        let (restored, already) = self.change(|state| state.wake(host, request))?;
        sleep(MOMENT).await;
        Ok(Response::Woken(Woken {
            restored,
            already,
            api_server_runs: Some(true),
            seconds: 0.1,
            warnings: Vec::new(),
        }))
    }

    async fn snapshot(&self, host: usize, request: &SnapshotRequest) -> Outcome {
        if self.at_work("snapshot") > 1 {
            self.change(|state| state.breaks("two snapshots at once"));
        }
        self.change(|state| state.may_save(host, request))?;
        sleep(SAVING).await;
        let number = self.change(|state| {
            state.snaps.push(Snap { revision: state.revision, taken_ms: state.now_ms });
            state.snaps.len() - 1
        });
        if request.rehearsal {
            return Ok(self.change(|state| state.snapshotted(number, request)));
        }
        sleep(REWRITING).await;
        self.change(|state| state.unwritten(number))?;
        let uploading = Duration::from_secs(self.now().upload_seconds);
        sleep(uploading).await;
        self.change(|state| {
            state.objects.insert(request.store.url.clone(), number);
            state.uploads += 1;
            state.say(format_args!("uploaded {} of snapshot {number}", request.store.url));
            state.unwritten(number)?;
            Ok(state.snapshotted(number, request))
        })
    }
}

const ENDPOINT: &str = "https://127.0.0.1:2379";

fn member(host: usize, leader: usize) -> MemberFacts {
    MemberFacts {
        endpoint: ENDPOINT.into(),
        member_id: format!("{host:x}"),
        cluster_id: "c".into(),
        name: Some(format!("etcd-{host}")),
        version: "3.5.9".into(),
        is_leader: host == leader,
        is_learner: false,
        db_size_bytes: 1 << 20,
        db_in_use_bytes: 1 << 20,
        revision: 1000,
        alarms: Vec::new(),
    }
}

fn slept(node: &Node, already: bool) -> Response {
    Response::Slept(Slept {
        moved: node.backup.iter().cloned().collect(),
        left: vec!["etcd.yaml".into()],
        folder: "/etc/kubernetes/manifests".into(),
        backup: "/etc/kubernetes/manifests.backup".into(),
        already,
        seconds: 3.0,
        warnings: Vec::new(),
    })
}

impl State {
    fn check_lock(&self, host: usize, owner: &Owner, take_over: bool) -> Result<(), NodeError> {
        let Some(lock) = &self.nodes[host].lock else { return Ok(()) };
        let is_stale = self.now_ms - lock.seen_ms >= STALE_MS;
        if lock.owner.run == owner.run || (take_over && is_stale) {
            return Ok(());
        }
        Err(fails(NodeErrorKind::Locked, &format!("run {} holds this host", lock.owner.run)))
    }

    fn hold(&mut self, host: usize, owner: &Owner, take_over: bool) -> Result<(), NodeError> {
        self.check_lock(host, owner, take_over)?;
        let now_ms = self.now_ms;
        let lock = &mut self.nodes[host].lock;
        let own = lock.take().filter(|lock| lock.owner.run == owner.run);
        let taken_ms = own.map_or(now_ms, |lock| lock.taken_ms);
        *lock = Some(Lock { owner: owner.clone(), taken_ms, seen_ms: now_ms });
        Ok(())
    }

    /// A call that comes after its run has ended must find the host closed.
    fn own(&mut self, host: usize, owner: &Owner) -> Result<(), NodeError> {
        if self.nodes[host].lock.is_none() {
            return Err(fails(NodeErrorKind::Locked, &format!("run {} has ended", owner.run)));
        }
        self.hold(host, owner, false)
    }

    fn release(&mut self, host: usize, owner: &Owner) -> Result<(), NodeError> {
        self.check_lock(host, owner, false)?;
        let node = &mut self.nodes[host];
        if node.asleep.is_some() && node.fence.is_none() {
            return Err(fails(NodeErrorKind::NotAsExpected, "the host is asleep"));
        }
        (node.lock, node.timer, node.fired) = (None, None, None);
        node.replies.clear();
        node.cancelled.clear();
        Ok(())
    }

    /// Whether it was asleep before.
    fn move_away(&mut self, host: usize, request: &SleepRequest) -> Result<bool, NodeError> {
        let run = request.owner.run.clone();
        self.own(host, &request.owner)?;
        let now_ms = self.now_ms;
        let node = &mut self.nodes[host];
        if let Some(fence) = &node.fence {
            return Err(fenced(fence));
        }
        node.timer = Some((run.clone(), now_ms + request.wake_after_seconds * 1000));
        if node.asleep.is_some() {
            return Ok(true);
        }
        node.backup = node.manifests.iter().filter(|name| *name != "etcd.yaml").cloned().collect();
        node.manifests.retain(|name| name == "etcd.yaml");
        let moved = node.backup.iter().cloned().collect();
        node.asleep = Some(Asleep { run, since_ms: now_ms, moved });
        node.fired = None;
        Ok(false)
    }

    /// What was restored, and whether nothing was asleep.
    fn wake(
        &mut self,
        host: usize,
        request: &WakeRequest,
    ) -> Result<(Vec<String>, bool), NodeError> {
        self.check_lock(host, &request.owner, request.take_over)?;
        if self.nodes[host].lock.is_some() {
            self.hold(host, &request.owner, request.take_over)?;
        }
        if let Some(fence) = self.nodes[host].fence.clone() {
            let is_own = fence.run == request.owner.run;
            if request.lift_fence == LiftFence::No || !is_own {
                return Err(fenced(&fence));
            }
            if request.lift_fence == LiftFence::NeverStarted {
                let live = self.handed_out().filter(|object| self.objects.contains_key(object));
                live.iter().for_each(|it| self.breaks(format!("woken, and {it} can be fetched")));
            }
        }
        let now_ms = self.now_ms;
        let node = &mut self.nodes[host];
        node.fence = None;
        let already = node.asleep.is_none();
        Ok((node.put_back(now_ms), already))
    }

    fn renew(&mut self, host: usize, owner: &Owner, seconds: u64) -> Result<(), NodeError> {
        self.own(host, owner)?;
        let until_ms = self.now_ms + seconds * 1000;
        let node = &mut self.nodes[host];
        if let Some(fence) = &node.fence {
            return Err(fenced(fence));
        }
        if node.fired.is_some() || node.asleep.is_none() {
            return Err(fails(NodeErrorKind::Awake, "nothing of this run sleeps here"));
        }
        node.timer = Some((owner.run.clone(), until_ms));
        Ok(())
    }

    fn fence(&mut self, host: usize, owner: &Owner) -> Result<(), NodeError> {
        self.own(host, owner)?;
        let since_ms = self.now_ms;
        let node = &mut self.nodes[host];
        match &node.fence {
            Some(fence) if fence.run != owner.run => return Err(fenced(fence)),
            None if node.is_awake() => return Err(fails(NodeErrorKind::Awake, "it is awake")),
            _ => {}
        }
        node.timer = None;
        node.fence.get_or_insert(Fence { run: owner.run.clone(), since_ms });
        Ok(())
    }

    fn may_save(&mut self, host: usize, request: &SnapshotRequest) -> Result<(), NodeError> {
        self.own(host, &request.owner)?;
        if request.require_leader && self.leader != host {
            return Err(fails(NodeErrorKind::NotLeader, "the leader is on another host now"));
        }
        Ok(())
    }

    fn unwritten(&self, number: usize) -> Result<(), NodeError> {
        match self.revision == self.snaps[number].revision {
            true => Ok(()),
            false => Err(fails(NodeErrorKind::Written, "somebody wrote beside the snapshot")),
        }
    }

    fn snapshotted(&self, number: usize, request: &SnapshotRequest) -> Response {
        let revision = self.snaps[number].revision;
        Response::Snapshot(Box::new(Snapshotted {
            object: request.store.url.clone(),
            bytes: 1 << 20,
            sha256: format!("{number:064}"),
            revision,
            matched: 100,
            unmatched: 1,
            member: "etcd".into(),
            chosen: "the leader".into(),
            hashkv: Some(1),
            quiet_until: revision,
            quiet: None,
            phases: vec![("save".into(), 5.0), ("upload".into(), 70.0)],
            kept: Vec::new(),
            warnings: Vec::new(),
        }))
    }

    fn bundle(&mut self, host: usize, request: &BundleRequest) -> Outcome {
        self.own(host, &request.owner)?;
        let Response::Presigned(signed) = self.presign(&request.object)? else { unreachable!() };
        if self.revision != request.revision {
            return Err(fails(NodeErrorKind::Written, "somebody wrote after the snapshot"));
        }
        let padding = "k".repeat(self.key_bytes);
        let key = |name: &str| Sensitive::new(format!("s3cr3t-{name}{padding}"));
        Ok(Response::Bundle(Box::new(Bundled {
            bundle: Bundle {
                sakey: key("sakey"),
                sapub: key("sapub"),
                frontcrt: key("frontcrt"),
                frontkey: key("frontkey"),
                oss_url: signed.url,
            },
            extra: None,
            ends_ms: signed.ends_ms,
            probe: signed.probe,
            quiet: serde_json::Value::Null,
            warnings: Vec::new(),
        })))
    }

    fn quiet(&self, revision: i64) -> Outcome {
        match self.revision == revision {
            true => Ok(Response::Quiet),
            false => Err(fails(NodeErrorKind::Written, "somebody wrote after the snapshot")),
        }
    }

    fn presign(&mut self, object: &ObjectAccess) -> Outcome {
        let url = &object.store.url;
        if !self.objects.contains_key(url) {
            return Err(fails(NodeErrorKind::Store, "there is no such object"));
        }
        let url = url.replace("oss://b/", "https://b.oss/");
        let url = format!("{url}?Expires={}&Signature=s3cr3t", self.now_ms - BEGAN_MS);
        let (ends_ms, probe) = (self.now_ms + 2_400_000, "fetched".into());
        let url = Sensitive::new(url);
        Ok(Response::Presigned(Signed { url, ends_ms, probe, warnings: Vec::new() }))
    }

    fn unpublish(&mut self, object: &ObjectAccess) -> Response {
        let found = self.objects.remove(&object.store.url).is_some();
        self.say(format_args!("removed {} ({found})", object.store.url));
        Response::Unpublished("deleted".into())
    }
}
