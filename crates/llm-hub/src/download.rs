//! Downloads through hf-hub, into the same cache that other tools use.

use std::path::PathBuf;

use hf_hub::{HFClient, HFError};

use crate::{Cache, Error, HubId, Result};

/// What is fetched: configurations, tokenizers and safetensors at the top of the repository.
/// Nothing that can run code, no second copy of the weights in another format.
const WANTED: [&str; 14] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.json",
    "chat_template.jinja",
    "vocab.json",
    "model.safetensors",
    "model-*.safetensors",
    "model.safetensors.index.json",
    "adapter_config.json",
    "adapter_model.safetensors",
];

/// In hf-hub's patterns `*` crosses `/`: this leaves out every sub-folder.
const SUBFOLDERS: &str = "*/*";

/// Where downloads come from.
#[derive(Clone)]
pub(crate) struct Source {
    endpoint: Option<String>,
    token: Option<String>,
}

/// Without the token.
impl std::fmt::Debug for Source {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Source")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

impl Source {
    pub(crate) fn new(variable: &impl Fn(&str) -> Option<String>) -> Self {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        Self {
            endpoint: set("HF_ENDPOINT"),
            token: set("HF_TOKEN"),
        }
    }

    /// Fetches what is missing of `id` and returns its snapshot.
    pub(crate) fn download(&self, cache: &Cache, id: &HubId) -> Result<PathBuf> {
        let failed = |error: HFError| Error::Download {
            id: id.clone(),
            problem: explain(&error),
        };
        let mut client = HFClient::builder().cache_dir(cache.path());
        if let Some(endpoint) = &self.endpoint {
            client = client.endpoint(endpoint);
        }
        if let Some(token) = &self.token {
            client = client.token(token);
        }
        let client = client.build_sync().map_err(failed)?;
        let wanted = WANTED.iter().map(|name| name.to_string()).collect();
        let snapshot = client
            .model(id.org(), id.name())
            .snapshot_download()
            .revision(id.revision())
            .allow_patterns(wanted)
            .ignore_patterns(vec![SUBFOLDERS.into()])
            .send()
            .map_err(failed)?;
        if crate::cache::is_complete(&snapshot) {
            return Ok(snapshot);
        }
        let problem = "the repository has no model in safetensors".into();
        Err(Error::Download {
            id: id.clone(),
            problem,
        })
    }
}

/// The kind of failure in our own words: the library's messages hold addresses, and those of the
/// file servers are signed.
pub(crate) fn explain(error: &HFError) -> String {
    match error {
        HFError::Http { context } => format!("the hub answered {}", context.status),
        HFError::AuthRequired { .. } => "the hub asks for a token, or refused it".into(),
        HFError::Forbidden { .. } => "the token has no access to this model".into(),
        HFError::RepoNotFound { .. } => "there is no such model, or it is private".into(),
        HFError::RevisionNotFound { .. } => "there is no such revision".into(),
        HFError::RateLimited { .. } => "too many requests, try again later".into(),
        HFError::Request { source, .. } if source.is_timeout() => {
            "the hub did not answer in time".into()
        }
        HFError::Request { source, .. } if source.is_connect() => "no connection to the hub".into(),
        HFError::Request { .. } => "the connection to the hub broke".into(),
        HFError::Io(error) => format!("a file on this machine cannot be read or written: {error}"),
        _ => "the hub's answer was not understood".into(),
    }
}
