//! A folder onto the hub: what would go there, what must not, and the upload.
//!
//! [`plan`] lists every file with its size and hash and refuses what should never be published: a
//! link (it may lead out of the folder), a pickle (a program in the clothes of weights), a token in
//! a text, a folder without weights or without a licence in its card. [`upload`] sends exactly the
//! planned files, as one commit.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use llm_store::hash::sha256_file;

use crate::card::Card;
use crate::token::Token;
use crate::{Error, HubId, Result};

/// Files that run code when they are opened.
const PICKLES: [&str; 8] = ["bin", "pt", "pth", "ckpt", "pkl", "pickle", "joblib", "npy"];
/// Files of weights.
const WEIGHTS: [&str; 2] = ["safetensors", "gguf"];
/// More files than a model has: the wrong folder was named.
const MAX_FILES: usize = 1000;
/// Texts up to this size are searched for tokens.
const MAX_TEXT_BYTES: u64 = 1 << 20;
/// How a token of the hub starts, and how many letters and digits follow at least.
const TOKEN_START: &str = "hf_";
const TOKEN_LETTERS: usize = 20;

/// A file that will be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedFile {
    /// Its name in the repository, with `/` between parts.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256 in lower-case hex.
    pub sha256: String,
}

/// What will be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The files in name order.
    pub files: Vec<PlannedFile>,
    /// Hidden files and folders, which stay.
    pub left_out: Vec<String>,
    /// What the card says.
    pub card: Card,
}

impl Plan {
    /// The sum of all sizes.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }
}

/// Whether this build can upload.
pub const CAN_UPLOAD: bool = cfg!(feature = "download");

/// Lists what of `folder` will be published.
///
/// # Errors
/// Something that must not be published; the message names the file.
pub fn plan(folder: &Path) -> Result<Plan> {
    let refuse = |problem: &str, hint: &str| Error::Publish {
        path: folder.to_path_buf(),
        problem: problem.into(),
        hint: Some(hint.into()),
    };
    if !folder.is_dir() {
        return Err(refuse("is not a folder", "pass the folder of a model"));
    }
    let (mut names, mut left_out) = (Vec::new(), Vec::new());
    collect(folder, "", &mut names, &mut left_out)?;
    names.sort();
    left_out.sort();
    let weights = names
        .iter()
        .any(|name| WEIGHTS.contains(&ending(name).as_str()));
    if !weights {
        let hint = "pass a model's folder: one that deeper merge or deeper train wrote";
        return Err(refuse("holds no safetensors or GGUF file", hint));
    }
    let card = Card::read(folder)?;
    let files = names
        .into_iter()
        .map(|name| planned(folder, name))
        .collect::<Result<_>>()?;
    Ok(Plan {
        files,
        left_out,
        card,
    })
}

/// Walks one folder; `prefix` is its name in the repository with a `/`.
fn collect(
    folder: &Path,
    prefix: &str,
    names: &mut Vec<String>,
    left_out: &mut Vec<String>,
) -> Result<()> {
    let failed = |error: std::io::Error| refused(folder, &error.to_string(), None);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        let name = entry.file_name();
        let Some(name) = name
            .to_str()
            .filter(|name| !name.chars().any(char::is_control))
        else {
            return Err(refused(&path, "has a name that is not plain text", None));
        };
        let relative = format!("{prefix}{name}");
        // `DirEntry::file_type` does not follow links
        let kind = entry.file_type().map_err(failed)?;
        if name.starts_with('.') {
            left_out.push(relative);
        } else if kind.is_symlink() {
            let hint = "copy the folder with its links followed: cp -rL FOLDER COPY";
            return Err(refused(
                &path,
                "is a link, which may lead out of the folder",
                Some(hint),
            ));
        } else if kind.is_dir() {
            collect(&path, &format!("{relative}/"), names, left_out)?;
        } else if !kind.is_file() {
            return Err(refused(&path, "is not a regular file", None));
        } else if PICKLES.contains(&ending(name).as_str()) {
            let hint = "publish safetensors, or move the file out of the folder";
            return Err(refused(
                &path,
                "may be a pickle, which runs code when opened",
                Some(hint),
            ));
        } else if names.len() >= MAX_FILES {
            let problem = format!("would be file number {}", MAX_FILES + 1);
            return Err(refused(
                &path,
                &problem,
                Some("is it the folder of one model?"),
            ));
        } else {
            names.push(relative);
        }
    }
    Ok(())
}

fn refused(path: &Path, problem: &str, hint: Option<&str>) -> Error {
    Error::Publish {
        path: path.to_path_buf(),
        problem: problem.into(),
        hint: hint.map(String::from),
    }
}

/// What stands behind the last dot, in lower case.
fn ending(name: &str) -> String {
    let end = name.rsplit_once('.').map(|(_, end)| end);
    end.unwrap_or_default().to_ascii_lowercase()
}

fn planned(folder: &Path, name: String) -> Result<PlannedFile> {
    let path = folder.join(&name);
    let size = fs::metadata(&path).map_err(|error| refused(&path, &error.to_string(), None))?;
    let size = size.len();
    if size <= MAX_TEXT_BYTES && holds_token(&path)? {
        let hint = "take the token out, and revoke it: it may have been read";
        return Err(refused(
            &path,
            "holds what looks like a token of the hub",
            Some(hint),
        ));
    }
    let sha256 = sha256_file(&path).map_err(Error::Store)?;
    Ok(PlannedFile {
        name,
        path,
        size,
        sha256,
    })
}

/// Whether a small file has a word that looks like a token.
fn holds_token(path: &Path) -> Result<bool> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(|error| refused(path, &error.to_string(), None))?;
    let read = file.take(MAX_TEXT_BYTES).read_to_end(&mut bytes);
    read.map_err(|error| refused(path, &error.to_string(), None))?;
    let text = String::from_utf8_lossy(&bytes);
    let mut words = text.match_indices(TOKEN_START);
    Ok(words.any(|(at, start)| {
        let rest = text.get(at + start.len()..).unwrap_or_default();
        let letters = rest.chars().take_while(char::is_ascii_alphanumeric);
        letters.take(TOKEN_LETTERS).count() == TOKEN_LETTERS
    }))
}

/// Sends the files of `plan` to `id` as one commit, making the repository where there is none.
/// Returns the commit's address, where the hub names one. Settings are read through `variable`:
/// `HF_ENDPOINT`.
///
/// # Errors
/// A build without the feature `download`, an environment that is offline, or what the hub or the
/// network said; no message holds the token.
pub fn upload(
    plan: &Plan,
    id: &HubId,
    token: &Token,
    private: bool,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<String>> {
    if crate::is_offline(&variable) {
        let problem = "HF_HUB_OFFLINE is set".into();
        return Err(Error::Upload {
            id: id.clone(),
            problem,
        });
    }
    send(plan, id, token, private, &variable)
}

#[cfg(not(feature = "download"))]
fn send(
    _: &Plan,
    _: &HubId,
    _: &Token,
    _: bool,
    _: &impl Fn(&str) -> Option<String>,
) -> Result<Option<String>> {
    Err(Error::CannotUpload)
}

#[cfg(feature = "download")]
fn send(
    plan: &Plan,
    id: &HubId,
    token: &Token,
    private: bool,
    variable: &impl Fn(&str) -> Option<String>,
) -> Result<Option<String>> {
    use hf_hub::repository::CommitOperation;
    use hf_hub::{HFClient, HFError, RepoTypeModel};

    let failed = |error: HFError| Error::Upload {
        id: id.clone(),
        problem: crate::download::explain(&error),
    };
    let mut client = HFClient::builder().token(token.secret());
    if let Some(endpoint) = variable("HF_ENDPOINT").filter(|value| !value.is_empty()) {
        client = client.endpoint(endpoint);
    }
    let client = client.build_sync().map_err(failed)?;
    let repository = format!("{}/{}", id.org(), id.name());
    client
        .create_repository()
        .repo_type(RepoTypeModel)
        .repo_id(&repository)
        .private(private)
        .exist_ok(true)
        .send()
        .map_err(failed)?;
    let add = |file: &PlannedFile| CommitOperation::add_file(file.name.clone(), file.path.clone());
    let commit = client
        .model(id.org(), id.name())
        .create_commit()
        .operations(plan.files.iter().map(add).collect())
        .commit_message(format!("Upload {} files with LLM Deeper", plan.files.len()))
        .revision(id.revision())
        .send()
        .map_err(failed)?;
    Ok(commit.commit_url)
}
