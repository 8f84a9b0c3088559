//! A line of JSON, as far as tests look into it.

use serde_json::{Map, Value};

/// A JSON object.
#[derive(Debug)]
pub struct Json(Map<String, Value>);

impl Json {
    /// Read one.
    ///
    /// # Panics
    /// When it isn't one.
    #[track_caller]
    pub fn parse(text: &str) -> Self {
        match serde_json::from_str(text) {
            Ok(Value::Object(members)) => Self(members),
            other => panic!("{text:?} is not a JSON object: {other:?}"),
        }
    }

    /// All members: their names, and their values as JSON.
    pub fn fields(&self) -> impl Iterator<Item = (&str, String)> {
        let members = self.0.iter();
        members.map(|(name, value)| (name.as_str(), value.to_string()))
    }

    /// A member that is a number.
    #[track_caller]
    pub fn number(&self, name: &str) -> f64 {
        let number = self.0.get(name).and_then(Value::as_f64);
        number.unwrap_or_else(|| panic!("no number {name:?} in {:?}", self.0))
    }

    /// A member that is a text.
    #[track_caller]
    pub fn text(&self, name: &str) -> &str {
        let text = self.0.get(name).and_then(Value::as_str);
        text.unwrap_or_else(|| panic!("no text {name:?} in {:?}", self.0))
    }
}
