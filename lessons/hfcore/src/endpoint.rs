//! A model behind an OpenAI-compatible server: `POST {base}/chat/completions`.
//!
//! Address, model and key come from the environment alone, as OpenAI's own client reads them, so that
//! no key stands in a shell's history. No message of an error holds the key, and redirects are not
//! followed, since the key would go along.

use std::time::Duration;

use llm_show::Complaint;
use serde_json::{Value, json};

/// Where the server is, up to and with its version: `http://127.0.0.1:8000/v1`.
pub const BASE_URL: &str = "OPENAI_BASE_URL";
/// The model that is asked.
pub const MODEL: &str = "OPENAI_MODEL";
/// The key; a server on this machine needs none.
pub const API_KEY: &str = "OPENAI_API_KEY";

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// Bytes of the longest answer that is read.
const LONGEST_ANSWER: u64 = 1 << 20;
/// Characters of a server's own words in a message.
const QUOTED: usize = 160;
/// The beginnings of addresses on this machine.
const LOOPBACK: [&str; 3] = ["http://127.0.0.1", "http://localhost", "http://[::1]"];

type Result<T, E = Complaint> = std::result::Result<T, E>;

/// A server that answers chats.
pub struct Endpoint {
    url: String,
    model: String,
    key: Option<String>,
    agent: ureq::Agent,
}

/// Without the key.
impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Endpoint");
        shown.field("url", &self.url).field("model", &self.model).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// The server that `variable` (the environment) names.
    ///
    /// # Errors
    /// A variable that is missing or is no address, or https in a build without it.
    pub fn from_env(variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let set = |name: &str| {
            let value = variable(name).map(|value| value.trim().to_owned());
            value.filter(|value| !value.is_empty())
        };
        let missing = |name: &str, example: &str| {
            let hint = format!("export {name}={example}");
            Complaint::new(format!("{name} is not set, expected by --judge")).hint(hint)
        };
        let base = set(BASE_URL).ok_or_else(|| missing(BASE_URL, "http://127.0.0.1:8000/v1"))?;
        let model = set(MODEL).ok_or_else(|| missing(MODEL, "the name of a model there"))?;
        check_address(&base)?;
        let local = LOOPBACK.iter().any(|start| base.starts_with(start));
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false);
        // A proxy cannot reach this machine's own addresses.
        let config = if local { config.proxy(None) } else { config };
        Ok(Self {
            url: format!("{}/chat/completions", base.trim_end_matches('/')),
            model,
            key: set(API_KEY),
            agent: config.build().new_agent(),
        })
    }

    /// Whose answers these are: the model and the server.
    pub fn name(&self) -> String {
        format!("{} at {}", self.model, self.url)
    }

    /// The answer to a conversation of `(role, content)`, chosen at temperature 0.
    ///
    /// # Errors
    /// No connection, a server that refuses, or an answer of another form.
    pub fn chat(&self, turns: &[(&str, &str)], max_tokens: usize) -> Result<String> {
        let messages: Vec<Value> =
            turns.iter().map(|(role, text)| json!({"role": role, "content": text})).collect();
        let body = json!({
            "model": self.model, "messages": messages, "temperature": 0, "max_tokens": max_tokens,
        });
        let mut request =
            self.agent.post(self.url.as_str()).header("Content-Type", "application/json");
        if let Some(key) = &self.key {
            request = request.header("Authorization", format!("Bearer {key}"));
        }
        let sent = request.send(body.to_string());
        let mut response = sent.map_err(|error| self.unreachable(&error))?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(LONGEST_ANSWER).read_to_string();
        let body = body.map_err(|error| self.unreachable(&error))?;
        if status != 200 {
            return Err(self.refused(status, &body));
        }
        let answer: Option<Value> = serde_json::from_str(&body).ok();
        let text = answer.as_ref().and_then(|all| all["choices"][0]["message"]["content"].as_str());
        text.map(str::to_owned).ok_or_else(|| {
            let problem = format!("{}: answered {}", self.url, quoted(&body));
            Complaint::new(problem + ", expected choices[0].message.content").code(3)
        })
    }

    fn unreachable(&self, error: &ureq::Error) -> Complaint {
        let hint = format!("is the server running? {BASE_URL} says where it is");
        Complaint::new(format!("{}: {error}", self.url)).hint(hint).code(3)
    }

    fn refused(&self, status: u16, body: &str) -> Complaint {
        let hint = match status {
            300..=399 => format!("set {BASE_URL} to the address that it moved to"),
            401 | 403 => format!("set {API_KEY} to a key of this server"),
            404 => {
                format!("{BASE_URL} ends in /v1 on most servers; {MODEL} has to be a model there")
            }
            429 => "the server has a limit on requests: try again later".into(),
            _ => "the server's own log says more".into(),
        };
        let problem = format!("{}: the server said {status}: {}", self.url, quoted(body));
        Complaint::new(problem).hint(hint).code(3)
    }
}

fn check_address(base: &str) -> Result<()> {
    let https = base.starts_with("https://");
    if https && !cfg!(feature = "https") {
        let hint = "cargo run --release --features https --bin 06_evals -- --judge";
        return Err(Complaint::new(format!("{BASE_URL}: this build has no https")).hint(hint));
    }
    if https || base.starts_with("http://") {
        return Ok(());
    }
    let problem = format!("{BASE_URL} is {}, expected http:// or https://", quoted(base));
    Err(Complaint::new(problem).hint(format!("export {BASE_URL}=http://127.0.0.1:8000/v1")))
}

/// The beginning of a foreign text on one line, without control characters.
fn quoted(text: &str) -> String {
    let start: String = text.chars().take(QUOTED).flat_map(char::escape_debug).collect();
    let more = if text.chars().nth(QUOTED).is_some() { "…" } else { "" };
    format!("`{start}{more}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(variables: &[(&str, &str)]) -> Result<Endpoint> {
        Endpoint::from_env(|name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn what_is_missing_is_named() {
        let url = (BASE_URL, "http://127.0.0.1:9/v1/");
        for (variables, part) in [
            (&[][..], "OPENAI_BASE_URL is not set"),
            (&[url], "OPENAI_MODEL is not set"),
            (&[(BASE_URL, "127.0.0.1:9"), (MODEL, "m")], "expected http://"),
            (&[(BASE_URL, "file:///etc/passwd"), (MODEL, "m")], "expected http://"),
        ] {
            let error = endpoint(variables).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn the_key_is_never_shown() {
        let variables = [(BASE_URL, "http://127.0.0.1:9/v1"), (MODEL, "m"), (API_KEY, "sk-1 2")];
        let endpoint = endpoint(&variables).unwrap();
        assert!(!format!("{endpoint:?} {}", endpoint.name()).contains("sk-1"));
        // Nothing listens on port 9.
        let error = endpoint.chat(&[("user", "hi")], 4).unwrap_err().to_string();
        assert!(error.contains("127.0.0.1:9") && !error.contains("sk-1"), "{error}");
    }

    #[test]
    fn foreign_text_stays_on_one_line() {
        assert_eq!(quoted("a\n\u{1b}[31mb"), "`a\\n\\u{1b}[31mb`");
        assert!(quoted(&"x".repeat(500)).chars().count() < 200);
    }
}
