use std::sync::{Arc, Mutex, PoisonError, Weak};

use anyhow::Result;
use etcdprefix_testkit::stores::{Key, OssServer, S3Server, Sdk};

/// A server of either kind.
pub enum Server {
    Oss(OssServer),
    S3(S3Server),
}

static OSS: Mutex<Weak<Server>> = Mutex::new(Weak::new());
static S3: Mutex<Weak<Server>> = Mutex::new(Weak::new());

/// Of SeaweedFS: it writes, but reads nothing.
pub fn write_only() -> Key {
    Key::new("AKIAWRITE", "write-s3cr3t-write")
}

/// Of SeaweedFS: it reads, but writes nothing.
pub fn read_only() -> Key {
    Key::new("AKIAREAD", "read-s3cr3t-read")
}

/// Both stores with the same test, one after the other.
#[track_caller]
pub fn both(test: impl Fn(&Arc<Server>)) {
    let (oss, s3) = (Server::oss(), Server::s3());
    test(&oss);
    test(&s3);
}

impl Server {
    /// The one that other tests use too: nobody may change how it behaves.
    pub fn oss() -> Arc<Self> {
        shared(&OSS, || OssServer::start().map(Self::Oss))
    }

    /// The same of SeaweedFS.
    pub fn s3() -> Arc<Self> {
        shared(&S3, || {
            let others: [(Key, &[&str]); 2] =
                [(write_only(), &["Write:bucket"]), (read_only(), &["Read:bucket", "List:bucket"])];
            S3Server::start(&others).map(Self::S3)
        })
    }

    /// One of its own, whose behaviour may be changed.
    pub fn own_oss() -> Arc<Self> {
        Arc::new(Self::Oss(OssServer::start().unwrap()))
    }

    /// The stand-in for OSS.
    pub fn as_oss(&self) -> &OssServer {
        match self {
            Self::Oss(server) => server,
            Self::S3(_) => panic!("this is SeaweedFS"),
        }
    }

    pub fn is_oss(&self) -> bool {
        matches!(self, Self::Oss(_))
    }

    /// The bucket.
    pub fn url(&self) -> &'static str {
        if self.is_oss() { "oss://bucket/" } else { "s3://bucket/" }
    }

    pub fn address(&self) -> &str {
        match self {
            Self::Oss(server) => server.address(),
            Self::S3(server) => server.address(),
        }
    }

    pub fn key(&self) -> &Key {
        match self {
            Self::Oss(server) => server.key(),
            Self::S3(server) => server.key(),
        }
    }

    pub fn sdk(&self) -> Sdk {
        match self {
            Self::Oss(server) => server.sdk(),
            Self::S3(server) => server.sdk(),
        }
    }

    /// How the program's user says where it is.
    pub fn reach(&self, address: &str) -> [(&'static str, String); 2] {
        let url = format!("http://{address}");
        match self {
            Self::Oss(_) => [("OSS_ENDPOINT", url), ("OSS_REGION", OssServer::REGION.into())],
            Self::S3(_) => [("AWS_ENDPOINT_URL_S3", url), ("AWS_REGION", S3Server::REGION.into())],
        }
    }

    /// The variables of a key's id, secret and token.
    pub fn names(&self) -> [&'static str; 3] {
        match self {
            Self::Oss(_) => ["OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET", "OSS_SESSION_TOKEN"],
            Self::S3(_) => ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"],
        }
    }
}

fn shared(of: &Mutex<Weak<Server>>, start: impl FnOnce() -> Result<Server>) -> Arc<Server> {
    let mut of = of.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(server) = of.upgrade() {
        return server;
    }
    let server = Arc::new(start().unwrap());
    *of = Arc::downgrade(&server);
    server
}
