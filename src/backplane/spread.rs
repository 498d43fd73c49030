//! Any number of arguments, where a tuple would be several and a list one.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{SeqAccess, Visitor},
    ser::SerializeTuple,
};

/// Each value is an argument of its own, as `...values` in JavaScript: to emit or to ack so many, and to take all that there
/// are. A `Vec` alone is one argument.
///
/// ```
/// # use roomcast::{Ack, Args, Namespace, Spread};
/// let namespace = Namespace::new("/").on("reverse", |Args(Spread(mut all)): Args<Spread<String>>| {
///     all.reverse();
///     Ack(Spread(all)) // as many values as there were arguments
/// });
/// # let _ = namespace;
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spread<T>(pub Vec<T>);

impl<T: Serialize> Serialize for Spread<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        self.0.iter().try_for_each(|value| tuple.serialize_element(value))?;
        tuple.end()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Spread<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The readers of text and of msgpack look at what there is, not at this length.
        deserializer.deserialize_tuple(0, All(PhantomData))
    }
}

struct All<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for All<T> {
    type Value = Spread<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("arguments")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut all = Vec::new();
        while let Some(value) = seq.next_element()? {
            all.push(value);
        }
        Ok(Spread(all))
    }
}
