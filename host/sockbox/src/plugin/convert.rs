//! Values for wasmtime, checked against the types of a function.

use super::value::Value;
use wasmtime::component::{Type, Val};

/// Why a value can't be passed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mismatch {
    /// Where in the value: `.field[3]`.
    place: String,
    problem: String,
}

impl Mismatch {
    fn new(problem: impl Into<String>) -> Mismatch {
        Mismatch {
            place: String::new(),
            problem: problem.into(),
        }
    }

    /// It is in this part of a larger value.
    fn within(mut self, part: &str) -> Mismatch {
        self.place.insert_str(0, part);
        self
    }

    /// What is wrong with the parameter `name`.
    pub(super) fn of(self, name: &str) -> String {
        let Mismatch { place, problem } = self;
        format!("`{name}{place}`: {problem}")
    }
}

/// The name of a type, as WIT writes it.
pub(super) fn name_of(ty: &Type) -> &'static str {
    match ty {
        Type::Bool => "bool",
        Type::S8 => "s8",
        Type::U8 => "u8",
        Type::S16 => "s16",
        Type::U16 => "u16",
        Type::S32 => "s32",
        Type::U32 => "u32",
        Type::S64 => "s64",
        Type::U64 => "u64",
        Type::Float32 => "f32",
        Type::Float64 => "f64",
        Type::Char => "char",
        Type::String => "string",
        Type::List(_) | Type::FixedLengthList(_) => "list",
        Type::Map(_) => "map",
        Type::Record(_) => "record",
        Type::Tuple(_) => "tuple",
        Type::Variant(_) => "variant",
        Type::Enum(_) => "enum",
        Type::Option(_) => "option",
        Type::Result(_) => "result",
        Type::Flags(_) => "flags",
        Type::Own(_) | Type::Borrow(_) => "resource",
        Type::Future(_) => "future",
        Type::Stream(_) => "stream",
        Type::ErrorContext => "error-context",
    }
}

/// The value as one of this type.
pub(super) fn to_val(value: &Value, ty: &Type) -> Result<Val, Mismatch> {
    Ok(match (value, ty) {
        (Value::Bool(it), Type::Bool) => Val::Bool(*it),
        (Value::S8(it), Type::S8) => Val::S8(*it),
        (Value::U8(it), Type::U8) => Val::U8(*it),
        (Value::S16(it), Type::S16) => Val::S16(*it),
        (Value::U16(it), Type::U16) => Val::U16(*it),
        (Value::S32(it), Type::S32) => Val::S32(*it),
        (Value::U32(it), Type::U32) => Val::U32(*it),
        (Value::S64(it), Type::S64) => Val::S64(*it),
        (Value::U64(it), Type::U64) => Val::U64(*it),
        (Value::F32(it), Type::Float32) => Val::Float32(*it),
        (Value::F64(it), Type::Float64) => Val::Float64(*it),
        (Value::Char(it), Type::Char) => Val::Char(*it),
        (Value::String(it), Type::String) => Val::String(it.clone()),
        (Value::List(values), Type::List(list)) => Val::List(each(values, &list.ty())?),
        (Value::List(values), Type::FixedLengthList(list)) => {
            if values.len() as u64 != u64::from(list.len()) {
                return Err(Mismatch::new(format!(
                    "it has {} elements, not {}",
                    values.len(),
                    list.len()
                )));
            }
            Val::FixedLengthList(each(values, &list.ty())?)
        }
        (Value::Map(pairs), Type::Map(map)) => {
            let (key_type, value_type) = (map.key(), map.value());
            let mut vals = Vec::with_capacity(pairs.len());
            for (index, (key, value)) in pairs.iter().enumerate() {
                let inside = |error: Mismatch| error.within(&format!("[{index}]"));
                let key = to_val(key, &key_type).map_err(inside)?;
                vals.push((key, to_val(value, &value_type).map_err(inside)?));
            }
            Val::Map(vals)
        }
        (Value::Record(fields), Type::Record(record)) => {
            let mut vals = Vec::with_capacity(fields.len());
            for field in record.fields() {
                let found = fields.iter().find(|(name, _)| name == field.name);
                let Some((name, value)) = found else {
                    return Err(Mismatch::new(format!(
                        "it lacks the field `{}`",
                        field.name
                    )));
                };
                let val = to_val(value, &field.ty)
                    .map_err(|error| error.within(&format!(".{}", field.name)))?;
                vals.push((name.clone(), val));
            }
            let is_known = |name: &str| record.fields().any(|field| field.name == name);
            if let Some((name, _)) = fields.iter().find(|(name, _)| !is_known(name)) {
                return Err(Mismatch::new(format!("there is no field `{name}`")));
            }
            if fields.len() != vals.len() {
                return Err(Mismatch::new("a field is given twice"));
            }
            Val::Record(vals)
        }
        (Value::Tuple(values), Type::Tuple(tuple)) => {
            if values.len() != tuple.types().len() {
                return Err(Mismatch::new(format!(
                    "it has {} elements, not {}",
                    values.len(),
                    tuple.types().len()
                )));
            }
            let mut vals = Vec::with_capacity(values.len());
            for (index, (value, ty)) in values.iter().zip(tuple.types()).enumerate() {
                let inside = |error: Mismatch| error.within(&format!("[{index}]"));
                vals.push(to_val(value, &ty).map_err(inside)?);
            }
            Val::Tuple(vals)
        }
        (Value::Variant(name, value), Type::Variant(variant)) => {
            let Some(case) = variant.cases().find(|case| case.name == name) else {
                return Err(Mismatch::new(format!("there is no case `{name}`")));
            };
            Val::Variant(name.clone(), inner(value, case.ty.as_ref(), name)?)
        }
        (Value::Enum(name), Type::Enum(cases)) => {
            if !cases.names().any(|case| case == name) {
                return Err(Mismatch::new(format!("there is no case `{name}`")));
            }
            Val::Enum(name.clone())
        }
        (Value::Option(None), Type::Option(_)) => Val::Option(None),
        (Value::Option(Some(value)), Type::Option(option)) => {
            let val = to_val(value, &option.ty()).map_err(|error| error.within(".some"))?;
            Val::Option(Some(Box::new(val)))
        }
        (Value::Result(value), Type::Result(result)) => Val::Result(match value {
            Ok(value) => Ok(inner(value, result.ok().as_ref(), "ok")?),
            Err(value) => Err(inner(value, result.err().as_ref(), "err")?),
        }),
        (Value::Flags(names), Type::Flags(flags)) => {
            let is_known = |name: &&String| !flags.names().any(|flag| flag == name.as_str());
            if let Some(name) = names.iter().find(is_known) {
                return Err(Mismatch::new(format!("there is no flag `{name}`")));
            }
            Val::Flags(names.clone())
        }
        (
            _,
            Type::Own(_) | Type::Borrow(_) | Type::Future(_) | Type::Stream(_) | Type::ErrorContext,
        ) => {
            return Err(Mismatch::new(format!(
                "it is a {}, which only bindings can pass",
                name_of(ty)
            )));
        }
        (value, ty) => {
            return Err(Mismatch::new(format!(
                "expected {}, found {}",
                name_of(ty),
                value.kind()
            )));
        }
    })
}

fn each(values: &[Value], ty: &Type) -> Result<Vec<Val>, Mismatch> {
    let mut vals = Vec::with_capacity(values.len());
    for (index, value) in values.iter().enumerate() {
        let inside = |error: Mismatch| error.within(&format!("[{index}]"));
        vals.push(to_val(value, ty).map_err(inside)?);
    }
    Ok(vals)
}

/// The value of the case `name`, whose type is `ty` if it has a value.
fn inner(
    value: &Option<Box<Value>>,
    ty: Option<&Type>,
    name: &str,
) -> Result<Option<Box<Val>>, Mismatch> {
    match (value, ty) {
        (None, None) => Ok(None),
        (Some(value), Some(ty)) => to_val(value, ty)
            .map(|val| Some(Box::new(val)))
            .map_err(|error| error.within(&format!(".{name}"))),
        (Some(_), None) => Err(Mismatch::new(format!("the case `{name}` has no value"))),
        (None, Some(_)) => Err(Mismatch::new(format!("the case `{name}` needs a value"))),
    }
}

/// The value that a function has returned. The error is the name of a type that only bindings can take.
pub(super) fn from_val(val: Val) -> Result<Value, &'static str> {
    let boxed = |val: Option<Box<Val>>| -> Result<Option<Box<Value>>, &'static str> {
        val.map(|val| from_val(*val).map(Box::new)).transpose()
    };
    let all = |vals: Vec<Val>| -> Result<Vec<Value>, &'static str> {
        vals.into_iter().map(from_val).collect()
    };
    Ok(match val {
        Val::Bool(it) => Value::Bool(it),
        Val::S8(it) => Value::S8(it),
        Val::U8(it) => Value::U8(it),
        Val::S16(it) => Value::S16(it),
        Val::U16(it) => Value::U16(it),
        Val::S32(it) => Value::S32(it),
        Val::U32(it) => Value::U32(it),
        Val::S64(it) => Value::S64(it),
        Val::U64(it) => Value::U64(it),
        Val::Float32(it) => Value::F32(it),
        Val::Float64(it) => Value::F64(it),
        Val::Char(it) => Value::Char(it),
        Val::String(it) => Value::String(it),
        Val::List(vals) | Val::FixedLengthList(vals) => Value::List(all(vals)?),
        Val::Map(pairs) => Value::Map(
            pairs
                .into_iter()
                .map(|(key, value)| Ok((from_val(key)?, from_val(value)?)))
                .collect::<Result<_, &'static str>>()?,
        ),
        Val::Record(fields) => Value::Record(
            fields
                .into_iter()
                .map(|(name, val)| Ok((name, from_val(val)?)))
                .collect::<Result<_, &'static str>>()?,
        ),
        Val::Tuple(vals) => Value::Tuple(all(vals)?),
        Val::Variant(name, val) => Value::Variant(name, boxed(val)?),
        Val::Enum(name) => Value::Enum(name),
        Val::Option(val) => Value::Option(boxed(val)?),
        Val::Result(Ok(val)) => Value::Result(Ok(boxed(val)?)),
        Val::Result(Err(val)) => Value::Result(Err(boxed(val)?)),
        Val::Flags(names) => Value::Flags(names),
        Val::Resource(_) => return Err("resource"),
        Val::Future(_) => return Err("future"),
        Val::Stream(_) => return Err("stream"),
        Val::ErrorContext(_) => return Err("error-context"),
    })
}
