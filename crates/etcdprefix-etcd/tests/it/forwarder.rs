//! A way to a server that can be cut.

use anyhow::Result;
use etcdprefix_etcd::Endpoint;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Forwards connections while it is open; ends with its value.
pub struct Forwarder {
    endpoint: Endpoint,
    open: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Forwarder {
    /// Leads to a server's URL.
    pub async fn to(url: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = listener.local_addr()?.to_string().parse()?;
        let open = watch::Sender::new(true);
        let target = url.trim_start_matches("http://").to_owned();
        let task = tokio::spawn(accept(listener, target, open.clone()));
        Ok(Self { endpoint, open, task })
    }

    /// Where it listens.
    pub fn endpoint(&self) -> Endpoint {
        self.endpoint.clone()
    }

    /// Connections that are open.
    pub fn connections(&self) -> usize {
        self.open.receiver_count()
    }

    /// Cuts all connections and refuses new ones.
    pub fn cut(&self) {
        self.open.send_replace(false);
    }

    /// Lets new connections through.
    pub fn mend(&self) {
        self.open.send_replace(true);
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.task.abort();
        self.cut();
    }
}

async fn accept(listener: TcpListener, target: String, open: watch::Sender<bool>) {
    while let Ok((mut near, _)) = listener.accept().await {
        let mut state = open.subscribe();
        if !*state.borrow_and_update() {
            continue;
        }
        let target = target.clone();
        tokio::spawn(async move {
            let Ok(mut far) = TcpStream::connect(target).await else { return };
            tokio::select! {
                _ = copy_bidirectional(&mut near, &mut far) => {}
                _ = state.changed() => {}
            }
        });
    }
}
