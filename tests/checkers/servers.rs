//! Servers that do what servers do.

use std::future::Future;
use std::net::{SocketAddr, TcpStream as StdStream};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use openssl::asn1::Asn1Time;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::ssl::{AlpnError, Ssl, SslAcceptor, SslMethod, select_next_proto};
use openssl::x509::{X509, X509NameBuilder};
use socket2::{Domain, SockRef, Socket, Type};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinHandle;
use tokio_openssl::SslStream;

/// What a server over TCP does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// As it should.
    Up,
    /// Its port is closed.
    Refused,
    /// Nothing comes back to a SYN.
    Filtered,
    /// Connected by its kernel, never accepted by its program.
    HalfOpen,
    /// Accepts and says nothing.
    Silent,
    /// Accepts and closes.
    Closes,
    /// Accepts and resets.
    Resets,
    /// Resets after half of the answer.
    ResetsMidway,
    /// Closes after half of the answer.
    EndsMidway,
    /// Half of the answer, then silence.
    StallsMidway,
    /// The right answer, a byte at a time, so that it is not through in time.
    Drips,
    /// Bytes of no protocol.
    Garbage,
    /// An answer without end, as fast as it can.
    Huge,
    /// Up, refuses, up.
    Flaps,
}

/// What it says when it is up: at once, then after each thing that it hears.
pub type Words = &'static [&'static [u8]];

/// A running server; it goes when this goes.
pub struct Server {
    pub port: u16,
    task: Option<JoinHandle<()>>,
    pub said: Arc<AtomicU64>,
    /// What must stay open meanwhile.
    _kept: Vec<Socket>,
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Server {
    pub fn of(port: u16, task: impl Future<Output = ()> + Send + 'static) -> Self {
        let mut server = Self::still(port, Vec::new());
        server.task = Some(tokio::spawn(task));
        server
    }

    /// One that only keeps these sockets.
    fn still(port: u16, kept: Vec<Socket>) -> Self {
        Self { port, task: None, said: Arc::default(), _kept: kept }
    }

    /// How many bytes a [`Manner::Huge`] has got rid of.
    pub fn said(&self) -> u64 {
        self.said.load(Ordering::Relaxed)
    }
}

/// A port with nobody behind it; the socket keeps it from others.
fn closed_port(kind: Type) -> (u16, Socket) {
    let socket = Socket::new(Domain::IPV4, kind, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let port = socket.local_addr().unwrap().as_socket().unwrap().port();
    (port, socket)
}

/// A listener that never accepts, its queue filled by `connections`.
fn never_accepts(backlog: i32, connections: usize) -> Server {
    let (port, listener) = closed_port(Type::STREAM);
    listener.listen(backlog).unwrap();
    let mut kept = vec![listener];
    for _ in 0..connections {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        // In progress: the first of them fill the queue, the last hangs.
        let _ = socket.connect(&SocketAddr::from(([127, 0, 0, 1], port)).into());
        kept.push(socket);
    }
    Server::still(port, kept)
}

/// A TCP server that is like this. `tls`: it shakes hands first.
pub async fn stream(manner: Manner, words: Words, tls: Option<Arc<SslAcceptor>>) -> Server {
    match manner {
        Manner::Refused => {
            let (port, socket) = closed_port(Type::STREAM);
            return Server::still(port, vec![socket]);
        }
        Manner::Filtered => return never_accepts(0, 4),
        Manner::HalfOpen => return never_accepts(16, 0),
        _ => {}
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let said = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&said);
    let mut server = Server::of(port, async move {
        let mut connections = Vec::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let number = connections.len();
            let tls = tls.clone();
            let counter = Arc::clone(&counter);
            connections.push(tokio::spawn(connection(stream, manner, words, tls, number, counter)));
        }
    });
    server.said = said;
    server
}

async fn connection(
    stream: TcpStream,
    manner: Manner,
    words: Words,
    tls: Option<Arc<SslAcceptor>>,
    number: usize,
    said: Arc<AtomicU64>,
) {
    if manner == Manner::Resets || (manner == Manner::Flaps && number % 2 == 1) {
        return reset(&stream);
    }
    let raw = stream.as_raw();
    let Some(acceptor) = tls else { return talk(stream, &raw, manner, words, &said).await };
    let ssl = Ssl::new(acceptor.context()).unwrap();
    let mut stream = SslStream::new(ssl, stream).unwrap();
    if Pin::new(&mut stream).accept().await.is_ok() {
        talk(stream, &raw, manner, words, &said).await;
    }
}

/// The same connection, for its options.
trait AsRaw {
    fn as_raw(&self) -> StdStream;
}

impl AsRaw for TcpStream {
    fn as_raw(&self) -> StdStream {
        SockRef::from(self).try_clone().unwrap().into()
    }
}

/// Closing with a zero linger time resets.
fn reset<'a>(stream: impl Into<SockRef<'a>>) {
    stream.into().set_linger(Some(Duration::ZERO)).unwrap();
}

async fn talk(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    raw: &StdStream,
    manner: Manner,
    words: Words,
    said: &AtomicU64,
) {
    let mut heard = [0; 4096];
    match manner {
        Manner::Silent => {
            while stream.read(&mut heard).await.unwrap_or(0) > 0 {}
            return;
        }
        Manner::Closes => return,
        _ => {}
    }
    for (number, word) in words.iter().enumerate() {
        if number > 0 && stream.read(&mut heard).await.unwrap_or(0) == 0 {
            return;
        }
        // The last word is the one that is spoilt, and all of them are where nothing fits.
        if number + 1 < words.len() && manner != Manner::Garbage {
            if stream.write_all(word).await.is_err() || stream.flush().await.is_err() {
                return;
            }
            continue;
        }
        let half = &word[..word.len() / 2];
        let done = match manner {
            Manner::Up | Manner::Flaps => stream.write_all(word).await,
            Manner::ResetsMidway => {
                let _ = stream.write_all(half).await;
                let _ = stream.flush().await;
                // It must have arrived: a reset overtakes what is not read yet.
                tokio::time::sleep(Duration::from_millis(50)).await;
                return reset(raw);
            }
            Manner::EndsMidway => {
                let _ = stream.write_all(half).await;
                let _ = stream.shutdown().await;
                return;
            }
            Manner::StallsMidway => stream.write_all(half).await,
            Manner::Drips => {
                for byte in *word {
                    if stream.write_all(&[*byte]).await.is_err() || stream.flush().await.is_err() {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                Ok(())
            }
            Manner::Garbage => stream.write_all(&b"\x00\xff\x01\xfe\n\r\n\n".repeat(64)).await,
            Manner::Huge => {
                let _ = stream.write_all(word).await;
                let piece = vec![b'x'; 1 << 16];
                while stream.write_all(&piece).await.is_ok() {
                    said.fetch_add(piece.len() as u64, Ordering::Relaxed);
                }
                return;
            }
            other => unreachable!("{other:?}"),
        };
        if done.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
    // Stays until the other side has had enough.
    while stream.read(&mut heard).await.unwrap_or(0) > 0 {}
}

/// Says these bytes to whoever connects, whatever that is; then closes, or stays.
pub async fn says(bytes: &'static [u8], closes: bool) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    Server::of(port, async move {
        let mut open = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(bytes).await;
            if !closes {
                open.push(stream);
            }
        }
    })
}

/// A UDP server: `answer` makes its answers from what it hears, and how long they wait.
pub async fn datagrams(
    answer: impl Fn(usize, &[u8]) -> Vec<Vec<u8>> + Send + 'static,
    wait: Duration,
) -> Server {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    Server::of(port, async move {
        let mut buffer = [0; 2048];
        for number in 0.. {
            let (length, peer) = socket.recv_from(&mut buffer).await.unwrap();
            tokio::time::sleep(wait).await;
            for answer in answer(number, &buffer[..length]) {
                let _ = socket.send_to(&answer, peer).await;
            }
        }
    })
}

/// A UDP port that is closed: told by ICMP. The socket that keeps it from others hears one peer only.
pub fn no_datagrams() -> Server {
    let (port, socket) = closed_port(Type::DGRAM);
    socket.connect(&SocketAddr::from(([127, 0, 0, 1], 9)).into()).unwrap();
    Server::still(port, vec![socket])
}

/// A server's key and certificate, made here.
pub fn acceptor() -> Arc<SslAcceptor> {
    speaks(None)
}

/// The same; over TLS it speaks this protocol, in the form of ALPN, and no other.
pub fn speaks(protocol: Option<&'static [u8]>) -> Arc<SslAcceptor> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_nid(Nid::COMMONNAME, "server").unwrap();
    let name = name.build();
    let mut certificate = X509::builder().unwrap();
    certificate.set_version(2).unwrap();
    certificate.set_subject_name(&name).unwrap();
    certificate.set_issuer_name(&name).unwrap();
    certificate.set_pubkey(&key).unwrap();
    certificate.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    certificate.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
    certificate.sign(&key, MessageDigest::sha256()).unwrap();
    let mut acceptor = SslAcceptor::mozilla_intermediate(SslMethod::tls()).unwrap();
    acceptor.set_private_key(&key).unwrap();
    acceptor.set_certificate(&certificate.build()).unwrap();
    if let Some(protocol) = protocol {
        acceptor.set_alpn_select_callback(move |_, offered| {
            select_next_proto(protocol, offered).ok_or(AlpnError::ALERT_FATAL)
        });
    }
    Arc::new(acceptor.build())
}
