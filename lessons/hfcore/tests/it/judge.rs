//! The endpoint against a server that answers well, badly and not at all.

use lessons_hfcore::endpoint::{API_KEY, BASE_URL, Endpoint, MODEL};
use llm_show::Complaint;
use serde_json::{Value, json};

use crate::server::Server;

/// An answer in the form of the API.
pub(crate) fn reply(text: &str) -> String {
    json!({"choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]})
        .to_string()
}

fn endpoint(url: &str, key: Option<&str>) -> Endpoint {
    let set = [(BASE_URL, Some(url)), (MODEL, Some("referee")), (API_KEY, key)];
    let variable = |name: &str| {
        let found = set.iter().find(|(key, _)| *key == name)?;
        found.1.map(str::to_owned)
    };
    Endpoint::from_env(variable).unwrap()
}

fn failure(status: u16, body: &str) -> Complaint {
    let body = body.to_owned();
    let server = Server::start(move |_| (status, body.clone()));
    endpoint(&server.url(), Some("sk-1")).chat(&[("user", "hi")], 8).unwrap_err()
}

#[test]
fn a_chat_goes_out_as_the_api_has_it_and_comes_back() {
    let server = Server::start(|body| {
        let asked: Value = serde_json::from_str(body).unwrap();
        (200, reply(&format!("you said {}", asked["messages"][1]["content"].as_str().unwrap())))
    });
    // A slash at the end of the address makes no difference.
    for url in [server.url(), format!("{}/", server.url())] {
        let turns = [("system", "be short"), ("user", "two\nlines, é")];
        let answer = endpoint(&url, None).chat(&turns, 8).unwrap();
        assert_eq!(answer, "you said two\nlines, é");
    }
    for request in server.requests() {
        assert!(request.starts_with("POST /v1/chat/completions HTTP/1.1"), "{request}");
        assert!(!request.to_lowercase().contains("authorization"), "{request}");
        let body: Value = serde_json::from_str(request.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        assert_eq!((&body["temperature"], &body["max_tokens"]), (&json!(0), &json!(8)));
        assert_eq!(body["model"], "referee");
    }
}

#[test]
fn a_key_goes_along_where_there_is_one() {
    let server = Server::start(|_| (200, reply("yes")));
    endpoint(&server.url(), Some("sk-1")).chat(&[("user", "hi")], 8).unwrap();
    assert!(server.requests()[0].to_lowercase().contains("authorization: bearer sk-1"));
}

#[test]
fn refusals_and_nonsense_are_explained() {
    for (status, body, part) in [
        (401, "{\"error\": {\"message\": \"no\"}}", "said 401"),
        (404, "", "said 404"),
        (429, "slow down", "slow down"),
        (500, "\u{1b}[31mboom\n", "said 500"),
        (302, "", "said 302"),
        (200, "not json", "expected choices[0]"),
        (200, "{\"choices\": []}", "expected choices[0]"),
        (200, "{\"choices\": [{\"message\": {\"content\": null}}]}", "expected choices[0]"),
    ] {
        let error = failure(status, body).to_string();
        assert!(error.contains(part), "{status} {body}: {error}");
        assert!(!error.contains('\n') && !error.contains('\u{1b}'), "{error}");
        assert!(!error.contains("sk-1"), "{error}");
    }
    // An answer without an end is cut off.
    let error = failure(200, &"x".repeat(3 << 20)).to_string();
    assert!(error.contains("127.0.0.1"), "{error}");
}
