//! The values of a policy file: what is read from a string, and limits.

use crate::limits::{Limit, Limits};
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

/// What is read from a string.
pub(super) struct Text<T>(pub(super) T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parse<T>(PhantomData<T>);

        impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for Parse<T> {
            type Value = Text<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<T>, E> {
                text.parse().map(Text).map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Parse(PhantomData))
    }
}

/// A table of limits, each of which is a string or a number.
pub(super) fn limits<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<(Limit, String)>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Value {
        Text(String),
        Whole(i64),
        Fraction(f64),
    }

    let table = BTreeMap::<String, Value>::deserialize(deserializer)?;
    let mut set_before = BTreeSet::new();
    let limits = table.into_iter().map(|(key, value)| {
        let limit: Limit = key.parse().map_err(de::Error::custom)?;
        if !set_before.insert(limit) {
            let twice = format!("`{}` is set twice: `{key}` is its old name", limit.key());
            return Err(de::Error::custom(twice));
        }
        let value = match value {
            Value::Text(text) => text,
            Value::Whole(number) => number.to_string(),
            Value::Fraction(number) => number.to_string(),
        };
        let set = Limits::default().set(limit, &value);
        set.map_err(de::Error::custom)?;
        Ok((limit, value))
    });
    limits.collect()
}
