//! TLS before an address that speaks HTTP in the clear, with certificates made at run time, good and bad ones.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// A certificate authority of this test alone.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// What a server shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shows {
    /// A certificate of the authority for 127.0.0.0/8's first two addresses.
    Good,
    /// The same, until some years ago.
    Expired,
    /// The same, from some years on.
    Early,
    /// One for another name.
    WrongName,
    /// One of an authority that nobody knows.
    UnknownAuthority,
    /// One that it signed itself.
    SelfSigned,
    /// None: it says that it speaks only older versions.
    OldVersion,
}

impl Authority {
    pub fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        static NUMBER: AtomicUsize = AtomicUsize::new(1);
        params.distinguished_name.push(DnType::CommonName, format!("authority {}", NUMBER.fetch_add(1, Ordering::SeqCst)));
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    /// Its certificate as a file, in a folder that must outlive its use.
    pub fn file(&self, folder: &tempfile::TempDir) -> PathBuf {
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, &self.pem).unwrap();
        path
    }

    fn config(&self, shows: Shows) -> ServerConfig {
        let names = if shows == Shows::WrongName { vec!["registry.test"] } else { vec!["127.0.0.1", "127.0.0.2", "localhost"] };
        let mut params = CertificateParams::new(names.into_iter().map(str::to_owned).collect::<Vec<_>>()).unwrap();
        if shows == Shows::Expired {
            (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        }
        if shows == Shows::Early {
            (params.not_before, params.not_after) = (date_time_ymd(3020, 1, 1), date_time_ymd(3021, 1, 1));
        }
        let key = KeyPair::generate().unwrap();
        let signed = match shows {
            Shows::SelfSigned => params.self_signed(&key),
            Shows::UnknownAuthority => params.signed_by(&key, &Authority::new().issuer),
            _ => params.signed_by(&key, &self.issuer),
        };
        let chain = vec![CertificateDer::from(signed.unwrap().der().to_vec())];
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        config.with_no_client_auth().with_single_cert(chain, PrivateKeyDer::try_from(key.serialize_der()).unwrap()).unwrap()
    }
}

/// A running front; it stops when dropped.
pub struct Front {
    address: SocketAddr,
    /// Requests over HTTP/2, and connections over HTTP/1.1.
    pub http2: Arc<AtomicUsize>,
    pub http1: Arc<AtomicUsize>,
    _task: JoinSet<()>,
}

impl Front {
    /// TLS on a free port of the same address, before `behind`.
    pub async fn before(behind: SocketAddr, authority: &Authority, shows: Shows) -> Front {
        let listener = TcpListener::bind((behind.ip(), 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut config = authority.config(shows);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (http2, http1) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let counts = (http2.clone(), http1.clone());
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, counts) = (acceptor.clone(), counts.clone());
                connections.spawn(async move {
                    if shows == Shows::OldVersion {
                        return refuse_version(stream).await;
                    }
                    let Ok(secured) = acceptor.accept(stream).await else { return };
                    match secured.get_ref().1.alpn_protocol() == Some(b"h2") {
                        true => relay_http2(secured, behind, &counts.0).await,
                        false => {
                            counts.1.fetch_add(1, Ordering::SeqCst);
                            relay(secured, behind).await;
                        }
                    }
                });
            }
        });
        Front { address, http2, http1, _task: task }
    }

    pub fn url(&self) -> url::Url {
        format!("https://{}", self.address).parse().unwrap()
    }

    /// Without the slash at its end.
    pub fn origin(&self) -> String {
        format!("https://{}", self.address)
    }
}

async fn relay(mut one: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin, behind: SocketAddr) {
    if let Ok(mut other) = TcpStream::connect(behind).await {
        let _ = tokio::io::copy_bidirectional(&mut one, &mut other).await;
    }
}

/// Each request of an HTTP/2 connection as one of HTTP/1.1.
async fn relay_http2(secured: tokio_rustls::server::TlsStream<TcpStream>, behind: SocketAddr, count: &Arc<AtomicUsize>) {
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let client = client.clone();
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            let (parts, body) = request.into_parts();
            let body = http_body_util::BodyExt::collect(body).await?.to_bytes();
            let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
            let mut headers = parts.headers;
            headers.remove("host");
            let asked = client.request(parts.method, format!("http://{behind}{target}")).headers(headers).body(body);
            let mut reply = asked.send().await.expect("what is behind answers");
            let mut answer = http::Response::builder().status(reply.status());
            answer.headers_mut().unwrap().extend(reply.headers_mut().drain());
            let body = reply.bytes().await.expect("what is behind answers whole");
            Ok::<_, hyper::Error>(answer.body(http_body_util::Full::new(body)).unwrap())
        }
    });
    let io = hyper_util::rt::TokioIo::new(secured);
    let builder = hyper_util::server::conn::auto::Builder::new(hyper_util::rt::TokioExecutor::new()).http2_only();
    let _ = builder.serve_connection(io, service).await;
}

/// A fatal alert: protocol_version.
async fn refuse_version(mut stream: TcpStream) {
    let mut hello = [0; 4096];
    let _ = stream.read(&mut hello).await;
    let _ = stream.write_all(&[21, 3, 1, 0, 2, 2, 70]).await;
    let _ = stream.shutdown().await;
}
