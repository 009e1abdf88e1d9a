//! A JSON object whose members stay as they were written, but for those that are set.
//!
//! Values are texts: numbers of any size, the order of members and what nobody here knows stay as they
//! are, to the byte. Members are found as Docker finds them: the last of several, fields whatever the case
//! of their names, keys of maps by the case, too.

use std::fmt;

use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Deserializer;
use serde_json::value::RawValue;

/// The members of an object, in their order
#[derive(Debug, Default)]
pub(crate) struct Object {
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    /// As written, with its quotes
    key: String,
    name: String,
    /// As written
    value: String,
}

impl Object {
    /// The object that a text is; nothing if it is something else
    pub(crate) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The object that a text begins with, and what comes after it
    pub(crate) fn first(text: &str) -> Option<(Self, &str)> {
        let mut values = Deserializer::from_str(text).into_iter();
        let first = values.next()?.ok()?;
        Some((first, text.get(values.byte_offset()..)?))
    }

    /// The text of a field; nothing if there is none or it is null
    pub(crate) fn get(&self, field: &str) -> Option<&str> {
        self.value_at(self.find(field))
    }

    /// The object in a field, empty if there is none or it is null; nothing if something else is there
    pub(crate) fn object(&self, field: &str) -> Option<Self> {
        self.get(field).map_or_else(|| Some(Self::default()), Self::parse)
    }

    /// What is in a field, the empty value if there is none or it is null; nothing if something else is there
    pub(crate) fn read<T: DeserializeOwned + Default>(&self, field: &str) -> Option<T> {
        self.get(field)
            .map_or_else(|| Some(T::default()), |text| serde_json::from_str(text).ok())
    }

    /// Gives a field a value: in the place of the one that counts, or as the last
    pub(crate) fn set(&mut self, field: &str, value: String) {
        let at = self.find(field);
        self.set_at(at, field, value);
    }

    /// The text of what a map has by a key, which is of the same case; nothing if there is none or it is null
    pub(crate) fn entry(&self, key: &str) -> Option<&str> {
        self.value_at(self.find_key(key))
    }

    /// Gives a map a value by a key: in the place of the one that counts, or as the last
    pub(crate) fn insert(&mut self, key: &str, value: String) {
        let at = self.find_key(key);
        self.set_at(at, key, value);
    }

    /// The keys of a map
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|member| member.name.as_str())
    }

    fn value_at(&self, at: Option<usize>) -> Option<&str> {
        let value = self.members.get(at?)?.value.as_str();
        (value != "null").then_some(value)
    }

    fn set_at(&mut self, at: Option<usize>, name: &str, value: String) {
        match at.and_then(|at| self.members.get_mut(at)) {
            Some(member) => member.value = value,
            None => self.members.push(Member {
                key: json(name),
                name: name.to_owned(),
                value,
            }),
        }
    }

    fn find(&self, field: &str) -> Option<usize> {
        self.members
            .iter()
            .rposition(|member| member.name.eq_ignore_ascii_case(field))
    }

    fn find_key(&self, key: &str) -> Option<usize> {
        self.members.iter().rposition(|member| member.name == key)
    }
}

/// The object's text
impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (at, member) in self.members.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{}:{}", member.key, member.value)?;
        }
        f.write_str("}")
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
        let mut members = Vec::new();
        while let Some((key, value)) = map.next_entry::<&RawValue, &RawValue>()? {
            members.push(Member {
                key: key.get().to_owned(),
                // A key that is no text of Rust's is none that anybody asks for.
                name: serde_json::from_str(key.get()).unwrap_or_default(),
                value: value.get().to_owned(),
            });
        }
        Ok(Object { members })
    }
}

/// The JSON of what always has one
pub(crate) fn json(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}
