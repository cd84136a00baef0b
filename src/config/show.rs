//! The configuration as text: each value in its TOML form, with where it came from; no passwords.

use super::loaded::Loaded;
use crate::text::is_unsafe;
use toml::Value;

/// The effective configuration as a TOML file that loads to the same values (except passwords in
/// URLs), each line with its origin.
pub fn show_toml(loaded: &Loaded) -> String {
    let mut lines = Vec::new();
    let mut section = "";
    for (key, entry) in loaded.config.keys().iter().zip(loaded.entries()) {
        let (table, name) = key.parts();
        if table != section {
            let gap = if section.is_empty() { "" } else { "\n" };
            lines.push(format!("{gap}[{table}]\n"));
            section = table;
        }
        lines.push(match entry.value {
            Some(value) => format!("{name} = {}  # {}\n", written(&value), entry.origin),
            None => format!("# {name} is not set\n"),
        });
    }
    lines.concat()
}

/// A value as TOML that is safe to show: characters that a terminal would obey or not show are in TOML's own escapes.
fn written(value: &Value) -> String {
    match value {
        Value::String(text) if text.contains(is_unsafe) => quoted(text),
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(written).collect();
            format!("[{}]", values.join(", "))
        }
        _ => value.to_string(),
    }
}

fn quoted(text: &str) -> String {
    let escaped = text.chars().map(|c| match (c, u32::from(c)) {
        ('"' | '\\', _) => format!("\\{c}"),
        (_, code) if is_unsafe(c) && code > 0xffff => format!("\\U{code:08x}"),
        (_, code) if is_unsafe(c) => format!("\\u{code:04x}"),
        _ => c.to_string(),
    });
    format!("\"{}\"", escaped.collect::<String>())
}

/// The same as JSON, one object per line with `key`, `value` (`null` if it is not set) and `origin`.
pub fn show_json(loaded: &Loaded) -> String {
    let lines = loaded
        .entries()
        .into_iter()
        .map(|entry| format!("{}\n", serde_json::json!(entry)));
    lines.collect()
}
