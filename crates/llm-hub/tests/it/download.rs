//! Downloads from a server on this machine that answers as the hub does.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::support::{COMMIT, cached, hub};

const TOKEN: &str = "hf_secret_of_the_test";
const FILES: [&str; 6] = [
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "pytorch_model.bin",
    "modeling.py",
    "onnx/model.safetensors",
];

/// A server of `org/name`; its requests as `METHOD path`.
struct Server {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let log = Arc::clone(&log);
                std::thread::spawn(move || answer(stream, &log));
            }
        });
        Self { address, requests }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// Answers one request and closes the connection.
fn answer(mut stream: TcpStream, log: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    let authorised = lines
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty())
        .any(|line| line.to_lowercase().starts_with("authorization:") && line.contains(TOKEN));
    let mut words = first.split_whitespace();
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    log.lock().unwrap().push(format!("{method} {path}"));
    let (status, body) = if authorised {
        contents(path)
    } else {
        ("401 Unauthorized", "{}".into())
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\
         etag: \"{length:040}\"\r\nx-repo-commit: {COMMIT}\r\n\r\n"
    );
    let _ = stream.write_all(head.as_bytes());
    if method != "HEAD" {
        let _ = stream.write_all(body.as_bytes());
    }
}

fn contents(path: &str) -> (&'static str, String) {
    let path = path.split('?').next().unwrap();
    if path == "/api/models/org/name/revision/main" {
        return (
            "200 OK",
            format!(r#"{{"id": "org/name", "sha": "{COMMIT}"}}"#),
        );
    }
    if path == format!("/api/models/org/name/tree/{COMMIT}") {
        let file = |name| format!(r#"{{"type": "file", "oid": "1", "size": 1, "path": "{name}"}}"#);
        return ("200 OK", format!("[{}]", FILES.map(file).join(",")));
    }
    match path.strip_prefix(&format!("/org/name/resolve/{COMMIT}/")) {
        Some(name) if FILES.contains(&name) => ("200 OK", format!("contents of {name}")),
        _ => (
            "404 Not Found",
            r#"{"error": "Repository not found"}"#.into(),
        ),
    }
}

#[test]
fn only_configuration_tokenizer_and_safetensors_are_fetched() {
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().to_str().unwrap();
    let variables = [
        ("HF_HUB_CACHE", cache),
        ("HF_ENDPOINT", &server.address),
        ("HF_TOKEN", TOKEN),
    ];
    let snapshot = hub(&variables).resolve("org/name").unwrap();
    for name in FILES {
        let wanted = ["config.json", "model.safetensors", "tokenizer.json"].contains(&name);
        assert_eq!(snapshot.join(name).exists(), wanted, "{name}");
    }
    let text = std::fs::read_to_string(snapshot.join("config.json")).unwrap();
    assert_eq!(text, "contents of config.json");
    let before = server.requests().len();
    assert_eq!(hub(&variables).resolve("org/name").unwrap(), snapshot);
    assert_eq!(
        server.requests().len(),
        before,
        "a cached model asked the hub again"
    );
}

#[test]
fn a_half_fetched_snapshot_is_completed() {
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    cached(dir.path(), "main", &[("tokenizer.json", "old")]);
    let cache = dir.path().to_str().unwrap();
    let variables = [
        ("HF_HUB_CACHE", cache),
        ("HF_ENDPOINT", &server.address),
        ("HF_TOKEN", TOKEN),
    ];
    let snapshot = hub(&variables).resolve("org/name").unwrap();
    assert!(snapshot.join("model.safetensors").exists());
}

#[test]
fn failures_are_one_line_without_the_token_and_offline_asks_nobody() {
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().to_str().unwrap();
    let base = [("HF_HUB_CACHE", cache), ("HF_ENDPOINT", &server.address)];
    let refused = [base[0], base[1], ("HF_TOKEN", "hf_a_wrong_token")];
    let unknown = [base[0], base[1], ("HF_TOKEN", TOKEN)];
    let nobody = [
        base[0],
        ("HF_ENDPOINT", "http://127.0.0.1:1"),
        ("HF_TOKEN", TOKEN),
    ];
    for (variables, model) in [
        (refused, "org/name"),
        (unknown, "org/other"),
        (nobody, "org/name"),
    ] {
        let hub = hub(&variables);
        let error = hub.resolve(model).unwrap_err();
        let text = format!("{error} {error:?} {hub:?} {}", error.hint().unwrap());
        assert!(
            !text.contains('\n') && !text.contains(TOKEN) && !text.contains("hf_a_"),
            "{text}"
        );
        assert!(error.to_string().contains(model), "{error}");
        assert_eq!(error.exit_code(), 3, "{error}");
    }
    let before = server.requests().len();
    let offline = [unknown[0], unknown[1], unknown[2], ("HF_HUB_OFFLINE", "1")];
    assert_eq!(
        hub(&offline).resolve("org/name").unwrap_err().exit_code(),
        2
    );
    assert_eq!(server.requests().len(), before);
}
