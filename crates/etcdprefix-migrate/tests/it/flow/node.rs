//! Steps on a host: the same id is the same step, which goes on whoever asked for it.

use std::sync::Arc;
use std::time::Duration;

use etcdprefix_migrate::protocol::{Call, Reply, Request, Response};
use etcdprefix_migrate::{NodeError, NodeErrorKind};
use tokio::time::{sleep, timeout};

use super::host::what;
use super::world::{Node, World};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// For sleep to put everything back.
const PUTTING_BACK: Duration = Duration::from_secs(1);

impl World {
    /// Does a step. One that runs on by itself is done once, and everybody who asks for it gets its end.
    pub async fn serve(self: &Arc<Self>, host: usize, call: Call) -> Reply {
        if !runs_on(&call.request) {
            let world = Arc::clone(self);
            // On the host, too, it ends whether or not anybody waits.
            let work = tokio::spawn(async move {
                let limit = Duration::from_secs(call.limit_seconds);
                let outcome = timeout(limit, world.perform(host, &call)).await;
                reply(outcome.unwrap_or_else(|_| Err(out_of_time())))
            });
            return work.await.unwrap();
        }
        if self.now().nodes[host].cancelled.contains(&call.id) {
            return reply(Err(cancelled()));
        }
        let (id, request) = (call.id.clone(), identity(&call.request));
        let json = serde_json::to_string(&call).unwrap();
        let is_new = self.change(|state| {
            let node = &mut state.nodes[host];
            node.forget_outdated(&call);
            if node.replies.contains_key(&id) || node.running.contains_key(&id) {
                return false;
            }
            node.running.insert(id.clone(), json);
            true
        });
        if is_new {
            self.begin(host, call);
        }
        let (of, reply) = self.answer(host, &id).await;
        match of == request {
            true => reply,
            false => Reply::Failed(NodeError::new(NodeErrorKind::Usage, "of another request")),
        }
    }

    fn begin(self: &Arc<Self>, host: usize, call: Call) {
        let (world, id) = (Arc::clone(self), call.id.clone());
        let task = tokio::spawn(async move {
            let limit = Duration::from_secs(call.limit_seconds);
            let outcome = timeout(limit, world.perform(host, &call)).await;
            // Killed at its limit it leaves everything as it is.
            let outcome = outcome.unwrap_or_else(|_| Err(out_of_time()));
            world.end(host, &call, outcome);
        });
        self.tasks.lock().unwrap().insert((host, id), task.abort_handle());
    }

    fn end(&self, host: usize, call: &Call, outcome: Result<Response, NodeError>) {
        let id = &call.id;
        self.tasks.lock().unwrap().remove(&(host, id.clone()));
        self.change(|state| {
            let name = state.nodes[host].name.clone();
            if let Err(error) = &outcome {
                state.say(format_args!("{name}: {id} failed: {error}"));
            }
            state.nodes[host].running.remove(id);
            let done = (identity(&call.request), reply(outcome));
            state.nodes[host].replies.insert(id.clone(), done);
        });
        self.ended.notify_waiters();
    }

    async fn answer(&self, host: usize, id: &str) -> (String, Reply) {
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            let reply = self.now().nodes[host].replies.get(id).cloned();
            match reply {
                Some(reply) => return reply,
                None => timeout(DAY, ended).await.expect("a step never ends"),
            }
        }
    }

    /// Whether it was at work. What has not begun may not begin any more.
    pub async fn cancel(&self, host: usize, id: &str) -> bool {
        let task = self.tasks.lock().unwrap().remove(&(host, id.to_owned()));
        let json = self.now().nodes[host].running.get(id).cloned();
        let (Some(task), Some(json)) = (task, json) else {
            self.change(|state| state.nodes[host].cancelled.insert(id.to_owned()));
            return false;
        };
        task.abort();
        sleep(PUTTING_BACK).await;
        let call: Call = serde_json::from_str(&json).unwrap();
        self.abandon(host, &call);
        self.end(host, &call, Err(cancelled()));
        true
    }

    /// What a step that is ended leaves: only sleep has begun anything.
    fn abandon(&self, host: usize, call: &Call) {
        let Request::Sleep(request) = &call.request else { return };
        self.change(|state| {
            let now_ms = state.now_ms;
            let node = &mut state.nodes[host];
            let is_ours = node.asleep.as_ref().is_some_and(|it| it.run == request.owner.run);
            if is_ours && node.fence.is_none() {
                node.put_back(now_ms);
                let text = format!("{}: sleep was ended and put everything back", node.name);
                state.say(text);
            }
        });
    }

    /// Goes on with what was at work when the state was told.
    pub fn go_on(self: &Arc<Self>) {
        let running: Vec<_> = {
            let state = self.now();
            let nodes = state.nodes.iter().enumerate();
            nodes
                .flat_map(|(host, node)| node.running.values().map(move |it| (host, it.clone())))
                .collect()
        };
        for (host, json) in running {
            self.begin(host, serde_json::from_str(&json).unwrap());
        }
    }

    /// How many steps of a kind are at work.
    pub fn at_work(&self, kind: &str) -> usize {
        let state = self.now();
        let running = state.nodes.iter().flat_map(|node| node.running.values());
        let calls = running.filter_map(|json| serde_json::from_str::<Call>(json).ok());
        calls.filter(|call| what(&call.request) == kind).count()
    }
}

impl Node {
    /// A reply that does not tell any more how the host is: what was woken must sleep again.
    fn forget_outdated(&mut self, call: &Call) {
        let Some((_, Reply::Done(_))) = self.replies.get(&call.id) else { return };
        let is_current = match &call.request {
            Request::Sleep(request) => {
                let sleeps = self.asleep.as_ref().is_some_and(|it| it.run == request.owner.run);
                sleeps && self.fired.is_none()
            }
            Request::Wake(_) => self.asleep.is_none(),
            _ => true,
        };
        if !is_current {
            self.replies.remove(&call.id);
        }
    }
}

fn runs_on(request: &Request) -> bool {
    matches!(request, Request::Sleep(_) | Request::Wake(_) | Request::Snapshot(_))
}

/// Whoever asks once more is another process, and says so in its owner.
fn identity(request: &Request) -> String {
    let mut request = request.clone();
    let owner = match &mut request {
        Request::Sleep(request) => &mut request.owner,
        Request::Wake(request) => &mut request.owner,
        Request::Snapshot(request) => &mut request.owner,
        _ => return String::new(),
    };
    owner.by.clear();
    serde_json::to_string(&request).unwrap()
}

fn reply(outcome: Result<Response, NodeError>) -> Reply {
    match outcome {
        Ok(response) => Reply::Done(Box::new(response)),
        Err(error) => Reply::Failed(error),
    }
}

fn cancelled() -> NodeError {
    NodeError::new(NodeErrorKind::Interrupted, "cancelled")
}

fn out_of_time() -> NodeError {
    NodeError::new(NodeErrorKind::OutOfTime, "ended at its limit")
}
