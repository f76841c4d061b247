//! A bridge as the original is (claudeRemote, v1.10): the map is read once, lives in memory, and is written whole over
//! the file with every change, without a lock. Its door is HTTP on loopback.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

/// What a request is answered with instead of what the bridge would say.
pub(crate) enum Instead {
    /// This status and body.
    Answer(u16, String),
    /// Nothing: the connection is closed in the middle.
    HangUp,
    /// Nothing, for longer than anybody waits.
    Silence,
    /// An answer that goes on for ever, a byte at a time.
    Trickle,
}

type Trick = Box<dyn FnMut(&str, &mut Value) -> Option<Instead> + Send>;

struct State {
    memory: Value,
    file: PathBuf,
    requests: Vec<String>,
    authorizations: Vec<Option<String>>,
    trick: Trick,
    stopping: bool,
}

/// A running bridge; it ends when this is dropped.
pub(crate) struct Bridge {
    state: Arc<Mutex<State>>,
    address: SocketAddr,
    listener: Option<JoinHandle<()>>,
    /// How many requests wait to be answered.
    waiting: Arc<AtomicUsize>,
}

impl Bridge {
    /// Reads the map, once.
    pub(crate) fn start(file: PathBuf) -> Self {
        let memory = serde_json::from_str(&fs_err::read_to_string(&file).unwrap()).unwrap();
        let state = State {
            memory,
            file,
            requests: Vec::new(),
            authorizations: Vec::new(),
            trick: Box::new(|_, _| None),
            stopping: false,
        };
        let state = Arc::new(Mutex::new(state));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let waiting = Arc::new(AtomicUsize::new(0));
        let (shared, counted) = (Arc::clone(&state), Arc::clone(&waiting));
        let accepting = std::thread::spawn(move || {
            for connection in listener.incoming() {
                if shared.lock().unwrap().stopping {
                    return;
                }
                let (shared, counted) = (Arc::clone(&shared), Arc::clone(&counted));
                std::thread::spawn(move || serve(&connection.unwrap(), &shared, &counted));
            }
        });
        Self { state, address, listener: Some(accepting), waiting }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it remembers.
    pub(crate) fn memory(&self) -> Value {
        self.state.lock().unwrap().memory.clone()
    }

    /// Every request so far, its line without the version.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.state.lock().unwrap().requests.clone()
    }

    /// The headers `Authorization` so far.
    pub(crate) fn authorizations(&self) -> Vec<Option<String>> {
        self.state.lock().unwrap().authorizations.clone()
    }

    /// Answers otherwise where `trick` says so; it is given `GET /sessions` and the like.
    pub(crate) fn play(&self, mut trick: impl FnMut(&str) -> Option<Instead> + Send + 'static) {
        self.meddle(move |request, _| trick(request));
    }

    /// The same, and what it remembers may be changed before it answers.
    pub(crate) fn meddle(&self, trick: impl FnMut(&str, &mut Value) -> Option<Instead> + Send + 'static) {
        self.state.lock().unwrap().trick = Box::new(trick);
    }

    /// Forgets a chat, by itself.
    pub(crate) fn forget(&self, model: &str, chat: &str) {
        let mut state = self.state.lock().unwrap();
        state.remove(chat, Some(model));
    }

    /// A chat begins or goes on in this session: memory changes, and the whole file is written.
    pub(crate) fn set(&self, model: &str, chat: &str, session: &str) {
        // Requests are served in turn, as by an event loop: a mutex alone would let this side have it all the time.
        while self.waiting.load(Ordering::Relaxed) > 0 {
            std::thread::yield_now();
        }
        let mut state = self.state.lock().unwrap();
        state.memory[model][chat] = session.into();
        state.save();
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.state.lock().unwrap().stopping = true;
        // Wakes the listener up.
        drop(TcpStream::connect(self.address));
        self.listener.take().map(JoinHandle::join);
    }
}

impl State {
    /// In place and with its own separators, as the original does.
    fn save(&self) {
        let text = self.memory.to_string().replace("\":\"", "\": \"").replace("\":{", "\": {").replace(",\"", ", \"");
        fs_err::write(&self.file, text).unwrap();
    }

    fn answer(&mut self, method: &str, target: &str) -> (u16, Value) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let decode = |text: &str| percent_decode_str(text).decode_utf8().unwrap().into_owned();
        match (method, path.strip_prefix("/sessions/")) {
            ("GET", None) if path == "/sessions" => (200, json!({"sessions": self.memory})),
            // A server decodes first and routes then, so an encoded slash is one, too.
            ("DELETE", Some(chat)) if !decode(chat).contains('/') => {
                let model = query.strip_prefix("model=").map(decode);
                self.remove(&decode(chat), model.as_deref())
            }
            _ => (404, json!({"detail": "Not Found"})),
        }
    }

    fn remove(&mut self, chat: &str, model: Option<&str>) -> (u16, Value) {
        let models = self.memory.as_object_mut().unwrap();
        if model.is_some_and(|model| !models.contains_key(model)) {
            return (400, json!({"detail": "Unsupported model"}));
        }
        let mut removed = Vec::new();
        for (name, chats) in models.iter_mut().filter(|(name, _)| model.is_none_or(|model| model == *name)) {
            if chats.as_object_mut().and_then(|chats: &mut Map<String, Value>| chats.remove(chat)).is_some() {
                removed.push(name.clone());
            }
        }
        if removed.is_empty() {
            return (404, json!({"detail": "Session not found"}));
        }
        self.save();
        (200, json!({"status": "deleted", "chat_id": chat, "models": removed}))
    }
}

/// Answers one connection's requests until it is closed.
fn serve(connection: &TcpStream, state: &Mutex<State>, waiting: &AtomicUsize) {
    let mut reader = BufReader::new(connection);
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|length| length > 0) {
        let request = line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
        let mut authorization = None;
        loop {
            line.clear();
            reader.read_line(&mut line).unwrap();
            match line.trim_end().split_once(": ") {
                None => break,
                Some((name, value)) if name.eq_ignore_ascii_case("authorization") => {
                    authorization = Some(value.to_owned());
                }
                Some(_) => {}
            }
        }
        line.clear();
        waiting.fetch_add(1, Ordering::Relaxed);
        let mut state = state.lock().unwrap();
        waiting.fetch_sub(1, Ordering::Relaxed);
        state.requests.push(request.clone());
        state.authorizations.push(authorization);
        let State { trick, memory, .. } = &mut *state;
        let instead = trick(&request, memory);
        let (status, body) = match instead {
            None => {
                let (method, target) = request.split_once(' ').unwrap();
                let (status, body) = state.answer(method, target);
                (status, body.to_string())
            }
            Some(Instead::Answer(status, body)) => (status, body),
            Some(Instead::HangUp) => {
                drop(state);
                let _ = (&mut &*connection)
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"sessions\": {\"cl");
                return;
            }
            Some(Instead::Trickle) => {
                drop(state);
                let mut out = connection;
                let mut sent = out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
                while sent.is_ok() {
                    std::thread::sleep(std::time::Duration::from_millis(20));
                    sent = out.write_all(b" ");
                }
                return;
            }
            Some(Instead::Silence) => {
                drop(state);
                // Until the other side gives up.
                let _ = reader.read_line(&mut line);
                return;
            }
        };
        drop(state);
        let head =
            format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
        if (&mut &*connection).write_all((head + &body).as_bytes()).is_err() {
            return;
        }
    }
}
