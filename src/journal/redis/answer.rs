//! Reading what scripts answer. A script is ours, so an answer of another shape is a bug, but never a panic.

use redis::Value;

use super::link::LinkError;

/// The elements of a list.
pub(super) fn list(value: Value) -> Result<Vec<Value>, LinkError> {
    match value {
        Value::Array(values) => Ok(values),
        other => Err(unexpected("a list", &other)),
    }
}

/// A list of exactly so many elements.
pub(super) fn fixed<const N: usize>(value: Value) -> Result<[Value; N], LinkError> {
    list(value)?
        .try_into()
        .map_err(|values: Vec<Value>| unexpected(&format!("{N} elements"), &Value::Array(values)))
}

/// A list of exactly so many texts.
pub(super) fn texts<const N: usize>(value: Value) -> Result<[String; N], LinkError> {
    let texts: Vec<_> = list(value)?.into_iter().map(text).collect::<Result<_, _>>()?;
    let got = texts.len();
    texts.try_into().map_err(|_| LinkError::Refused(format!("its script answered {got} texts, not {N}")))
}

/// A whole number, as such or as text.
pub(super) fn int(value: &Value) -> Result<i64, LinkError> {
    match value {
        Value::Int(number) => Some(*number),
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()),
        _ => None,
    }
    .ok_or_else(|| unexpected("a number", value))
}

/// A whole number that is not negative.
pub(super) fn uint(value: &Value) -> Result<u64, LinkError> {
    u64::try_from(int(value)?).map_err(|_| unexpected("a number from 0", value))
}

/// Bytes.
pub(super) fn bytes(value: Value) -> Result<Vec<u8>, LinkError> {
    match value {
        Value::BulkString(bytes) => Ok(bytes),
        Value::SimpleString(text) => Ok(text.into_bytes()),
        other => Err(unexpected("a string", &other)),
    }
}

/// Bytes, or nothing.
pub(super) fn optional(value: Value) -> Result<Option<Vec<u8>>, LinkError> {
    match value {
        Value::Nil => Ok(None),
        other => bytes(other).map(Some),
    }
}

/// Text.
pub(super) fn text(value: Value) -> Result<String, LinkError> {
    let bytes = bytes(value)?;
    String::from_utf8(bytes)
        .map_err(|error| LinkError::Refused(format!("its script answered no text: {error}")))
}

fn unexpected(expected: &str, value: &Value) -> LinkError {
    let kind = match value {
        Value::Nil => "nothing",
        Value::Int(_) => "a number",
        Value::Array(_) => "a list",
        Value::BulkString(_) | Value::SimpleString(_) | Value::Okay => "a string",
        _ => "something else",
    };
    LinkError::Refused(format!("its script answered {kind} where {expected} was expected"))
}
