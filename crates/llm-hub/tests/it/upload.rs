//! Uploads to a server on this machine that answers as the hub does.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use llm_hub::publish::{plan, upload};
use llm_hub::token::Token;
use llm_hub::{HubId, Result};

const TOKEN: &str = "hf_secret_of_the_test";

/// One request: its first line, whether it had the token, its body.
type Seen = (String, bool, String);

/// A hub that takes every file as part of the commit.
struct Server {
    address: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let log = Arc::clone(&log);
                std::thread::spawn(move || answer(stream, &log));
            }
        });
        Self { address, seen }
    }
}

/// Answers one request and closes the connection.
fn answer(mut stream: TcpStream, log: &Mutex<Vec<Seen>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut first = String::new();
    reader.read_line(&mut first).unwrap();
    let (mut authorised, mut length) = (false, 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let lower = line.to_lowercase();
        authorised |= lower.starts_with("authorization:") && line.contains(TOKEN);
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let body = String::from_utf8(body).unwrap();
    let path = first.split_whitespace().nth(1).unwrap().to_owned();
    let (status, reply) = match authorised {
        true => reply(&path, &body),
        false => (
            "401 Unauthorized",
            r#"{"error": "Invalid credentials"}"#.into(),
        ),
    };
    log.lock()
        .unwrap()
        .push((first.trim().to_owned(), authorised, body));
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n",
        reply.len()
    );
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(reply.as_bytes());
}

fn reply(path: &str, body: &str) -> (&'static str, String) {
    if path.starts_with("/api/repos/create") {
        return ("200 OK", r#"{"url": "http://hub/org/name"}"#.into());
    }
    if path.contains("/preupload/") {
        // Every file that was asked about goes into the commit itself
        let names = body.split("\"path\":\"").skip(1);
        let names = names.filter_map(|rest| rest.split('"').next());
        let file = |name| format!(r#"{{"path": "{name}", "uploadMode": "regular"}}"#);
        let files: Vec<String> = names.map(file).collect();
        return ("200 OK", format!(r#"{{"files": [{}]}}"#, files.join(",")));
    }
    if path.contains("/commit/") {
        let reply = r#"{"commitUrl": "http://hub/org/name/commit/1", "commitOid": "1"}"#;
        return ("200 OK", reply.into());
    }
    ("404 Not Found", r#"{"error": "Not found"}"#.into())
}

fn send(address: &str, token: &str) -> Result<Option<String>> {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("README.md"), "---\nlicense: mit\n---\n").unwrap();
    fs::write(dir.path().join("model.safetensors"), "weights").unwrap();
    fs::write(dir.path().join(".env"), "stays").unwrap();
    let plan = plan(dir.path())?;
    let id = HubId::parse("org/name").unwrap();
    let (token, address) = (token.to_owned(), address.to_owned());
    let token = Token::find(&|name| (name == "HF_TOKEN").then(|| token.clone()), None)?;
    upload(&plan, &id, &token, true, |name| {
        (name == "HF_ENDPOINT").then(|| address.clone())
    })
}

#[test]
fn the_planned_files_arrive_in_one_commit_with_the_token() {
    let server = Server::start();
    let address = send(&server.address, TOKEN).unwrap();
    assert_eq!(address.as_deref(), Some("http://hub/org/name/commit/1"));
    let seen = server.seen.lock().unwrap();
    assert!(
        seen.iter()
            .all(|(_, authorised, body)| *authorised && !body.contains(TOKEN))
    );
    let bodies = |part: &str| -> Vec<&String> {
        let found = seen.iter().filter(|(first, ..)| first.contains(part));
        found.map(|(_, _, body)| body).collect()
    };
    let created = bodies("/api/repos/create");
    assert!(created[0].contains("\"private\":true"), "{created:?}");
    let commits = bodies("/api/models/org/name/commit/main");
    assert_eq!(commits.len(), 1, "{seen:?}");
    // base64 of `weights`
    assert!(commits[0].contains("model.safetensors") && commits[0].contains("d2VpZ2h0cw=="));
    assert!(!commits[0].contains(".env"), "{}", commits[0]);
}

#[test]
fn a_refused_upload_is_one_line_without_the_token() {
    let server = Server::start();
    for (address, token) in [
        (server.address.as_str(), "hf_wrong"),
        ("http://127.0.0.1:1", TOKEN),
    ] {
        let error = send(address, token).unwrap_err();
        let text = format!("{error} {error:?} {}", error.hint().unwrap());
        assert!(
            !text.contains('\n') && !text.contains(TOKEN) && !text.contains("hf_wrong"),
            "{text}"
        );
        assert!(text.contains("org/name"), "{text}");
        assert_eq!(error.exit_code(), 3, "{text}");
    }
}
