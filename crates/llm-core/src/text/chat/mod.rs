//! Chat templates: a conversation becomes the text that the model was trained on.
//!
//! A template is a Jinja program in the model folder. It runs here as it does in transformers
//! (same whitespace rules, filters and variables), within a budget, and with no clock of its own.
//! [`encode`] makes ids of it: what a user typed never becomes a special token, and
//! [`encode_messages`] says which tokens the assistant has to learn.
//!
//! ```
//! use llm_core::text::chat::{ChatTemplate, Message, RenderOptions};
//! let source = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n\
//!     {% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
//! let template = ChatTemplate::from_source("chatml", source)?;
//! let options = RenderOptions { add_generation_prompt: true, ..RenderOptions::default() };
//! let text = template.render(&[Message::new("user", "hi")], &options)?;
//! assert_eq!(text, "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n");
//! # Ok::<(), llm_core::Error>(())
//! ```
//!
//! Language: <https://jinja.palletsprojects.com/en/stable/templates/>.

mod clock;
mod engine;
mod ids;
mod marks;
mod python;

use std::path::Path;

use minijinja::Environment;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use clock::LocalTime;
pub use ids::{Encoded, encode, encode_messages};

use super::hf::{json_object, one_line, read};
use crate::{Error, Result};
use marks::{Marks, Rendered, Strength};

/// The template that is used when tools are given, if the model has one of its own for that.
const TOOL_USE: &str = "tool_use";
/// The template that is used otherwise.
const DEFAULT: &str = "default";
/// The names under which a message may carry its reasoning; templates read the first two.
const REASONING: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

/// One message: `role`, `content`, and whatever else the template knows (`tool_calls`, …).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Message(pub Map<String, Value>);

impl Message {
    /// A message of text.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        let mut map = Map::new();
        map.insert("role".into(), Value::String(role.into()));
        map.insert("content".into(), Value::String(content.into()));
        Self(map)
    }

    /// Who speaks; empty if the message does not say.
    pub fn role(&self) -> &str {
        self.0
            .get("role")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// What is said, if it is text.
    pub fn content(&self) -> Option<&str> {
        self.0.get("content").and_then(Value::as_str)
    }

    /// The message as templates see it: keys without a value are left out, and reasoning stands
    /// under each of its names.
    fn for_template(&self) -> Value {
        let mut map = self.0.clone();
        map.retain(|_, value| !value.is_null());
        let given = REASONING.iter().find_map(|&name| map.get(name));
        if let Some(reasoning) = given.cloned() {
            map.entry("thinking").or_insert_with(|| reasoning.clone());
            map.insert("reasoning_content".into(), reasoning);
        }
        map.into()
    }
}

/// What a template is given beside the messages.
#[derive(Clone, Debug, Default)]
pub struct RenderOptions {
    /// End with the opening of the assistant's turn.
    pub add_generation_prompt: bool,
    /// Tools as JSON schemas.
    pub tools: Option<Vec<Value>>,
    /// Documents with `title` and `text`.
    pub documents: Option<Vec<Value>>,
    /// Variables of one template or another, such as `enable_thinking`.
    pub variables: Map<String, Value>,
    /// What `strftime_now` tells; without it templates find no such function.
    pub now: Option<LocalTime>,
}

/// The chat template of a model.
#[derive(Clone, Debug)]
pub struct ChatTemplate {
    name: String,
    environment: Environment<'static>,
    /// The sources, which private marks must not occur in.
    sources: Vec<String>,
    /// `bos_token`, `eos_token` and the like.
    tokens: Map<String, Value>,
    has_generation: bool,
}

impl ChatTemplate {
    /// The template `source`. `name` is the file, for messages.
    ///
    /// # Errors
    /// Source that is no template.
    pub fn from_source(name: &str, source: &str) -> Result<Self> {
        Self::from_named(name, &[(DEFAULT, source)])
    }

    /// The template in the text of a `tokenizer_config.json`, which may be one text or a list of
    /// named ones, with the special tokens that stand beside it.
    ///
    /// # Errors
    /// JSON of another form, no template, or source that is no template.
    pub fn from_tokenizer_config(text: &str) -> Result<Self> {
        let name = "tokenizer_config.json";
        let config = json_object(name, text)?;
        let named: Option<Vec<(&str, &str)>> = match &config["chat_template"] {
            Value::String(source) => Some(vec![(DEFAULT, source)]),
            Value::Array(list) => list
                .iter()
                .map(|entry| entry["name"].as_str().zip(entry["template"].as_str()))
                .collect(),
            _ => None,
        };
        let problem = "expected `chat_template` to be a template or a list of named ones";
        let named = named.ok_or_else(|| Error::text(name, problem))?;
        Self::from_named(name, &named)?.with_tokenizer_config(name, text)
    }

    /// The template of a model folder: `chat_template.jinja`, or else the one in
    /// `tokenizer_config.json`; special tokens come from the latter.
    ///
    /// # Errors
    /// A file that cannot be read, or what [`Self::from_tokenizer_config`] refuses.
    pub fn from_folder(folder: impl AsRef<Path>) -> Result<Self> {
        let source = folder.as_ref().join("chat_template.jinja");
        let config = folder.as_ref().join("tokenizer_config.json");
        let config_name = config.display().to_string();
        if !source.exists() {
            return Self::from_tokenizer_config(&read(&config)?);
        }
        let template = Self::from_source(&source.display().to_string(), &read(&source)?)?;
        if !config.exists() {
            return Ok(template);
        }
        template.with_tokenizer_config(&config_name, &read(&config)?)
    }

    /// Takes `bos_token`, `eos_token` and the like from the text of a `tokenizer_config.json`.
    ///
    /// # Errors
    /// JSON of another form.
    pub fn with_tokenizer_config(mut self, name: &str, text: &str) -> Result<Self> {
        let config = json_object(name, text)?;
        for (key, value) in config.as_object().into_iter().flatten() {
            // Old files write `{"content": "</s>", …}` instead of the text.
            let token = value.as_str().or_else(|| value["content"].as_str());
            if let Some(token) = token.filter(|_| key.ends_with("_token")) {
                self.tokens.insert(key.clone(), token.into());
            }
        }
        Ok(self)
    }

    fn from_named(name: &str, named: &[(&str, &str)]) -> Result<Self> {
        let fault = |e: minijinja::Error| Error::text(name, one_line(&e.to_string()));
        let mut environment = engine::environment();
        let (mut sources, mut has_generation) = (Vec::new(), false);
        for &(key, source) in named {
            let (source, found) = engine::without_generation_tags(source);
            has_generation |= found;
            environment
                .add_template_owned(key.to_owned(), source.clone())
                .map_err(fault)?;
            sources.push(source);
        }
        if environment.get_template(DEFAULT).is_err() {
            return Err(Error::text(name, "no template is named `default`"));
        }
        let (name, tokens) = (name.to_owned(), Map::new());
        Ok(Self {
            name,
            environment,
            sources,
            tokens,
            has_generation,
        })
    }

    /// The file, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the template marks the assistant's part with `{% generation %}`.
    pub fn has_generation_blocks(&self) -> bool {
        self.has_generation
    }

    /// The text of a conversation. Do not tokenize it as a whole: use [`encode`].
    ///
    /// # Errors
    /// What the template raises, and a template that needs too much time, memory or depth.
    pub fn render(&self, messages: &[Message], options: &RenderOptions) -> Result<String> {
        self.run(&self.context(messages, options), options, None)
    }

    /// What the template is given, in JSON.
    fn context(&self, messages: &[Message], options: &RenderOptions) -> Map<String, Value> {
        let list = |list: &Option<Vec<Value>>| list.clone().map_or(Value::Null, Value::Array);
        let mut context = options.variables.clone();
        let messages: Vec<Value> = messages.iter().map(Message::for_template).collect();
        context.insert("messages".into(), messages.into());
        context.insert("tools".into(), list(&options.tools));
        context.insert("documents".into(), list(&options.documents));
        context.insert(
            "add_generation_prompt".into(),
            options.add_generation_prompt.into(),
        );
        context
    }

    /// Runs the template on `context`; `{% generation %}` blocks are enclosed in `marks`.
    fn run(
        &self,
        context: &Map<String, Value>,
        options: &RenderOptions,
        marks: Option<Marks>,
    ) -> Result<String> {
        let fault = |e: minijinja::Error| Error::text(&self.name, engine::message(&e));
        let with_tools = options.tools.is_some();
        let tool_use = with_tools
            .then(|| self.environment.get_template(TOOL_USE).ok())
            .flatten();
        let template = tool_use.map_or_else(|| self.environment.get_template(DEFAULT), Ok);
        let all = self.tokens.iter().chain(context);
        let mut variables: Vec<(String, minijinja::Value)> = all
            .map(|(key, value)| (key.clone(), python::from_json(value)))
            .collect();
        variables.extend(options.now.map(engine::strftime_now));
        variables.extend(marks.map(engine::marks_variable));
        let context = minijinja::Value::from_pairs(variables);
        template.map_err(fault)?.render(context).map_err(fault)
    }

    /// Renders with the user's characters and the assistant's blocks marked, for a tokenizer with
    /// the `special` tokens.
    ///
    /// # Errors
    /// As [`Self::render`]; a template whose text depends on the marks.
    fn render_marked(
        &self,
        messages: &[Message],
        options: &RenderOptions,
        special: &[&str],
    ) -> Result<Rendered> {
        let context = Value::Object(self.context(messages, options));
        let mut texts: Vec<&str> = special.to_vec();
        texts.extend(self.sources.iter().map(String::as_str));
        texts.extend(self.tokens.values().filter_map(Value::as_str));
        marks::strings(&context, &mut texts);
        let no_marks = || Error::text(&self.name, "the messages use up the private characters");
        let marks = Marks::absent_from(texts).ok_or_else(no_marks)?;
        let as_map = |context: &Value| context.as_object().cloned().unwrap_or_default();
        let plain = self.run(&as_map(&context), options, None)?;
        for strength in [Strength::Every, Strength::Whole] {
            let guarded = as_map(&marks.guarded_json(&context, special, strength));
            // A template may refuse what it cannot find, so an error here is a difference too.
            let marked = self.run(&guarded, options, Some(marks));
            let rendered = marked.ok().and_then(|marked| marks.read(&marked));
            if let Some(rendered) = rendered.filter(|rendered| rendered.text == plain) {
                return Ok(rendered);
            }
        }
        let problem = "reads special tokens in the text of a message, so that text cannot be told \
            from the template's own";
        Err(Error::text(&self.name, problem))
    }
}
