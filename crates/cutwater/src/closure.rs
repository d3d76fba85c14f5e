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
//! 4. [`Code::load`] turns a number back into a function pointer. A `Code` is made only by
//!    [`Code::of`] from a function of that very type, in this process, and its field is private:
//!    the number is the address of such a function.
//!
//! What remains with the user: a closure that captures a `Copy` value of size zero *whose existence
//! proves something about this process* (a witness that some initialisation ran) would carry that
//! proof to a process where it does not hold. We know of no such type in use; do not make one.
#![allow(unsafe_code)]

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

/// The address of a [`Build`], relative to a function known to every process of this executable:
/// each process is loaded elsewhere, but the distance is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Code(isize);

impl Code {
    pub(crate) fn of(build: Build) -> Self {
        Self((build as usize).wrapping_sub(anchor as fn() as usize) as isize)
    }

    pub(crate) fn load(self) -> Build {
        let address = (anchor as fn() as usize).wrapping_add_signed(self.0);
        // SAFETY: point 4 above.
        unsafe { std::mem::transmute::<usize, Build>(address) }
    }
}

#[inline(never)]
fn anchor() {}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuse(_: &[u8]) -> Result<AnyOperator, Error> {
        Err(Error::user("refused"))
    }

    #[test]
    fn code_survives_becoming_a_number() {
        let build = Code::of(refuse).load();
        assert_eq!(build(&[]).err().map(|e| e.to_string()), Some("refused".to_owned()));
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
