//! One key of a presence list, as it came: metas by their refs, and whatever stands beside them.

use std::{any::Any, borrow::Cow, fmt, sync::Arc};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::decoded::Decoded;
use crate::word::Word;

/// Whoever is present under one key, raw. Decoded by those who look at it, once for each type.
pub(crate) struct Person {
    pub(super) key: Arc<str>,
    pub(super) metas: Vec<Meta>,
    /// The JSON object of the fields beside `metas`, where there are any.
    pub(super) extra: Option<Arc<str>>,
    decoded: Decoded,
}

/// One tracked process: its JSON object, and the `phx_ref` in it.
#[derive(Clone)]
pub(super) struct Meta {
    pub(super) text: Arc<str>,
    pub(super) reference: Word,
}

/// What is held for a person, and for a meta, beyond the bytes that came; rounded up.
const PERSON: usize = 200;
const META: usize = 80;

impl Person {
    pub(super) fn new(key: Arc<str>, metas: Vec<Meta>, extra: Option<Arc<str>>) -> Self {
        Person { key, metas, extra, decoded: Decoded::default() }
    }

    /// In bytes.
    pub(crate) fn cost(&self) -> usize {
        let extra = self.extra.as_ref().map_or(0, |extra| extra.len());
        self.key.len() + extra + self.metas.iter().map(|meta| meta.text.len() + META).sum::<usize>() + PERSON
    }

    pub(super) fn has(&self, reference: &Word) -> bool {
        self.metas.iter().any(|meta| meta.reference == *reference)
    }

    /// Whether nothing tells them apart.
    pub(super) fn is_same(&self, other: &Person) -> bool {
        fn texts(person: &Person) -> impl Iterator<Item = &Arc<str>> {
            person.metas.iter().map(|meta| &meta.text)
        }
        self.extra == other.extra && texts(self).eq(texts(other))
    }

    /// What it is to readers of this type.
    pub(super) fn decoded<T: Any + Send + Sync>(&self, decode: impl FnOnce(&Self) -> T) -> &T {
        self.decoded.get(|| decode(self))
    }
}

impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Person({:?}, {} metas)", self.key, self.metas.len())
    }
}

/// A person in a message that is being read, borrowed from it.
#[derive(Debug)]
pub(super) struct Given<'a> {
    metas: Vec<GivenMeta<'a>>,
    extra: Vec<(Text<'a>, &'a RawValue)>,
}

#[derive(Debug)]
struct GivenMeta<'a> {
    text: &'a str,
    reference: Word,
}

impl Given<'_> {
    pub(super) fn has(&self, reference: &Word) -> bool {
        self.metas.iter().any(|meta| meta.reference == *reference)
    }

    pub(super) fn metas(&self) -> Vec<Meta> {
        self.metas.iter().map(|meta| Meta { text: meta.text.into(), reference: meta.reference.clone() }).collect()
    }

    pub(super) fn extra(&self) -> Option<Arc<str>> {
        if self.extra.is_empty() {
            return None;
        }
        let mut object = String::from("{");
        for (name, value) in &self.extra {
            if object.len() > 1 {
                object.push(',');
            }
            object += &serde_json::Value::from(&*name.0).to_string();
            object.push(':');
            object += value.get();
        }
        object.push('}');
        Some(object.into())
    }

    pub(super) fn to_person(&self, key: Arc<str>) -> Person {
        Person::new(key, self.metas(), self.extra())
    }
}

/// A string that is borrowed where it has no escapes.
#[derive(Debug, Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Given<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Given<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a presence, with its metas")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Given<'de>, A::Error> {
        let (mut metas, mut extra) = (None, Vec::<(Text<'de>, &'de RawValue)>::new());
        while let Some(name) = map.next_key::<Text<'de>>()? {
            if name.0 == "metas" {
                metas = Some(map.next_value::<Vec<GivenMeta<'de>>>()?);
                continue;
            }
            // As elsewhere in JSON, of a field that stands twice the last counts.
            extra.retain(|(before, _)| before.0 != name.0);
            extra.push((name, map.next_value()?));
        }
        let metas = metas.ok_or_else(|| A::Error::missing_field("metas"))?;
        Ok(Given { metas, extra })
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for GivenMeta<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Ref<'a> {
            #[serde(borrow)]
            phx_ref: Cow<'a, str>,
        }
        let text = <&RawValue>::deserialize(deserializer)?.get();
        let Ref { phx_ref } = serde_json::from_str(text).map_err(D::Error::custom)?;
        Ok(GivenMeta { text, reference: Word::from(&*phx_ref) })
    }
}
