//! A proxy, a Docker that is played by the test, and a client.

use std::sync::Arc;

use api::{DockerHost, DockerServed};
use docker::create::HostnamePolicy;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::dockerd::Dockerd;
use crate::listen::Listener;
use crate::policy::{Policies, Settings};
use crate::proxy::{Shared, serve};
use crate::stream::Stream;
use crate::testing::{Directory, in_time};

/// The proxy between the two
pub(super) struct Setup {
    pub(super) directory: Directory,
    port: DockerServed,
    docker: Option<UnixListener>,
    pub(super) stop: CancellationToken,
    pub(super) serving: JoinHandle<()>,
}

impl Setup {
    pub(super) async fn new() -> Self {
        Self::with(true).await
    }

    /// Without a Docker, or with one
    pub(super) async fn with(docker: bool) -> Self {
        let directory = Directory::new();
        let path = directory.path("docker.sock");
        let settings = Settings {
            default_addresses: true,
            hostname: HostnamePolicy::default(),
            network: "weave".to_owned(),
            dns: false,
            dns_server: None,
            dns_domain: None,
        };
        let weaved = crate::weaved::client(&directory.path("weaved.sock"));
        let shared = Shared {
            docker: Dockerd::new(DockerHost::Unix(path.clone())),
            policies: Arc::new(Policies::new(settings, weaved)),
            rewrite_inspect: true,
        };
        let docker = docker.then(|| UnixListener::bind(&path).unwrap());
        let host = DockerHost::Unix(directory.path("proxy.sock"));
        let socket = Listener::bind(&host, None, None).await.unwrap();
        let any = DockerHost::parse("127.0.0.1:0", 0).unwrap();
        let port = Listener::bind(&any, None, None).await.unwrap();
        let served = port.served();
        let stop = CancellationToken::new();
        let serving = tokio::spawn(serve(vec![socket, port], Arc::new(shared), stop.clone()));
        Self {
            directory,
            port: served,
            docker,
            stop,
            serving,
        }
    }

    /// A client's connection to the proxy
    pub(super) async fn client(&self) -> Peer {
        let path = self.directory.path("proxy.sock");
        Peer(Stream::Unix(UnixStream::connect(path).await.unwrap()))
    }

    /// The same by TCP
    pub(super) async fn client_by_tcp(&self) -> Peer {
        let DockerHost::Tcp { host, port } = &self.port.host else {
            panic!("{:?} is a port", self.port);
        };
        let stream = TcpStream::connect((host.as_str(), *port)).await.unwrap();
        Peer(Stream::Tcp(stream))
    }

    /// The proxy's next connection to Docker, at Docker's end
    pub(super) async fn docker(&self) -> Peer {
        let listener = self.docker.as_ref().unwrap();
        let (stream, _) = in_time("a connection to Docker", listener.accept())
            .await
            .unwrap();
        Peer(Stream::Unix(stream))
    }
}

/// One end of a connection
pub(super) struct Peer(pub(super) Stream);

impl Peer {
    pub(super) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        in_time("writing", self.0.write_all(bytes.as_ref()))
            .await
            .unwrap();
    }

    /// Ends what this side says
    pub(super) async fn end(&mut self) {
        self.0.shutdown().await.unwrap();
    }

    /// Reads a head, with the empty line
    pub(super) async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = in_time("a head", self.0.read_u8()).await;
            match byte {
                Ok(byte) => head.push(byte),
                Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&head)),
            }
        }
        String::from_utf8(head).unwrap()
    }

    /// Reads so many bytes
    pub(super) async fn read(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        in_time("bytes", self.0.read_exact(&mut bytes)).await.unwrap();
        bytes
    }

    /// Reads exactly this
    pub(super) async fn expect(&mut self, text: &str) {
        let read = self.read(text.len()).await;
        assert_eq!(String::from_utf8_lossy(&read), text);
    }

    /// Reads to the end; what was read, and whether the end was a proper one
    pub(super) async fn rest(&mut self) -> (Vec<u8>, bool) {
        let mut bytes = Vec::new();
        let ended = in_time("the end", self.0.read_to_end(&mut bytes)).await;
        (bytes, ended.is_ok())
    }
}
