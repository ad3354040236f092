//! Params as a query string that Plug reads back.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::error::BuildError;

/// What `encodeURIComponent` leaves bare (U-8).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// The query string of these params, in the order in which they serialize; `""` for `()`, `None` and an empty map.
///
/// `a[b]=v` for what is in a map, `a[]=v` for what is in a list (DEV-2). What is null or empty is left out, and so is
/// `vsn`, which is not the user's to choose (U-13).
///
/// Plug reads `a[][x]=1&a[][x]=2` back as a list of one map since 1.15, and `a[][x]=1&a[][y]=2` as a list of two
/// before that. So a list may hold any number of plain values, but one map or list at most, of one value.
///
/// # Errors
/// [`BuildError::Params`] for params that are not a map, do not serialize, or have no form that Plug reads back.
pub(crate) fn query(params: &impl Serialize) -> Result<String, BuildError> {
    // Through JSON text rather than `serde_json::Value`, which would sort the keys.
    let json = serde_json::to_string(params).map_err(unusable)?;
    if json == "null" {
        return Ok(String::new());
    }
    let Ok(Pairs(pairs)) = serde_json::from_str(&json) else {
        return Err(unusable("they are not a map of names to values"));
    };
    let mut out = Query::default();
    for (key, value) in pairs.iter().filter(|(key, _)| key != "vsn") {
        out.value(&encode(key), value)?;
    }
    Ok(out.text)
}

pub(super) fn encode(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// Whether this part of a query sets `vsn`, as a server reads it.
pub(super) fn names_vsn(pair: &str) -> bool {
    let key = pair.split('=').next().unwrap_or_default();
    percent_decode_str(key).eq(*b"vsn")
}

#[derive(Default)]
struct Query {
    text: String,
    pairs: usize,
}

impl Query {
    fn value(&mut self, key: &str, value: &RawValue) -> Result<(), BuildError> {
        let json = value.get();
        match json.as_bytes().first() {
            Some(b'n') => {}
            Some(b'{') => {
                let Pairs(pairs) = read(json)?;
                for (name, value) in &pairs {
                    self.value(&format!("{key}%5B{}%5D", encode(name)), value)?;
                }
            }
            Some(b'[') => self.list(key, &read::<Vec<&RawValue>>(json)?)?,
            Some(b'"') => self.pair(key, &encode(&read::<String>(json)?)),
            _ => self.pair(key, json.strip_suffix(".0").unwrap_or(json)),
        }
        Ok(())
    }

    fn list(&mut self, key: &str, list: &[&RawValue]) -> Result<(), BuildError> {
        let item = format!("{key}%5B%5D");
        let mut nested = 0;
        for value in list {
            let before = self.pairs;
            self.value(&item, value)?;
            if value.get().starts_with(['{', '[']) {
                nested += self.pairs - before;
            }
        }
        if nested > 1 {
            return Err(unusable(format_args!(
                "a list of maps or lists, as in `{}`, has no form that Plug reads back: send it as JSON text, or with the join",
                percent_decode_str(key).decode_utf8_lossy()
            )));
        }
        Ok(())
    }

    fn pair(&mut self, key: &str, value: &str) {
        if self.pairs > 0 {
            self.text.push('&');
        }
        self.text.extend([key, "=", value]);
        self.pairs += 1;
    }
}

/// A JSON object as it was written, order included.
struct Pairs<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Collect)
    }
}

struct Collect;

impl<'de> Visitor<'de> for Collect {
    type Value = Pairs<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<'de>, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Pairs(pairs))
    }
}

fn read<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, BuildError> {
    serde_json::from_str(json).map_err(unusable)
}

fn unusable(why: impl fmt::Display) -> BuildError {
    BuildError::Params(why.to_string().into())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn plain(params: Value) -> String {
        percent_decode_str(&query(&params).unwrap()).decode_utf8().unwrap().into_owned()
    }

    fn refused(params: impl Serialize) -> String {
        match query(&params) {
            Err(BuildError::Params(why)) => why.to_string(),
            other => panic!("{other:?}"),
        }
    }

    // U-8, U-12, DEV-2, U-10, U-11
    #[test]
    fn golden_queries() {
        let vectors: Value = serde_json::from_str(include_str!("../../tests/vectors.json")).unwrap();
        let cases = vectors["query_serialize"].as_array().unwrap();
        assert_eq!(cases.len(), 8);
        for (at, case) in cases.iter().enumerate() {
            let ours = match at {
                1 => Some("a%5B%5D=1&a%5B%5D=2"),
                2 => None,
                3 | 4 => Some("b=1"),
                _ => case["out"].as_str(),
            };
            assert_eq!(query(&case["params"]).ok().as_deref(), ours, "{case}");
        }
    }

    // U-9
    #[test]
    fn maps_nest_depth_first_in_the_order_they_serialize() {
        #[derive(Serialize)]
        struct Outer {
            z: u8,
            inner: Inner,
            a: &'static str,
        }
        #[derive(Serialize)]
        struct Inner {
            y: Vec<u8>,
            b: Option<u8>,
        }
        let params = Outer { z: 1, inner: Inner { y: vec![1, 2], b: Some(3) }, a: "" };
        assert_eq!(query(&params).unwrap(), "z=1&inner%5By%5D%5B%5D=1&inner%5By%5D%5B%5D=2&inner%5Bb%5D=3&a=");
        assert_eq!(plain(json!({"a": {"b": {"c": 1}}})), "a[b][c]=1");
    }

    // U-8
    #[test]
    fn everything_but_the_bare_set_is_encoded_as_utf_8() {
        let bare = "AZaz09-_.!~*'()";
        assert_eq!(query(&json!({bare: bare})).unwrap(), format!("{bare}={bare}"));
        assert_eq!(query(&json!({"ä &": "+/=?#\u{1F600}"})).unwrap(), "%C3%A4%20%26=%2B%2F%3D%3F%23%F0%9F%98%80");
    }

    // U-12
    #[test]
    fn numbers_are_their_decimal_text() {
        let params = json!({"a": -1, "b": u64::MAX, "c": 1.0, "d": 0.1f32, "e": false});
        assert!(plain(params).starts_with("a=-1&b=18446744073709551615&c=1&d=0.10000000149011612&e=false"));
        #[derive(Serialize)]
        struct Exact {
            single: f32,
            wide: u128,
        }
        assert_eq!(query(&Exact { single: 0.1, wide: u128::MAX }).unwrap(), format!("single=0.1&wide={}", u128::MAX));
    }

    // U-11, DEV-2
    #[test]
    fn null_and_empty_are_left_out_at_any_depth() {
        assert_eq!(plain(json!({"a": null, "b": {"c": {}, "d": [null, [], 1]}, "e": f64::NAN})), "b[d][]=1");
        for none in [json!(null), json!({}), json!({"a": {"b": [{}]}})] {
            assert_eq!(plain(none), "");
        }
        assert_eq!(query(&()).unwrap(), "");
        assert_eq!(query(&None::<u8>).unwrap(), "");
    }

    // U-13, T-11
    #[test]
    fn the_users_vsn_is_dropped_at_the_top_only() {
        assert_eq!(plain(json!({"a": {"vsn": 1}, "vsn": "1.0.0"})), "a[vsn]=1");
    }

    // DEV-2, N-17
    #[test]
    fn a_list_that_plug_would_not_read_back_is_an_error() {
        assert_eq!(plain(json!({"a": [1, {"x": 2, "y": null}, 3]})), "a[]=1&a[][x]=2&a[]=3");
        assert_eq!(plain(json!({"a": [[[1]]]})), "a[][][]=1");
        for list in
            [json!([{"x": 1, "y": 2}]), json!([{"x": 1}, {"x": 2}]), json!([[1, 2]]), json!([{"x": {"y": [1, 2]}}])]
        {
            let why = refused(json!({"top": {"list": list}}));
            assert!(why.contains("`top[list]") && why.contains("no form that Plug reads back"), "{why}");
        }
    }

    #[test]
    fn params_are_a_map() {
        for params in [json!("token=hunter2"), json!(1), json!([1])] {
            assert_eq!(refused(params), "they are not a map of names to values");
        }
        assert!(refused(std::collections::HashMap::from([(vec![1], 1)])).contains("key"));
    }
}
