//! The bridge's own door: its list of sessions, and the removal of one.
//!
//! A bridge that keeps its map in memory writes it whole over the file with every change (read in the original, v1.10), so
//! what leaves the file alone comes back. What is removed here leaves memory and file together.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::value::RawValue;
use ureq::http::StatusCode;

use crate::filesystem::Snapshot;
use crate::interrupt;
use crate::policy::bridge_url::BridgeUrl;

/// A longer list is none of sessions.
const MAX_BYTES: u64 = 256 * 1024 * 1024;
/// More of an answer than this is not worth reading for the connection's sake.
const MAX_UNREAD: u64 = 64 * 1024;
/// How many times its time limit one step with a bridge may take: connecting, sending and the first of an answer are one
/// each, and done at once; a long list may take longer than its first byte.
pub(crate) const LONGEST_STEP: u32 = 5;
/// A longer token is none.
const MAX_TOKEN: u64 = 64 * 1024;
/// A longer request is refused by common servers before anybody looks at it.
const MAX_ENCODED: usize = 4_000;
/// Whatever else is encoded, these need not be (RFC 3986: unreserved).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// How to reach a bridge.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Door<'d> {
    pub(crate) url: &'d BridgeUrl,
    /// The file whose text is the bearer token.
    pub(crate) token_file: Option<&'d Path>,
    /// For each step: connecting, and getting an answer.
    pub(crate) timeout: Duration,
}

/// A bridge that accepts connections.
pub(crate) struct Bridge {
    agent: ureq::Agent,
    url: BridgeUrl,
    /// The value of the header `Authorization`.
    authorization: Option<String>,
}

/// Why a bridge cannot be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BridgeError {
    /// Whether it runs cannot even be told.
    #[error("the bridge {url} cannot be reached: {cause}; nothing was written{}", advice(cause))]
    Unreachable { url: String, cause: io::Error },
    /// It accepted the connection and then did not answer, or broke off.
    #[error("the bridge {url} did not answer {request}: {cause}; {done}, try again")]
    Silent { url: String, request: &'static str, cause: Box<ureq::Error>, done: Progress },
    /// It answered what no bridge that we know would.
    #[error("the bridge {url} answered {request} with {what}; {done}")]
    NotUnderstood { url: String, request: &'static str, what: String, done: Progress },
    /// The token cannot be used.
    #[error("bridge.token_file {}: {why}; nothing was written", path.display())]
    Token { path: PathBuf, why: String },
}

/// How far a run had come when something failed it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) removed: usize,
    /// So many more were asked for without an answer.
    pub(crate) unsure: usize,
}

impl std::fmt::Display for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self { removed: 0, unsure: 0 } => f.write_str("nothing was written"),
            Self { removed, unsure: 0 } => write!(f, "{removed} had been removed by then, the others stay"),
            Self { removed, unsure } => {
                write!(f, "{removed} had been removed by then; of {unsure} it is not known, the others stay")
            }
        }
    }
}

/// What the bridge said to a removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removal {
    /// It is gone, or was gone already.
    Gone,
    /// It stays.
    Refused,
}

/// The list of sessions, whatever else stands in the answer.
#[derive(Deserialize)]
struct Listing<'a> {
    #[serde(borrow)]
    sessions: &'a RawValue,
}

impl Bridge {
    /// Connects. `None` when nobody listens there: the bridge is down.
    pub(crate) fn open(door: Door<'_>) -> Result<Option<Self>, BridgeError> {
        let authorization = door.token_file.map(authorization).transpose()?;
        let Some(url) = listening(door)? else { return Ok(None) };
        let timeout = Some(door.timeout);
        let config = ureq::Agent::config_builder()
            .timeout_connect(timeout)
            .timeout_send_request(timeout)
            .timeout_recv_response(timeout)
            .timeout_recv_body(timeout.map(|timeout| timeout * LONGEST_STEP))
            // What another machine answers in its place is not this bridge.
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .user_agent(concat!("session-sweep/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Some(Self { agent: config.into(), url, authorization }))
    }

    /// The JSON text of the sessions that the bridge remembers: what it would write into its map.
    pub(crate) fn sessions(&self) -> Result<Vec<u8>, BridgeError> {
        const REQUEST: &str = "GET /sessions";
        let request = self.agent.get(self.url.route("/sessions"));
        interrupt::mark();
        let mut answer = self.authorized(request).call().map_err(|cause| self.silent(REQUEST, cause))?;
        interrupt::mark();
        if answer.status() != StatusCode::OK {
            return Err(self.not_understood(REQUEST, self.status_text(answer.status())));
        }
        let body = answer.body_mut().with_config().limit(MAX_BYTES).read_to_vec();
        let body = body.map_err(|cause| self.silent(REQUEST, cause))?;
        // A derived reader takes a list for an object, too.
        let is_object = body.trim_ascii_start().starts_with(b"{");
        let listing: Listing<'_> = serde_json::from_slice(if is_object { &body } else { b"" })
            .map_err(|error| self.not_understood(REQUEST, format!("no JSON object with `sessions` in it ({error})")))?;
        Ok(listing.sessions.get().as_bytes().to_vec())
    }

    /// Removes one mapping from the bridge's memory and file.
    pub(crate) fn remove(&self, model: Option<&str>, chat: &str) -> Result<Removal, BridgeError> {
        const REQUEST: &str = "DELETE /sessions/…";
        let request = self.agent.delete(self.url.route(&route(model, chat)));
        interrupt::mark();
        let mut answer = self.authorized(request).call().map_err(|cause| self.silent(REQUEST, cause))?;
        interrupt::mark();
        // Nothing in it matters; read to its end, the connection serves for the next request.
        let _ = answer.body_mut().with_config().limit(MAX_UNREAD).read_to_vec();
        match answer.status() {
            // Not found: whoever removed it, it is not there any more.
            StatusCode::OK | StatusCode::NO_CONTENT | StatusCode::NOT_FOUND => Ok(Removal::Gone),
            StatusCode::BAD_REQUEST => Ok(Removal::Refused),
            status => Err(self.not_understood(REQUEST, self.status_text(status))),
        }
    }

    /// An error about the list of sessions, which came and is none.
    pub(crate) fn not_a_map(&self, why: &str) -> BridgeError {
        self.not_understood("GET /sessions", format!("a list that is not understood ({why})"))
    }

    fn authorized<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        match &self.authorization {
            Some(authorization) => request.header("Authorization", authorization),
            None => request,
        }
    }

    fn status_text(&self, status: StatusCode) -> String {
        let hint = match (status, &self.authorization) {
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, None) => "; it wants a token: set bridge.token_file",
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, Some(_)) => "; is bridge.token_file the right one?",
            (status, _) if status.is_redirection() => "; name the address where it really listens",
            _ => "",
        };
        format!("status {status}{hint}")
    }

    fn silent(&self, request: &'static str, cause: ureq::Error) -> BridgeError {
        BridgeError::Silent { url: self.url.to_string(), request, cause: Box::new(cause), done: Progress::default() }
    }

    fn not_understood(&self, request: &'static str, what: String) -> BridgeError {
        BridgeError::NotUnderstood { url: self.url.to_string(), request, what, done: Progress::default() }
    }
}

impl BridgeError {
    /// The same, after so much had been done.
    pub(crate) fn after(mut self, progress: Progress) -> Self {
        if let Self::Silent { done, .. } | Self::NotUnderstood { done, .. } = &mut self {
            *done = progress;
        }
        self
    }
}

/// Whether a mapping can be named in a URL. A server takes `/` in a chat's id for a separator, encoded or not, and a dot
/// for a folder; an empty model may be taken for none, which stands for all.
pub(crate) fn can_address(model: Option<&str>, chat: &str) -> bool {
    model != Some("") && !matches!(chat, "" | "." | "..") && !chat.contains('/') && encoded(chat).len() <= MAX_ENCODED
}

fn route(model: Option<&str>, chat: &str) -> String {
    let chat = encoded(chat);
    match model {
        Some(model) => format!("/sessions/{chat}?model={}", encoded(model)),
        None => format!("/sessions/{chat}"),
    }
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// The URL with an address on which somebody accepts connections; none when nobody does.
fn listening(door: Door<'_>) -> Result<Option<BridgeUrl>, BridgeError> {
    let unreachable = |cause| BridgeError::Unreachable { url: door.url.to_string(), cause };
    let port = door.url.port();
    let addresses: Vec<SocketAddr> = if door.url.is_localhost() {
        // Whatever the machine's tables of names say.
        vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]
    } else {
        (door.url.host(), port).to_socket_addrs().map_err(unreachable)?.collect()
    };
    for address in addresses {
        interrupt::mark();
        match TcpStream::connect_timeout(&address, door.timeout) {
            Ok(_) if door.url.is_localhost() => return Ok(Some(door.url.at(address))),
            Ok(_) => return Ok(Some(door.url.clone())),
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::TimedOut) => {}
            // A machine, or a service, may have no IPv6 at all.
            Err(_) if door.url.is_localhost() && address.is_ipv6() => {}
            Err(error) => return Err(unreachable(error)),
        }
    }
    Ok(None)
}

fn authorization(path: &Path) -> Result<String, BridgeError> {
    let refused = |why: String| BridgeError::Token { path: path.to_owned(), why };
    let file = Snapshot::open(path, MAX_TOKEN).map_err(|error| refused(error.to_string()))?;
    let text = String::from_utf8_lossy(file.bytes());
    let token = text.trim();
    if token.is_empty() || token.contains(|letter: char| !letter.is_ascii_graphic()) {
        return Err(refused("it must hold one token, in one line of visible ASCII characters".to_owned()));
    }
    Ok(format!("Bearer {token}"))
}

fn advice(error: &io::Error) -> &'static str {
    let forbidden = [libc::EAFNOSUPPORT, libc::EPERM, libc::EACCES];
    match error.raw_os_error() {
        Some(code) if forbidden.contains(&code) => {
            "; is this a service whose unit allows no network? Run install.sh again with --bridge-url"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::TcpListener;
    use std::time::Duration;

    use super::{Bridge, Door, Removal, can_address, route};
    use crate::interrupt;

    #[test]
    fn each_step_with_a_bridge_is_a_sign_of_life() {
        const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\nConnection: close\r\n\r\n{\"sessions\": 1}";
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let door = Door { url: &url, token_file: None, timeout: Duration::from_secs(60) };
        // Nobody waits for it: where an assertion fails it is not connected to again.
        std::thread::spawn(move || {
            // The first connection only shows that somebody listens.
            for mut connection in listener.incoming().take(3).map(Result::unwrap) {
                let _ = connection.write_all(ANSWER);
                let _ = std::io::copy(&mut connection, &mut std::io::sink());
            }
        });
        let mut steps = interrupt::steps_of_test();
        let mut took = |least: u64| {
            let before = std::mem::replace(&mut steps, interrupt::steps_of_test());
            assert!(steps >= before + least, "{} of {least}", steps - before);
        };
        let bridge = Bridge::open(door).unwrap().unwrap();
        took(1);
        assert_eq!(bridge.sessions().unwrap(), b"1");
        took(2);
        assert_eq!(bridge.remove(None, "chat").unwrap(), Removal::Gone);
        took(2);
    }

    #[test]
    fn ids_become_one_segment_whatever_they_are() {
        for (model, chat, wanted) in [
            (Some("claude-cli"), "0856b851", "/sessions/0856b851?model=claude-cli"),
            (Some("a&b=c"), "x y?#%\\é\n", "/sessions/x%20y%3F%23%25%5C%C3%A9%0A?model=a%26b%3Dc"),
            (None, "-_.~", "/sessions/-_.~"),
        ] {
            assert_eq!(route(model, chat), wanted);
        }
    }

    #[test]
    fn what_a_server_would_take_for_something_else_cannot_be_addressed() {
        for chat in ["", ".", "..", "a/b", "/", &"x".repeat(4_001), &"é".repeat(700)] {
            assert!(!can_address(None, chat), "{chat}");
        }
        for chat in ["a", "...", "a\\b", "%2F", "é", &"x".repeat(4_000)] {
            assert!(can_address(Some("m"), chat), "{chat}");
        }
        assert!(!can_address(Some(""), "a"));
    }
}
