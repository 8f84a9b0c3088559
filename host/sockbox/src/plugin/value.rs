//! Values that are passed to functions without bindings.

use std::fmt;

/// A value of the component model, for calls without bindings ([`Plugin::call`](crate::Plugin::call)).
///
/// Resources, futures and streams belong to one instance, and need the types of `bindgen!`.
///
/// # Examples
/// ```
/// use sockbox::Value;
///
/// // record { name: string, port: u16, tags: list<string> }
/// let record = Value::record([
///     ("name", "a.example".into()),
///     ("port", 443_u16.into()),
///     ("tags", vec!["blue", "new"].into()),
/// ]);
/// let name = record.field("name").cloned().unwrap();
/// assert_eq!(String::try_from(name), Ok("a.example".to_owned()));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// `bool`
    Bool(bool),
    /// `s8`
    S8(i8),
    /// `u8`
    U8(u8),
    /// `s16`
    S16(i16),
    /// `u16`
    U16(u16),
    /// `s32`
    S32(i32),
    /// `u32`
    U32(u32),
    /// `s64`
    S64(i64),
    /// `u64`
    U64(u64),
    /// `f32`
    F32(f32),
    /// `f64`
    F64(f64),
    /// `char`
    Char(char),
    /// `string`
    String(String),
    /// `list`, with or without a fixed length.
    List(Vec<Value>),
    /// `map`: pairs of a key and its value.
    Map(Vec<(Value, Value)>),
    /// `record`: the name and the value of each field.
    Record(Vec<(String, Value)>),
    /// `tuple`
    Tuple(Vec<Value>),
    /// `variant`: the name of the case, and its value if it has one.
    Variant(String, Option<Box<Value>>),
    /// `enum`: the name of the case.
    Enum(String),
    /// `option`
    Option(Option<Box<Value>>),
    /// `result`
    Result(Result<Option<Box<Value>>, Option<Box<Value>>>),
    /// `flags`: the names of those that are set.
    Flags(Vec<String>),
}

impl Value {
    /// A `record` with these fields, in any order.
    pub fn record<N: Into<String>>(fields: impl IntoIterator<Item = (N, Value)>) -> Value {
        let named = |(name, value): (N, Value)| (name.into(), value);
        Value::Record(fields.into_iter().map(named).collect())
    }

    /// The value of a `record`'s field.
    pub fn field(&self, name: &str) -> Option<&Value> {
        match self {
            Value::Record(fields) => fields
                .iter()
                .find_map(|(own, value)| (own == name).then_some(value)),
            _ => None,
        }
    }

    /// The text of a `string`.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The name of its type, as WIT writes it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Value::Bool(_) => "bool",
            Value::S8(_) => "s8",
            Value::U8(_) => "u8",
            Value::S16(_) => "s16",
            Value::U16(_) => "u16",
            Value::S32(_) => "s32",
            Value::U32(_) => "u32",
            Value::S64(_) => "s64",
            Value::U64(_) => "u64",
            Value::F32(_) => "f32",
            Value::F64(_) => "f64",
            Value::Char(_) => "char",
            Value::String(_) => "string",
            Value::List(_) => "list",
            Value::Map(_) => "map",
            Value::Record(_) => "record",
            Value::Tuple(_) => "tuple",
            Value::Variant(..) => "variant",
            Value::Enum(_) => "enum",
            Value::Option(_) => "option",
            Value::Result(_) => "result",
            Value::Flags(_) => "flags",
        }
    }
}

/// A [`Value`] of another type than the one that was wanted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found {found}")]
pub struct WrongValue {
    expected: &'static str,
    found: &'static str,
}

/// Conversions from and to a type that one case has.
macro_rules! conversions {
    ($($case:ident $type:ty, $kind:literal;)*) => {
        $(
            impl From<$type> for Value {
                fn from(value: $type) -> Value {
                    Value::$case(value)
                }
            }

            impl TryFrom<Value> for $type {
                type Error = WrongValue;

                fn try_from(value: Value) -> Result<$type, WrongValue> {
                    match value {
                        Value::$case(value) => Ok(value),
                        other => Err(WrongValue { expected: $kind, found: other.kind() }),
                    }
                }
            }
        )*
    };
}

conversions! {
    Bool bool, "bool";
    S8 i8, "s8";
    U8 u8, "u8";
    S16 i16, "s16";
    U16 u16, "u16";
    S32 i32, "s32";
    U32 u32, "u32";
    S64 i64, "s64";
    U64 u64, "u64";
    F32 f32, "f32";
    F64 f64, "f64";
    Char char, "char";
    String String, "string";
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::String(text.to_owned())
    }
}

impl<V: Into<Value>> From<Vec<V>> for Value {
    fn from(values: Vec<V>) -> Value {
        Value::List(values.into_iter().map(Into::into).collect())
    }
}

impl<V: Into<Value>> From<Option<V>> for Value {
    fn from(value: Option<V>) -> Value {
        Value::Option(value.map(|value| Box::new(value.into())))
    }
}

impl fmt::Display for Value {
    /// As text for people and logs: `{name: "a", port: 1}`, `some("a")`, `ok`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn all<'a>(
            f: &mut fmt::Formatter<'_>,
            values: impl IntoIterator<Item = &'a Value>,
        ) -> fmt::Result {
            for (index, value) in values.into_iter().enumerate() {
                let comma = if index > 0 { ", " } else { "" };
                write!(f, "{comma}{value}")?;
            }
            Ok(())
        }
        let case = |f: &mut fmt::Formatter<'_>, name: &str, value: &Option<Box<Value>>| match value
        {
            Some(value) => write!(f, "{name}({value})"),
            None => f.write_str(name),
        };
        match self {
            Value::Bool(value) => value.fmt(f),
            Value::S8(value) => value.fmt(f),
            Value::U8(value) => value.fmt(f),
            Value::S16(value) => value.fmt(f),
            Value::U16(value) => value.fmt(f),
            Value::S32(value) => value.fmt(f),
            Value::U32(value) => value.fmt(f),
            Value::S64(value) => value.fmt(f),
            Value::U64(value) => value.fmt(f),
            Value::F32(value) => value.fmt(f),
            Value::F64(value) => value.fmt(f),
            Value::Char(value) => write!(f, "{value:?}"),
            Value::String(value) => write!(f, "{value:?}"),
            Value::List(values) => {
                f.write_str("[")?;
                all(f, values)?;
                f.write_str("]")
            }
            Value::Tuple(values) => {
                f.write_str("(")?;
                all(f, values)?;
                f.write_str(")")
            }
            Value::Map(pairs) => {
                f.write_str("{")?;
                for (index, (key, value)) in pairs.iter().enumerate() {
                    let comma = if index > 0 { ", " } else { "" };
                    write!(f, "{comma}{key}: {value}")?;
                }
                f.write_str("}")
            }
            Value::Record(fields) => {
                f.write_str("{")?;
                for (index, (name, value)) in fields.iter().enumerate() {
                    let comma = if index > 0 { ", " } else { "" };
                    write!(f, "{comma}{name}: {value}")?;
                }
                f.write_str("}")
            }
            Value::Variant(name, value) => case(f, name, value),
            Value::Enum(name) => f.write_str(name),
            Value::Option(Some(value)) => write!(f, "some({value})"),
            Value::Option(None) => f.write_str("none"),
            Value::Result(Ok(value)) => case(f, "ok", value),
            Value::Result(Err(value)) => case(f, "err", value),
            Value::Flags(names) => write!(f, "{{{}}}", names.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_a_text() {
        let nothing: Option<u8> = None;
        for (value, expected) in [
            (true.into(), "true"),
            ((-1_i8).into(), "-1"),
            (1.5_f32.into(), "1.5"),
            ('a'.into(), "'a'"),
            ("a\n".into(), "\"a\\n\""),
            (vec![1_u8, 2].into(), "[1, 2]"),
            (Some("a").into(), "some(\"a\")"),
            (nothing.into(), "none"),
            (Value::Tuple(vec![1_u8.into(), "b".into()]), "(1, \"b\")"),
            (
                Value::record([("a", 1_u8.into()), ("b", true.into())]),
                "{a: 1, b: true}",
            ),
            (Value::Map(vec![("k".into(), 1_u8.into())]), "{\"k\": 1}"),
            (
                Value::Variant("on".to_owned(), Some(Box::new(1_u8.into()))),
                "on(1)",
            ),
            (Value::Enum("red".to_owned()), "red"),
            (Value::Result(Ok(None)), "ok"),
            (
                Value::Result(Err(Some(Box::new("no".into())))),
                "err(\"no\")",
            ),
            (Value::Flags(vec!["r".to_owned(), "w".to_owned()]), "{r, w}"),
        ] {
            assert_eq!(value.to_string(), expected);
        }
    }

    #[test]
    fn a_value_of_another_type_is_not_converted() {
        assert_eq!(u32::try_from(Value::U32(7)), Ok(7));
        let error = u32::try_from(Value::U64(7)).unwrap_err();
        assert_eq!(error.to_string(), "expected u32, found u64");
    }
}
