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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_stay_as_they_were_written() {
        let text = r#"{"b":1E400,"a":"\u0041\/","a":18446744073709551616,"\u00e9":[ 1, 2 ],"\ud800":-0}"#;
        assert_eq!(Object::parse(text).unwrap().to_string(), text);
        assert_eq!(Object::parse(" { } ").unwrap().to_string(), "{}");
        for text in ["", "null", "[]", "1", "\"a\"", "{", "{\"a\"}", "{} {}"] {
            assert!(Object::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn what_comes_after_is_kept() {
        for (text, rest) in [("{}", ""), (" {}\n", "\n"), ("{} x", " x"), ("{}{}", "{}")] {
            assert_eq!(Object::first(text).unwrap().1, rest, "{text}");
        }
        assert!(Object::first("x {}").is_none());
    }

    #[test]
    fn fields_are_found_whatever_their_case_and_keys_are_not() {
        let mut object = Object::parse(r#"{"Dns":1,"dNS":2,"x":null,"\u0044ns":3,"y":4}"#).unwrap();
        assert_eq!(object.get("DNS"), Some("3"));
        assert_eq!(
            (object.entry("Dns"), object.entry("DNS"), object.entry("dNS")),
            (Some("3"), None, Some("2"))
        );
        assert_eq!((object.get("x"), object.get("z")), (None, None));
        object.set("dns", "5".to_owned());
        object.insert("DNS", "6".to_owned());
        object.set("x", "7".to_owned());
        object.set("z\"", "8".to_owned());
        assert_eq!(
            object.to_string(),
            r#"{"Dns":1,"dNS":2,"x":7,"\u0044ns":5,"y":4,"DNS":6,"z\"":8}"#
        );
    }

    #[test]
    fn what_is_absent_or_null_is_empty_and_the_wrong_kind_is_nothing() {
        let object = Object::parse(r#"{"null":null,"text":"a","list":["a"],"object":{"a":1}}"#).unwrap();
        for (field, text, list, keys) in [
            ("absent", Some(""), Some(0), Some(0)),
            ("null", Some(""), Some(0), Some(0)),
            ("text", Some("a"), None, None),
            ("list", None, Some(1), None),
            ("object", None, None, Some(1)),
        ] {
            assert_eq!(object.read::<String>(field).as_deref(), text, "{field}");
            assert_eq!(
                object.read::<Vec<String>>(field).map(|list| list.len()),
                list,
                "{field}"
            );
            assert_eq!(
                object.object(field).map(|object| object.keys().count()),
                keys,
                "{field}"
            );
        }
    }

    #[test]
    fn deep_values_are_no_danger() {
        let deep = "[".repeat(200_000) + &"]".repeat(200_000);
        let object = Object::parse(&format!(r#"{{"a":{deep}}}"#)).unwrap();
        assert_eq!(object.get("a"), Some(deep.as_str()));
        assert_eq!(object.read::<Vec<serde_json::Value>>("a"), None);
    }
}
