//! A made-up cache and environment.

use std::fs;
use std::path::Path;

use llm_hub::Hub;

pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A hub with these variables and no others.
pub(crate) fn hub(variables: &[(&str, &str)]) -> Hub {
    Hub::new(|name| {
        let found = variables.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| value.to_string())
    })
}

/// Puts `org/name` at [`COMMIT`] into the cache, with these files.
pub(crate) fn cached(cache: &Path, reference: &str, files: &[(&str, &str)]) {
    let repository = cache.join("models--org--name");
    let snapshot = repository.join("snapshots").join(COMMIT);
    let reference = repository.join("refs").join(reference);
    fs::create_dir_all(&snapshot).unwrap();
    fs::create_dir_all(reference.parent().unwrap()).unwrap();
    fs::write(reference, COMMIT).unwrap();
    for (name, text) in files {
        fs::write(snapshot.join(name), text).unwrap();
    }
}
