//! What a hub id may look like.

use llm_hub::{Error, HubId};

#[test]
fn ids_are_split_into_their_parts() {
    let id = HubId::parse("Qwen/Qwen3-0.6B").unwrap();
    assert_eq!(
        (id.org(), id.name(), id.revision()),
        ("Qwen", "Qwen3-0.6B", "main")
    );
    let id = HubId::parse("a/b_c.d@refs/pr/7").unwrap();
    assert_eq!((id.name(), id.revision()), ("b_c.d", "refs/pr/7"));
    assert_eq!(id.to_string(), "a/b_c.d@refs/pr/7");
    assert!(id.fetch_command().contains("a/b_c.d --revision refs/pr/7"));
}

#[test]
fn path_tricks_and_other_text_are_refused() {
    let long = format!("a/{}", "b".repeat(200));
    let long_revision = format!("a/b@{}", "c".repeat(200));
    let cases = [
        "",
        "name",
        "a/b/c",
        "/etc/passwd",
        "../b",
        "a/..",
        "a/../b",
        "./b",
        "a/.b",
        "a/b.",
        "-a/b",
        "a/b--c",
        "a--b/c",
        "a/b c",
        "a/b\n",
        "a\\b/c",
        "C:/x",
        "~/model",
        "a/b@",
        "a/b@../x",
        "a/b@x/../../y",
        "a/b@/x",
        "a/b@x@y",
        "ä/b",
        "a/b%2e",
        "a//b",
        "a/",
        "/b",
        &long,
        &long_revision,
    ];
    for text in cases {
        let error = HubId::parse(text).unwrap_err();
        assert!(matches!(error, Error::Id { .. }), "{text}");
        let message = error.to_string();
        assert!(!message.contains('\n') && message.len() < 300, "{message}");
        assert!(error.hint().unwrap().contains("org") || error.hint().unwrap().contains("Qwen/"));
    }
}
