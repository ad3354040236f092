//! An enum whose variant is picked by the event's name.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{
        self, DeserializeSeed, EnumAccess, IntoDeserializer, VariantAccess, Visitor,
        value::{MapDeserializer, SeqDeserializer, StrDeserializer},
    },
    forward_to_deserialize_any,
};

use crate::{error::DecodeError, message::Message, presence::is_presence};

/// What became of a message.
#[derive(Debug)]
pub(super) enum Tagged<T> {
    Is(T),
    /// The enum has no variant of this name, and none for all others.
    Unknown,
    /// Not asked for: the enum does not name this presence event.
    PassedOver,
    Malformed(DecodeError),
}

/// Reads a message into the variant of its event's name. Few enums of an application mean presence by their catch-all.
pub(super) fn tagged<'a, T: Deserialize<'a>>(message: &'a Message) -> Tagged<T> {
    match T::deserialize(Event(message)) {
        Ok(value) => Tagged::Is(value),
        Err(Failure::Unknown) if is_presence(message.event().into()) => Tagged::PassedOver,
        Err(Failure::PassedOver) => Tagged::PassedOver,
        Err(Failure::Unknown) => Tagged::Unknown,
        Err(Failure::Malformed(error)) => Tagged::Malformed(error),
    }
}

#[derive(Debug)]
enum Failure {
    Unknown,
    PassedOver,
    Malformed(DecodeError),
}

impl de::Error for Failure {
    fn custom<T: fmt::Display>(what: T) -> Self {
        Failure::Malformed(DecodeError::new(what.to_string()))
    }

    fn unknown_variant(_: &str, _: &'static [&'static str]) -> Self {
        Failure::Unknown
    }
}

impl std::error::Error for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Unknown => f.write_str("an unknown event"),
            Failure::PassedOver => f.write_str("a presence event"),
            Failure::Malformed(error) => error.fmt(f),
        }
    }
}

impl From<DecodeError> for Failure {
    fn from(error: DecodeError) -> Self {
        Failure::Malformed(error)
    }
}

/// A message as an externally tagged enum: the event is the tag, the payload what stands under it.
#[derive(Clone, Copy)]
struct Event<'a>(&'a Message);

impl<'de> Event<'de> {
    /// The payload, by serde_json's own ways: a struct, a list, a newtype.
    fn payload<T>(
        self,
        read: impl FnOnce(&mut serde_json::Deserializer<serde_json::de::SliceRead<'de>>) -> serde_json::Result<T>,
    ) -> Result<T, Failure> {
        Ok(self.0.payload().read(read)?)
    }
}

impl<'de> Deserializer<'de> for Event<'de> {
    type Error = Failure;

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let event = self.0.event();
        if is_presence(event.into()) && !variants.contains(&event) {
            return Err(Failure::PassedOver);
        }
        visitor.visit_enum(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Failure> {
        Err(de::Error::custom(
            "only an enum with one variant for each event (serde's externally tagged form) can be read",
        ))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq
        tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de> EnumAccess<'de> for Event<'de> {
    type Error = Failure;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Failure> {
        let name: StrDeserializer<'_, Failure> = self.0.event().into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for Event<'de> {
    type Error = Failure;

    /// Whatever the payload is: it is not asked for.
    fn unit_variant(self) -> Result<(), Failure> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Failure> {
        self.payload(|payload| seed.deserialize(payload))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Failure> {
        if len == 0 {
            return visitor.visit_seq(SeqDeserializer::new(std::iter::empty::<()>()));
        }
        self.payload(|payload| payload.deserialize_tuple(len, visitor))
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Failure> {
        if fields.is_empty() {
            return visitor.visit_map(MapDeserializer::new(std::iter::empty::<((), ())>()));
        }
        self.payload(|payload| payload.deserialize_struct("", fields, visitor))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{message::Names, payload::Payload};

    fn message(event: &str, payload: &'static str) -> Message {
        let names = Arc::new(Names { topic: "room:1".into(), event: event.into() });
        Message::new(names, Payload::from_raw(payload, payload.is_empty()))
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Said<'a> {
        Typing,
        Shout(Shout),
        #[serde(rename = "msg:new", alias = "msg")]
        New {
            body: &'a str,
            #[serde(default)]
            n: u8,
        },
        Moved(i32, i32),
        Note(String),
        Parens(),
        Braces {},
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Shout {
        body: String,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Open {
        Typing,
        #[serde(other)]
        Other,
    }

    fn is<'a, T: Deserialize<'a> + fmt::Debug>(message: &'a Message) -> T {
        match tagged(message) {
            Tagged::Is(value) => value,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_form_of_variant_is_read_and_may_borrow() {
        assert_eq!(is::<Said<'_>>(&message("typing", "{}")), Said::Typing);
        assert_eq!(is::<Said<'_>>(&message("typing", "not even JSON")), Said::Typing, "the payload is not asked for");
        for payload in ["{}", r#"{"more":1}"#, "null", "[1]", "not even JSON"] {
            assert_eq!(is::<Said<'_>>(&message("parens", payload)), Said::Parens());
            assert_eq!(is::<Said<'_>>(&message("braces", payload)), Said::Braces {});
        }
        let shout = message("shout", r#"{"body":"hi"}"#);
        assert_eq!(is::<Said<'_>>(&shout), Said::Shout(Shout { body: "hi".into() }));
        for name in ["msg:new", "msg"] {
            let new = message(name, r#"{"body":"hi","more":1}"#);
            assert_eq!(is::<Said<'_>>(&new), Said::New { body: "hi", n: 0 });
        }
        assert_eq!(is::<Said<'_>>(&message("moved", "[1,-2]")), Said::Moved(1, -2));
        assert_eq!(is::<Said<'_>>(&message("note", "\"x\"")), Said::Note("x".into()));
    }

    #[test]
    fn a_newtype_around_the_enum_is_seen_through() {
        #[derive(Debug, PartialEq, Deserialize)]
        struct Wrapped(Open);
        assert_eq!(is::<Wrapped>(&message("typing", "{}")), Wrapped(Open::Typing));
    }

    #[test]
    fn an_event_that_the_enum_does_not_know_is_unknown_or_its_catch_all() {
        assert!(matches!(tagged::<Said<'_>>(&message("Typing", "{}")), Tagged::Unknown));
        assert!(matches!(tagged::<Said<'_>>(&message("", "{}")), Tagged::Unknown));
        assert_eq!(is::<Open>(&message("shout", "[1]")), Open::Other);
    }

    /// An unknown variant inside of a payload is a payload that does not fit, not an unknown event.
    #[test]
    fn a_payload_that_does_not_fit_is_malformed() {
        #[derive(Debug, Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Outer {
            #[allow(dead_code, reason = "never made")]
            Inner(Open2),
        }
        #[derive(Debug, Deserialize)]
        #[allow(dead_code, reason = "never made")]
        enum Open2 {
            A,
        }
        assert!(matches!(tagged::<Outer>(&message("inner", "\"B\"")), Tagged::Malformed(_)));
        for payload in ["", "{", "{}", "null", r#"{"body":1}"#] {
            let Tagged::Malformed(error) = tagged::<Said<'_>>(&message("shout", payload)) else { panic!("{payload}") };
            assert!(error.to_string().starts_with("the payload cannot be decoded: "), "{error}");
        }
    }

    // P-1: whoever does not name presence does not get it, not even as all others.
    #[test]
    fn presence_is_passed_over_unless_it_is_named() {
        #[derive(Debug, PartialEq, Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Named {
            PresenceDiff(serde_json::Value),
        }
        for event in ["presence_state", "presence_diff"] {
            assert!(matches!(tagged::<Said<'_>>(&message(event, "{}")), Tagged::PassedOver));
            assert!(matches!(tagged::<Open>(&message(event, "{}")), Tagged::PassedOver));
        }
        assert_eq!(is::<Named>(&message("presence_diff", "1")), Named::PresenceDiff(1.into()));
        assert!(matches!(tagged::<Named>(&message("presence_state", "{}")), Tagged::PassedOver));
    }

    #[test]
    fn what_is_no_such_enum_says_so() {
        #[derive(Debug, Deserialize)]
        #[serde(tag = "kind")]
        #[expect(dead_code, reason = "never made")]
        enum Internal {
            A { a: u8 },
        }
        for outcome in [
            format!("{:?}", tagged::<Shout>(&message("shout", r#"{"body":"hi"}"#))),
            format!("{:?}", tagged::<u8>(&message("shout", "1"))),
            format!("{:?}", tagged::<Internal>(&message("shout", r#"{"kind":"A","a":1}"#))),
        ] {
            assert!(outcome.contains("externally tagged"), "{outcome}");
        }
    }
}
