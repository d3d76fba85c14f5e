//! Where a key lives: a fixed hash of its serialised form.
//!
//! The hash decides in which partition a key and its state are, so it may never change with a
//! compiler, a machine or a release; its test vectors below are part of the format. It reads the
//! key through serde without writing any bytes down.
//!
//! The mixing step is the folded multiply (the two halves of a 128-bit product, xored) known from
//! wyhash and its relatives.

use std::ops::Range;

use serde::{Serialize, ser};

/// The 64-bit hash of a key. Its top bits choose the key group, its low bits the place in a table.
pub(crate) fn hash<K: Serialize + ?Sized>(key: &K) -> u64 {
    let mut hasher = Hasher(SEED);
    // Nothing in `Hasher` fails; a key whose own `Serialize` does hashes as far as it came.
    let _ = key.serialize(&mut hasher);
    fold(hasher.0 ^ K2, K1)
}

/// Which of `partitions` ranges of `groups` key groups a hash falls into. Groups are dealt out as
/// evenly as whole numbers allow.
pub(crate) fn partition(hash: u64, groups: u32, partitions: u32) -> u32 {
    let group = (u128::from(hash) * u128::from(groups)) >> 64;
    (group * u128::from(partitions) / u128::from(groups)) as u32
}

/// The key groups of a partition: those of the hashes that [`partition`] puts there. None, if there are more partitions
/// than groups and it is one of those left over.
pub(crate) fn groups_of(at: u32, groups: u32, partitions: u32) -> Range<u32> {
    let first = |at: u64| (at * u64::from(groups)).div_ceil(u64::from(partitions)) as u32;
    first(u64::from(at))..first(u64::from(at) + 1)
}

/// How many partitions keys can be spread over if nobody says: of the `wanted`, at least one, and
/// none that could never have a key.
pub(crate) fn partitions(wanted: u32, groups: u32) -> u32 {
    wanted.clamp(1, groups)
}

/// How many partitions a shuffle by key makes if somebody says `wanted`, or has a dataset of so
/// many: as many, since that is what they count on (`api.md` §12), even if those beyond the key
/// groups never have a key. At least one: into none, everything would go without a word.
pub(crate) fn partitions_asked_for(wanted: u32) -> u32 {
    wanted.max(1)
}

const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
const K1: u64 = 0xa076_1d64_78bd_642f;
const K2: u64 = 0xe703_7ed1_a0b4_28db;

#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

struct Hasher(u64);

impl Hasher {
    #[inline(always)]
    fn word(&mut self, word: u64) {
        self.0 = fold(self.0 ^ word, K1);
    }

    #[inline(always)]
    fn bytes(&mut self, bytes: &[u8]) {
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap_or_default());
        let n = bytes.len();
        let (low, high) = match n {
            0 => (0, 0),
            // Two overlapping reads cover every length between their own and twice that.
            1..=3 => (u64::from(bytes[0]) | u64::from(bytes[n / 2]) << 8 | u64::from(bytes[n - 1]) << 16, 0),
            4..=8 => {
                let half = |at: usize| {
                    u64::from(u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap_or_default()))
                };
                (half(0) | half(n - 4) << 32, 0)
            }
            9..=16 => (word(0), word(n - 8)),
            _ => {
                let mut at = 0;
                while at + 16 < n {
                    self.0 = fold(self.0 ^ word(at), K1 ^ word(at + 8));
                    at += 16;
                }
                (word(n - 16), word(n - 8))
            }
        };
        // The length keeps "a" + "bc" apart from "ab" + "c".
        self.0 = fold(self.0 ^ low, K1 ^ high ^ n as u64);
    }
}

/// The hash fed no error and produced no value: what serde asks every serializer to name.
#[derive(Debug)]
pub(crate) struct Never;

impl std::fmt::Display for Never {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a key failed to serialise")
    }
}

impl std::error::Error for Never {}

impl ser::Error for Never {
    fn custom<T: std::fmt::Display>(_: T) -> Self {
        Self
    }
}

macro_rules! words {
    ($($method:ident: $type:ty,)*) => {$(
        #[inline(always)]
        fn $method(self, value: $type) -> Result<(), Never> {
            self.word(value as u64);
            Ok(())
        }
    )*};
}

impl ser::Serializer for &mut Hasher {
    type Ok = ();
    type Error = Never;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    words! {
        serialize_bool: bool,
        serialize_i8: i8,
        serialize_i16: i16,
        serialize_i32: i32,
        serialize_i64: i64,
        serialize_u8: u8,
        serialize_u16: u16,
        serialize_u32: u32,
        serialize_u64: u64,
        serialize_char: char,
    }

    fn serialize_i128(self, value: i128) -> Result<(), Never> {
        self.serialize_u128(value as u128)
    }

    fn serialize_u128(self, value: u128) -> Result<(), Never> {
        self.word(value as u64);
        self.word((value >> 64) as u64);
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Result<(), Never> {
        self.serialize_u32(value.to_bits())
    }

    fn serialize_f64(self, value: f64) -> Result<(), Never> {
        self.serialize_u64(value.to_bits())
    }

    #[inline(always)]
    fn serialize_str(self, value: &str) -> Result<(), Never> {
        self.bytes(value.as_bytes());
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Never> {
        self.bytes(value);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Never> {
        self.serialize_u8(0)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Never> {
        self.word(1);
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Never> {
        self.serialize_u8(0)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Never> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, index: u32, _: &'static str) -> Result<(), Never> {
        self.serialize_u32(index)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Never> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), Never> {
        self.word(u64::from(index));
        value.serialize(self)
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Self, Never> {
        self.word(len.unwrap_or(usize::MAX) as u64);
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Never> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Never> {
        Ok(self)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Never> {
        self.word(u64::from(index));
        Ok(self)
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Self, Never> {
        self.serialize_seq(len)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Never> {
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Never> {
        self.word(u64::from(index));
        Ok(self)
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

macro_rules! compound {
    ($($trait:ident: $method:ident($($key:ty)?),)*) => {$(
        impl ser::$trait for &mut Hasher {
            type Ok = ();
            type Error = Never;

            fn $method<T: Serialize + ?Sized>(&mut self, $(_: $key,)? value: &T) -> Result<(), Never> {
                value.serialize(&mut **self)
            }

            fn end(self) -> Result<(), Never> {
                Ok(())
            }
        }
    )*};
}

compound! {
    SerializeSeq: serialize_element(),
    SerializeTuple: serialize_element(),
    SerializeTupleStruct: serialize_field(),
    SerializeTupleVariant: serialize_field(),
    SerializeStruct: serialize_field(&'static str),
    SerializeStructVariant: serialize_field(&'static str),
}

impl ser::SerializeMap for &mut Hasher {
    type Ok = ();
    type Error = Never;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Never> {
        key.serialize(&mut **self)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Never> {
        value.serialize(&mut **self)
    }

    fn end(self) -> Result<(), Never> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Part of the format: a released version never changes these.
    #[test]
    fn vectors() {
        let text = [
            ("", 0x14cb_b45e_7166_3f30),
            ("a", 0xb66c_661f_1fb6_ce8f),
            ("abc", 0xcd8b_5936_1c69_e59b),
            ("abcde", 0xb8da_ad16_cd77_ed65),
            ("cutwater", 0x2abd_70fa_0c6b_454d),
            ("a cutwater", 0x0997_5c92_c219_0fde),
            ("the wedge of a bridge pier that divides", 0x89e2_dd37_0acd_3db7),
        ];
        for (key, expected) in text {
            assert_eq!(hash(key), expected, "{key:?}");
            assert_eq!(hash(&key.to_owned()), expected, "a String lives where its str does");
        }
        assert_eq!(hash(&7u64), 0xa670_fea2_530c_c8eb);
        assert_eq!(hash(&-1i32), 0x2e64_ad86_f248_9fcd);
        assert_eq!(hash(&("a", 7u8)), 0x24fc_ea3b_967d_65c8);
        assert_eq!(hash(&Some(7u64)), 0x2991_0f6d_02d6_7c86);
    }

    #[test]
    fn partitions_are_ranges_of_groups_and_all_are_used() {
        let mut counts = [0u32; 7];
        let mut last = 0;
        for step in 0..=255u64 {
            let p = partition(step << 56, 256, 7);
            assert!(p >= last, "groups of one partition are neighbours");
            last = p;
            counts[p as usize] += 1;
        }
        assert!(counts.iter().all(|groups| (36..=37).contains(groups)), "{counts:?}");
    }

    #[test]
    fn the_groups_of_partitions_are_those_whose_hashes_lie_there() {
        for (groups, partitions) in [(256, 1), (256, 7), (256, 255), (256, 256), (256, 300), (5, 3), (3, 8)] {
            let mut next = 0;
            for at in 0..partitions {
                let range = groups_of(at, groups, partitions);
                assert_eq!(range.start, next, "{at} of {partitions}");
                next = range.end;
                for group in range {
                    let hash = ((u128::from(group) << 64).div_ceil(u128::from(groups))) as u64;
                    assert_eq!(partition(hash, groups, partitions), at, "group {group} of {groups}");
                }
            }
            assert_eq!(next, groups, "{partitions}");
        }
    }

    #[test]
    fn small_integers_and_words_spread() {
        let mut counts = [0u32; 8];
        for n in 0..8000u32 {
            counts[partition(hash(&n), 256, 8) as usize] += 1;
            counts[partition(hash(&format!("word{n}")), 256, 8) as usize] += 1;
        }
        assert!(counts.iter().all(|n| (1850..=2150).contains(n)), "{counts:?}");
    }
}
