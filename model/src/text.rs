//! Serde by text for people's formats and by value for binary ones.

/// Implements `Serialize` and `Deserialize`: the `Display` form where the format is human readable,
/// the value behind `$into`/`$from` elsewhere.
macro_rules! serde_by_text {
    ($type:ty, $repr:ty, |$value:ident| $into:expr, |$raw:ident| $from:expr) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    let $value = self;
                    serde::Serialize::serialize(&$into, serializer)
                }
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                    text.parse().map_err(serde::de::Error::custom)
                } else {
                    let $raw = <$repr as serde::Deserialize>::deserialize(deserializer)?;
                    $from.map_err(serde::de::Error::custom)
                }
            }
        }
    };
}
pub(crate) use serde_by_text;
