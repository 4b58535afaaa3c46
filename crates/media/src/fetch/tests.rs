//! The fetcher against hostile URLs and a real local server.

use std::{collections::HashMap, sync::Once};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};

use super::*;

/// Names and their addresses; counts nothing, knows nothing else.
#[derive(Debug, Default)]
struct Names(HashMap<&'static str, Vec<&'static str>>);

#[async_trait]
impl Resolver for Names {
    async fn resolve(&self, host: &str) -> std::io::Result<Vec<IpAddr>> {
        let addresses = self.0.get(host).into_iter().flatten();
        Ok(addresses.map(|address| address.parse().expect("an address")).collect())
    }
}

fn choose_tls_provider() {
    static CHOSEN: Once = Once::new();
    CHOSEN.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

fn fetcher(names: &[(&'static str, &[&'static str])], allowed: &[&str]) -> Fetcher {
    choose_tls_provider();
    let names = Names(names.iter().map(|(name, addresses)| (*name, addresses.to_vec())).collect());
    let allow_origins = allowed.iter().map(|url| Origin::of(&Url::parse(url).expect("a URL")).expect("an origin")).collect();
    let config = FetcherConfig { allow_origins, resolver: Arc::new(names), ..FetcherConfig::default() };
    Fetcher::new(config).expect("a fetcher")
}

const SMALL: FetchLimits = FetchLimits { body_bytes_max: 10_000, time_max: Duration::from_secs(10) };

/// A server that answers each path by bytes made for its own port.
struct Server {
    url: String,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(answer: impl Fn(&str, u16) -> Vec<u8> + Send + Sync + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let answer = Arc::new(answer);
    let task = tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let answer = Arc::clone(&answer);
            tokio::spawn(async move {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    match socket.read_u8().await {
                        Ok(byte) => request.push(byte),
                        Err(_) => return,
                    }
                }
                let request = String::from_utf8_lossy(&request).into_owned();
                let path = request.split(' ').nth(1).unwrap_or_default();
                let bytes = answer(path, port);
                if bytes.is_empty() {
                    // Silence: hold the connection until the client gives up.
                    let _ = socket.read_u8().await;
                    return;
                }
                let _ = socket.write_all(&bytes).await;
                let _ = socket.shutdown().await;
            });
        }
    });
    Server { url: format!("http://127.0.0.1:{port}"), task }
}

fn ok(body: &[u8]) -> Vec<u8> {
    let mut answer =
        format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len()).into_bytes();
    answer.extend_from_slice(body);
    answer
}

fn redirect(to: &str) -> Vec<u8> {
    format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").into_bytes()
}

#[tokio::test]
async fn hostile_urls_are_refused_before_a_connection() {
    let names: [(&str, &[&str]); 8] = [
        ("inside.example", &["10.0.0.5"]),
        ("loopback.example", &["127.0.0.1"]),
        ("mixed.example", &["93.184.215.14", "127.0.0.1"]),
        ("mixed6.example", &["2606:4700:4700::1111", "::1"]),
        ("mapped.example", &["::ffff:10.0.0.1"]),
        ("nat64.example", &["64:ff9b::a00:1"]),
        ("metadata.example", &["169.254.169.254"]),
        ("localhost", &["127.0.0.1", "::1"]),
    ];
    let fetcher = fetcher(&names, &["http://127.0.0.1:1"]);
    let cases = [
        ("http://127.0.0.1/", "not_global"),
        ("http://127.1/", "not_global"),
        ("http://2130706433/", "not_global"),
        ("http://0x7f000001/", "not_global"),
        ("http://0x7f.0.0.1/", "not_global"),
        ("http://0177.0.0.1/", "not_global"),
        ("http://017700000001/", "not_global"),
        ("http://0/", "not_global"),
        ("http://0.0.0.0/", "not_global"),
        ("http://10.1.2.3/", "not_global"),
        ("http://172.16.0.1/", "not_global"),
        ("http://192.168.0.1/", "not_global"),
        ("http://169.254.169.254/latest/meta-data/", "not_global"),
        ("http://100.64.0.1/", "not_global"),
        ("http://198.18.0.1/", "not_global"),
        ("http://224.0.0.1/", "not_global"),
        ("http://255.255.255.255/", "not_global"),
        ("http://①②⑦.0.0.1/", "not_global"),
        ("http://127。0。0。1/", "not_global"),
        ("http://127.0.0.1./", "not_global"),
        ("http://[::1]/", "not_global"),
        ("http://[::]/", "not_global"),
        ("http://[::ffff:127.0.0.1]/", "not_global"),
        ("http://[::ffff:7f00:1]/", "not_global"),
        ("http://[::127.0.0.1]/", "not_global"),
        ("http://[64:ff9b::7f00:1]/", "not_global"),
        ("http://[2002:7f00:1::]/", "not_global"),
        ("http://[fe80::1]/", "not_global"),
        ("http://[fd00::1]/", "not_global"),
        ("http://[ff02::1]/", "not_global"),
        ("http://inside.example/", "not_global"),
        ("https://loopback.example/", "not_global"),
        ("http://mixed.example/", "not_global"),
        ("http://mixed6.example/", "not_global"),
        ("http://mapped.example/", "not_global"),
        ("http://nat64.example/", "not_global"),
        ("http://metadata.example/", "not_global"),
        ("http://localhost/", "not_global"),
        ("http://LOCALHOST/", "not_global"),
        ("http://example.org:22/", "port"),
        ("http://example.org:6379/", "port"),
        ("http://127.0.0.1:2/", "port"),
        ("https://127.0.0.1:1/", "port"),
        ("http://user@example.org/", "credentials"),
        ("http://:secret@example.org/", "credentials"),
        ("http://user:secret@127.0.0.1:1/", "credentials"),
        ("file:///etc/passwd", "scheme"),
        ("ftp://example.org/", "scheme"),
        ("gopher://127.0.0.1:6379/_FLUSHALL", "scheme"),
        ("data:text/plain,hello", "scheme"),
        ("javascript:alert(1)", "scheme"),
        ("example.org/picture.jpg", "not_a_url"),
        ("//example.org/", "not_a_url"),
        ("http://", "not_a_url"),
        ("http://exa mple.org/", "not_a_url"),
        ("http://[::1/", "not_a_url"),
        ("", "not_a_url"),
        ("http://nowhere.example/", "unknown_host"),
    ];
    for (url, reason) in cases {
        let refused = fetcher.get(url, SMALL).await.expect_err(url);
        assert_eq!(refused.reason(), reason, "{url}: {refused}");
    }
    let long = format!("http://example.org/{}", "a".repeat(URL_CHARS_MAX));
    assert_eq!(fetcher.get(&long, SMALL).await.expect_err("too long").reason(), "not_a_url");
}

#[tokio::test]
async fn an_allowed_origin_is_fetched_and_its_neighbour_is_not() {
    let own = serve(|path, _| ok(path.as_bytes())).await;
    let neighbour = serve(|_, _| ok(b"secret")).await;
    let fetcher = fetcher(&[], &[&own.url]);
    let fetched = fetcher.get(&format!("{}/a?b", own.url), SMALL).await.expect("our own");
    assert_eq!(fetched.bytes, "/a?b");
    assert_eq!(fetched.content_type.as_deref(), Some("text/plain"));
    assert_eq!(fetched.final_url.path(), "/a");
    assert_eq!(fetcher.get(&neighbour.url, SMALL).await.expect_err("a neighbour").reason(), "port");
}

#[tokio::test]
async fn an_allowed_name_is_resolved_by_the_given_resolver() {
    let own = serve(|_, _| ok(b"ours")).await;
    let named = own.url.replace("127.0.0.1", "pins.example");
    let fetcher = fetcher(&[("pins.example", &["127.0.0.1"])], &[&named]);
    assert_eq!(fetcher.get(&named, SMALL).await.expect("our own").bytes, "ours");
}

#[tokio::test]
async fn every_redirect_is_checked() {
    let secret = serve(|_, _| ok(b"secret")).await;
    let secret_url = secret.url.clone();
    let site = serve(move |path, _| match path {
        "/loopback" => redirect("http://127.0.0.1/"),
        "/neighbour" => redirect(&secret_url),
        "/name" => redirect("http://loopback.example/"),
        "/file" => redirect("file:///etc/passwd"),
        "/user" => redirect("http://user@example.org/"),
        "/nonsense" => redirect("http://"),
        "/once" => redirect("/end"),
        "/end" => ok(b"the end"),
        "/endless" => redirect("/endless"),
        "/gone" => b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_vec(),
        _ => redirect("/loopback"),
    })
    .await;
    let fetcher = fetcher(&[("loopback.example", &["127.0.0.1"])], &[&site.url]);
    let cases = [
        ("/loopback", "not_global"),
        ("/twice", "not_global"),
        ("/neighbour", "port"),
        ("/name", "not_global"),
        ("/file", "scheme"),
        ("/user", "credentials"),
        ("/nonsense", "bad_redirect"),
        ("/endless", "too_many_redirects"),
        ("/gone", "status"),
    ];
    for (path, reason) in cases {
        let refused = fetcher.get(&format!("{}{path}", site.url), SMALL).await.expect_err(path);
        assert_eq!(refused.reason(), reason, "{path}: {refused}");
    }
    let fetched = fetcher.get(&format!("{}/once", site.url), SMALL).await.expect("one redirect");
    assert_eq!((fetched.final_url.path(), &fetched.bytes[..]), ("/end", &b"the end"[..]));
}

#[tokio::test]
async fn a_body_is_cut_at_the_cap_whatever_its_header_says() {
    use std::io::Write as _;
    let site = serve(|path, _| match path {
        "/fits" => ok(&[b'a'; 10_000]),
        "/claims" => b"HTTP/1.1 200 OK\r\ncontent-length: 10001\r\n\r\n".to_vec(),
        "/silent" => {
            let mut answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec();
            answer.extend([b'a'; 50_000]);
            answer
        }
        _ => {
            let mut squeezed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            squeezed.write_all(&vec![b'a'; 5_000_000]).expect("memory");
            let squeezed = squeezed.finish().expect("memory");
            assert!(squeezed.len() < 10_000, "the bomb is small on the wire");
            let mut answer =
                format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", squeezed.len())
                    .into_bytes();
            answer.extend(squeezed);
            answer
        }
    })
    .await;
    let fetcher = fetcher(&[], &[&site.url]);
    assert_eq!(fetcher.get(&format!("{}/fits", site.url), SMALL).await.expect("a body").bytes.len(), 10_000);
    for path in ["/claims", "/silent", "/bomb"] {
        let refused = fetcher.get(&format!("{}{path}", site.url), SMALL).await;
        assert_eq!(refused, Err(FetchError::TooLarge(10_000)), "{path}");
    }
}

#[tokio::test]
async fn one_time_limit_stands_over_the_whole_chain() {
    let site = serve(|path, _| if path == "/first" { redirect("/silence") } else { Vec::new() }).await;
    let fetcher = fetcher(&[], &[&site.url]);
    let limits = FetchLimits { time_max: Duration::from_millis(200), ..SMALL };
    let refused = fetcher.get(&format!("{}/first", site.url), limits).await.expect_err("silence");
    assert_eq!(refused.reason(), "timed_out");
    assert!(refused.is_passing());
}

#[tokio::test]
async fn a_closed_port_is_a_failed_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let fetcher = fetcher(&[], &[&url]);
    assert_eq!(fetcher.get(&url, SMALL).await.expect_err("nobody").reason(), "connection");
}
