//! A connection to one member: never to several, of which a client library would choose at random.

mod failures;
mod plain;
mod tls;
mod verifier;

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use etcd_client::{Channel, Client, ConnectOptions};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::Uri;

use crate::endpoint::{Endpoint, Security};
use crate::error::{Error, Failure, Result};

pub(crate) use failures::of_request;
use plain::Plain;
pub use tls::{Pin, TlsOptions};

/// Servers drop a client that pings more often than every 5 s (etcd's `--grpc-keepalive-min-time`);
/// Go's client, too, raises what is asked for to this.
const KEEPALIVE_MIN: Duration = Duration::from_secs(10);

/// How a connection without TLS ended on which the member never said anything.
pub(crate) const UNHEARD: &str = "before any answer";

/// A stream of megabytes a millisecond starves on HTTP/2's 64 KiB.
const WINDOW_BYTES: u32 = 4 << 20;

/// For what a member says unasked after the handshake.
const FIRST_WORD_LIMIT: Duration = Duration::from_millis(500);

/// How members are talked to.
#[derive(Clone)]
pub struct ClientOptions {
    /// Certificates.
    pub tls: TlsOptions,
    /// Name and password, where authentication is enabled; ignored where it is not.
    pub user: Option<(String, String)>,
    /// For connecting, TLS included. Default 2 s, as etcdctl.
    pub dial_timeout: Duration,
    /// For one answer that costs the member nothing, such as its status. Default 5 s, as etcdctl.
    pub request_timeout: Duration,
    /// Between pings of an idle connection; below 10 s it is 10 s. Default 10 s.
    pub keepalive_time: Duration,
    /// For the answer to a ping. Default 6 s, as etcdctl.
    pub keepalive_timeout: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            tls: TlsOptions::default(),
            user: None,
            dial_timeout: Duration::from_secs(2),
            request_timeout: Duration::from_secs(5),
            keepalive_time: KEEPALIVE_MIN,
            keepalive_timeout: Duration::from_secs(6),
        }
    }
}

/// Without the password.
impl fmt::Debug for ClientOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.user.as_ref().map(|(name, _)| name);
        f.debug_struct("ClientOptions").field("user", &user).finish_non_exhaustive()
    }
}

/// Connects to members, all in the same way.
#[derive(Clone)]
pub struct Dialer {
    options: Arc<ClientOptions>,
    tls: Arc<rustls::ClientConfig>,
    server_name: Option<ServerName<'static>>,
}

impl Dialer {
    /// Reads the certificates.
    ///
    /// # Errors
    /// [`Error::File`] and [`Error::Usage`] about TLS.
    pub fn new(options: ClientOptions) -> Result<Self> {
        let tls = Arc::new(options.tls.config()?);
        let server_name = options.tls.server_name.clone().map(|name| {
            let wrong = || Error::Usage(format!("{name:?} is no name of a server"));
            ServerName::try_from(name.clone()).map_err(|_| wrong())
        });
        Ok(Self { server_name: server_name.transpose()?, options: Arc::new(options), tls })
    }

    /// The options.
    pub fn options(&self) -> &ClientOptions {
        &self.options
    }

    /// Whether passwords and data go to that endpoint in clear.
    pub fn is_plain(&self, endpoint: &Endpoint) -> bool {
        match endpoint.security() {
            Security::Plain => true,
            Security::Tls => false,
            Security::Unsaid => !self.options.tls.is_any(),
        }
    }

    /// Connects, and logs in if there is a user.
    ///
    /// # Errors
    /// What kept the member from it.
    pub async fn dial(&self, endpoint: &Endpoint) -> Result<Connection, Failure> {
        self.log_in(&self.dial_anonymously(endpoint).await?).await
    }

    /// Connects only: enough for a status.
    ///
    /// # Errors
    /// What kept the member from it.
    pub async fn dial_anonymously(&self, endpoint: &Endpoint) -> Result<Connection, Failure> {
        let heard = Arc::new(AtomicBool::new(!self.is_plain(endpoint)));
        let channel = self.channel(endpoint, &heard).await?;
        let client = self.client(&channel, ConnectOptions::new()).await?;
        let request_timeout = self.options.request_timeout;
        Ok(Connection { endpoint: endpoint.clone(), channel, client, request_timeout, heard })
    }

    /// The same connection after the user has logged in, if there is one.
    ///
    /// # Errors
    /// What kept the member from it; without quorum it is [`Failure::Silent`].
    pub async fn log_in(&self, connection: &Connection) -> Result<Connection, Failure> {
        let Some((name, password)) = &self.options.user else { return Ok(connection.clone()) };
        let options = ConnectOptions::new().with_user(name, password).with_auto_token_refresh(true);
        match self.client(&connection.channel, options).await {
            Ok(client) => Ok(Connection { client, ..connection.clone() }),
            // A line written for a cluster with users goes on to work on one without, as with etcdctl.
            Err(Failure::Server(why)) if why.contains("authentication is not enabled") => {
                Ok(connection.clone())
            }
            Err(failure) => Err(failure),
        }
    }

    async fn channel(
        &self,
        endpoint: &Endpoint,
        heard: &Arc<AtomicBool>,
    ) -> Result<Channel, Failure> {
        // The scheme only names what is inside; TLS is the connector's work.
        let url = format!("http://{}", endpoint.authority());
        let target = tonic::transport::Endpoint::from_shared(url);
        let target = target.map_err(|error| Failure::Unreachable(error.to_string()))?;
        let target = target
            .http2_keep_alive_interval(self.options.keepalive_time.max(KEEPALIVE_MIN))
            .keep_alive_timeout(self.options.keepalive_timeout)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES * 2);
        let this = (self.clone(), endpoint.clone(), heard.clone());
        let connector = tower::service_fn(move |_: Uri| {
            let (dialer, endpoint, heard) = this.clone();
            async move { dialer.open(&endpoint, heard).await.map(TokioIo::new) }
        });
        let connected = target.connect_with_connector(connector).await;
        connected.map(Channel::Tonic).map_err(|error| failures::of_connecting(&error))
    }

    /// Opens the connection's bytes, within the time for dialling.
    async fn open(
        &self,
        endpoint: &Endpoint,
        heard: Arc<AtomicBool>,
    ) -> Result<Box<dyn Stream>, Failure> {
        let limit = self.options.dial_timeout;
        let opened = tokio::time::timeout(limit, self.open_patiently(endpoint, heard)).await;
        opened.unwrap_or_else(|_| {
            Err(Failure::Unreachable(format!("no connection within {limit:?}")))
        })
    }

    async fn open_patiently(
        &self,
        endpoint: &Endpoint,
        heard: Arc<AtomicBool>,
    ) -> Result<Box<dyn Stream>, Failure> {
        let tcp = TcpStream::connect((endpoint.host(), endpoint.port())).await;
        let tcp = tcp.map_err(|error| Failure::Unreachable(error.to_string()))?;
        tcp.set_nodelay(true).ok();
        if self.is_plain(endpoint) {
            return Ok(Box::new(Plain::new(tcp, heard)));
        }
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => ServerName::try_from(endpoint.host().to_owned())
                .map_err(|_| Failure::Tls("the host is no name of a server".into()))?,
        };
        let certified = self.options.tls.cert.is_some();
        let tls = TlsConnector::from(self.tls.clone()).connect(name, tcp).await;
        let mut tls = tls.map_err(|error| failures::of_handshake(&error, certified))?;
        let word = first_word(&mut tls).await;
        word.map_err(|error| failures::of_first_word(&error, certified))?;
        Ok(Box::new(tls))
    }

    async fn client(&self, channel: &Channel, options: ConnectOptions) -> Result<Client, Failure> {
        let client = Client::from_channel(channel.clone(), Some(options));
        within(self.options.request_timeout, client).await
    }
}

/// Waits for what the member says first. If it doesn't accept our certificate that is an alert after the
/// handshake of TLS 1.3, which gets lost if we go on writing to a connection that it has closed by then.
/// etcd says something unasked (the settings of HTTP/2), but what stands before it need not.
async fn first_word(tls: &mut TlsStream<TcpStream>) -> io::Result<()> {
    let word = poll_fn(|context| {
        pin::Pin::new(&mut *tls).poll_fill_buf(context).map_ok(|bytes| !bytes.is_empty())
    });
    match tokio::time::timeout(FIRST_WORD_LIMIT, word).await {
        Ok(Ok(false)) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(Err(error)) => Err(error),
        Ok(Ok(true)) | Err(_) => Ok(()),
    }
}

/// Bytes to and from a member.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// An open connection to one member.
#[derive(Clone)]
pub struct Connection {
    endpoint: Endpoint,
    channel: Channel,
    client: Client,
    request_timeout: Duration,
    /// Whether the member ever said anything, if there is no TLS; with TLS it did.
    heard: Arc<AtomicBool>,
}

impl Connection {
    /// Where it leads.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The client library's own client.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Waits for one answer that costs the member nothing.
    ///
    /// # Errors
    /// What kept the member from it.
    pub async fn ask<T>(
        &self,
        request: impl Future<Output = Result<T, etcd_client::Error>>,
    ) -> Result<T, Failure> {
        match within(self.request_timeout, request).await {
            Err(Failure::Broken(why)) if !self.heard.load(Ordering::Relaxed) => {
                let perhaps = "this may be no etcd, or perhaps it speaks TLS, and an https:// endpoint would fit";
                Err(Failure::Broken(format!("{why} {UNHEARD}; {perhaps}")))
            }
            answer => answer,
        }
    }
}

/// Waits for an answer so long; the client library bounds only its beginning.
pub(crate) async fn within<T>(
    limit: Duration,
    request: impl Future<Output = Result<T, etcd_client::Error>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(limit, request).await {
        Ok(answer) => answer.map_err(|error| failures::of_request(&error)),
        Err(_) => Err(Failure::Silent(limit)),
    }
}

/// So that the channel hands our own failures through.
impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        Self::other(failure)
    }
}
