//! Functions that travel: the only file of cutwater with unsafe code.
//!
//! A task runs where its data is, so the functions of a program must reach other processes. Every
//! process of a cluster runs the same executable, hence a function *type* is known everywhere;
//! only its value has to be made again. A function that captures nothing has a type of size zero:
//! there is one value of it and it has no bytes. So nothing is sent but the address of a piece of
//! code that was compiled for that type ([`Code`]), and what the function needs besides is handed
//! over by `with` and serialised.
//!
//! # Why this is sound
//!
//! 1. [`conjure`] makes a value of `F` from nothing. `F` has size zero (checked when the program is
//!    compiled), so there are no bytes to be wrong, and it is inhabited: the only way to name `F`
//!    is to have handed a value of it to an operation, whose code is what calls `conjure`.
//! 2. `F: Copy`, so having two values of it is something safe code can do anyhow. That excludes
//!    types of size zero that stand for something owned (a guard, a token with a destructor).
//! 3. `F: Send + Sync + 'static`, so the value may appear on any thread at any time.
//! 4. [`Code::load`] turns a number that came from another process into a reference to an [`Entry`].
//!    The number is not believed: the place it means must lie, aligned and whole, in a part of this
//!    process that was mapped from its executable for reading ([`image`]), so looking at its bytes is
//!    sound whatever they are. Only if they begin with the 32 bytes of an entry's [`mark`], which no other
//!    data of the executable contains, is it taken for an entry; then its other fields are what the compiler put
//!    there. The hash of the operator's type, sent along, must agree too, before its code is called.
//!
//! What remains with the user: a closure that captures a `Copy` value of size zero *whose existence
//! proves something about this process* (a witness that some initialisation ran) would carry that
//! proof to a process where it does not hold. We know of no such type in use; do not make one.
#![allow(unsafe_code)]

use std::{
    any::TypeId,
    hash::{DefaultHasher, Hash, Hasher},
    hint::black_box,
    ops::Range,
    sync::OnceLock,
};

use crate::{error::Error, task::AnyOperator};

/// A function that can be run by another process: it captures nothing.
///
/// Every `fn` item and every closure that mentions only its parameters, constants and statics is
/// one. A closure that captures is refused when the program is compiled; hand the values over by
/// `with`:
///
/// ```
/// # use cutwater::Context;
/// # let ctx = Context::local(1);
/// let threshold = 3;
/// let large = ctx.parallelize(vec![1, 5, 2, 8]).with(threshold).filter(|t, x| x > t);
/// assert_eq!(large.collect()?, [5, 8]);
/// # Ok::<(), cutwater::Error>(())
/// ```
///
/// ```compile_fail
/// # use cutwater::Context;
/// # let ctx = Context::local(1);
/// let threshold = 3;
/// let large = ctx.parallelize(vec![1, 5, 2, 8]).filter(move |x| *x > threshold);
/// large.collect().ok();
/// ```
#[diagnostic::on_unimplemented(
    message = "this function cannot travel to another machine",
    note = "a function given to a distributed operation captures nothing: hand values over with `.with(values)`"
)]
pub trait Portable: Copy + Send + Sync + 'static {}

// Whoever captures a `String` is to read the sentence above, and not that it is no `Copy`.
#[diagnostic::do_not_recommend]
impl<F: Copy + Send + Sync + 'static> Portable for F {}

/// Stops the compiler at a function that captures. Every operation evaluates it in a `const` block
/// of its own, so that the error points at the call.
pub(crate) const fn captures_nothing<F>() {
    assert!(
        size_of::<F>() == 0,
        "this closure captures variables, which cannot travel to another machine: hand them over with `.with(values)` and take them as its first parameter"
    );
}

/// The value of a function type without captures.
pub(crate) fn conjure<F: Portable>() -> F {
    const { captures_nothing::<F>() };
    // SAFETY: points 1 to 3 above; `F` has no bytes, so none are uninitialised.
    #[allow(clippy::uninit_assumed_init)]
    unsafe {
        std::mem::MaybeUninit::<F>::uninit().assume_init()
    }
}

/// Makes an operator from what travelled with it.
pub(crate) type Build = fn(&[u8]) -> Result<AnyOperator, Error>;

/// The code of one operator type, as the compiler lays it down in the executable.
#[repr(C, align(16))]
pub(crate) struct Entry {
    mark: [u8; 32],
    type_id: TypeId,
    build: Build,
}

/// What the mark of an entry is made from. It is random, and the mark itself is nowhere else: not even
/// where entries are checked, since there it is worked out anew.
const SEED: [u8; 32] = *b"\x8a\x1f\x63\xd4\x0e\xb7\x29\xc5\x71\xfa\x92\x3d\xe8\x46\xab\x5c\
                         \x17\xd9\x80\x6e\xf3\x24\xbd\x58\x9c\x05\xea\x37\x4b\xd1\x76\xa2";

const fn mark(seed: [u8; 32]) -> [u8; 32] {
    let (mut mark, mut i) = ([0; 32], 0);
    while i < 32 {
        mark[i] = seed[i].wrapping_mul(167) ^ seed[31 - i].rotate_left(3);
        i += 1;
    }
    mark
}

impl Entry {
    /// The entry of operator `O`, of which `build` makes values.
    pub(crate) const fn of<O: 'static>(build: Build) -> Self {
        Self { mark: mark(SEED), type_id: TypeId::of::<O>(), build }
    }
}

/// Where an [`Entry`] is, relative to a place known to every process of this executable: each process is
/// loaded elsewhere, but the distance is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Code {
    offset: isize,
    type_hash: u64,
}

impl Code {
    pub(crate) fn of(entry: &'static Entry) -> Self {
        let offset = (&raw const *entry as usize).wrapping_sub(&raw const ANCHOR as usize);
        Self { offset: offset as isize, type_hash: type_hash(entry.type_id) }
    }

    /// The same as two numbers, and back.
    pub(crate) fn to_numbers(self) -> (i64, u64) {
        (self.offset as i64, self.type_hash)
    }

    pub(crate) fn from_numbers((offset, type_hash): (i64, u64)) -> Self {
        Self { offset: offset as isize, type_hash }
    }

    /// The code, if there is some at that place and it is of that type.
    pub(crate) fn load(self) -> Result<Build, Error> {
        let refused = |why: &str| Error::internal(format_args!("code at {:#x} refused: {why}", self.offset));
        let address = (&raw const ANCHOR as usize).wrapping_add_signed(self.offset);
        let within =
            |part: &Range<usize>| part.contains(&address) && part.end - address >= size_of::<Entry>();
        if !address.is_multiple_of(align_of::<Entry>()) || !image().iter().any(within) {
            return Err(refused("it lies outside the executable"));
        }
        // SAFETY: point 4 above: these bytes are mapped, readable and never written.
        let found = unsafe { *(address as *const [u8; 32]) };
        if found != mark(black_box(SEED)) {
            return Err(refused("there is no operator"));
        }
        // SAFETY: point 4 above: it bears the mark, so it is an entry.
        let entry = unsafe { &*(address as *const Entry) };
        if type_hash(entry.type_id) != self.type_hash {
            return Err(refused("it is another operator's"));
        }
        Ok(entry.build)
    }
}

/// Type ids are equal in all processes of an executable, and so are their hashes by fixed keys.
fn type_hash(id: TypeId) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

static ANCHOR: u8 = 0;

/// The parts of this process's memory that were mapped from its executable and are not written to.
/// Entries hold addresses, so the loader fills them in and then closes the part they are in.
fn image() -> &'static [Range<usize>] {
    static IMAGE: OnceLock<Vec<Range<usize>>> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
        let anchor = &raw const ANCHOR as usize;
        let mut parts: Vec<(Range<usize>, bool, &str)> = maps.lines().filter_map(part).collect();
        let own = parts.iter().find(|(range, ..)| range.contains(&anchor)).map(|(.., file)| *file);
        parts.retain(|(_, readable, file)| *readable && !file.is_empty() && Some(*file) == own);
        parts.into_iter().map(|(range, ..)| range).collect()
    })
}

/// A line of `/proc/self/maps`: where, whether it can be read and not written, and from which file.
fn part(line: &str) -> Option<(Range<usize>, bool, &str)> {
    let mut fields = line.splitn(6, ' ');
    let (range, rights) = (fields.next()?, fields.next()?);
    let (begin, end) = range.split_once('-')?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    let file = fields.nth(3).unwrap_or("").trim();
    Some((address(begin)?..address(end)?, rights.starts_with("r-"), file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuse(_: &[u8]) -> Result<AnyOperator, Error> {
        Err(Error::user("refused"))
    }

    struct Some;
    struct Other;
    static ENTRIES: [Entry; 2] = [Entry::of::<Some>(refuse), Entry::of::<Other>(refuse)];

    #[test]
    fn code_survives_becoming_a_number() {
        let code = Code::from_numbers(Code::of(&ENTRIES[0]).to_numbers());
        let build = code.load().unwrap();
        assert_eq!(build(&[]).err().map(|e| e.to_string()), Option::Some("refused".to_owned()));
    }

    #[test]
    fn what_is_no_code_is_refused() {
        let [one, other] = [0, 1].map(|i| Code::of(&ENTRIES[i]));
        let refused = |offset, type_hash| Code { offset, type_hash }.load().unwrap_err().to_string();
        assert!(refused(one.offset, other.type_hash).contains("another operator's"));
        assert!(refused(one.offset + 16, one.type_hash).contains("no operator"));
        assert!(refused(one.offset + 1, one.type_hash).contains("outside"));
        for offset in [isize::MIN, -(1 << 40), 1 << 40, isize::MAX & !15] {
            assert!(refused(one.offset.wrapping_add(offset), one.type_hash).contains("outside"));
        }
        let heap = Box::new(Entry::of::<Some>(refuse));
        let offset = (&raw const *heap as usize).wrapping_sub(&raw const ANCHOR as usize) as isize;
        assert!(refused(offset, one.type_hash).contains("outside"), "only what the compiler laid down");
        // Anything may be asked for; nothing of it may do harm.
        for step in 0..4096 {
            let _ = Code { offset: one.offset - (2048 - step) * 16, type_hash: one.type_hash }.load();
        }
    }

    #[test]
    fn a_function_comes_back_as_itself() {
        fn again<F: Fn(u32) -> u32 + Portable>(_: F) -> F {
            conjure::<F>()
        }
        static OFFSET: u32 = 40;
        assert_eq!(again(|x| x + 2)(40), 42);
        assert_eq!(again(|x| x + OFFSET)(2), 42);
        assert_eq!(again(u32::reverse_bits)(1), 1 << 31);
    }

    #[test]
    fn functions_inside_functions_come_back_too() {
        fn wrap<F: Fn(u32) -> u32 + Portable>(f: F) -> impl Fn(u32) -> u32 + Portable {
            move |x| f(x) * 2
        }
        fn again<F: Portable>(_: F) -> F {
            conjure::<F>()
        }
        assert_eq!(again(wrap(|x| x + 1))(20), 42);
    }
}
