//! When a function of the program panics, says which operator it was given to.

use std::{any::Any, cell::RefCell, mem, panic, sync::Once};

use crate::error::Error;

thread_local! {
    static LAST_PANIC: RefCell<Panic> = const { RefCell::new(Panic { on_task: false, operator: None, place: None }) };
}

struct Panic {
    on_task: bool,
    operator: Option<String>,
    place: Option<String>,
}

/// Calls a function of the program in the name of `operator`. Costs nothing unless it panics.
#[inline(always)]
pub(super) fn in_the_name_of<R>(operator: &str, call: impl FnOnce() -> R) -> R {
    struct Blame<'a>(&'a str);
    impl Drop for Blame<'_> {
        fn drop(&mut self) {
            LAST_PANIC.with_borrow_mut(|last| {
                // Unwinding goes from the inside out, so the first one to be asked is to blame.
                last.operator.get_or_insert_with(|| self.0.to_owned());
            });
        }
    }
    let blame = Blame(operator);
    let result = call();
    mem::forget(blame);
    result
}

/// Runs a task; a panic inside becomes (operator, message with the place in the source).
pub(super) fn catching<R>(run: impl FnOnce() -> R) -> Result<R, (Option<String>, String)> {
    hush_tasks();
    let before = LAST_PANIC.replace(Panic { on_task: true, operator: None, place: None });
    // A task leaves nothing behind but blocks stored whole, so unwinding out of it is safe.
    let result = panic::catch_unwind(panic::AssertUnwindSafe(run));
    let last = LAST_PANIC.replace(before);
    result.map_err(|payload| {
        let message = panic_message(&*payload);
        let place = last.place.map(|place| format!(", at {place}")).unwrap_or_default();
        (last.operator, format!("panicked: {message}{place}"))
    })
}

/// Calls a function of the program that runs on the master; a panic inside becomes an error that says
/// where, as it does in a task.
pub(crate) fn on_master<R>(call: impl FnOnce() -> Result<R, Error>) -> Result<R, Error> {
    catching(call).unwrap_or_else(|(_, message)| Err(Error::user(message)))
}

/// What the panic said.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no message)")
}

/// A panic in a task is reported with the interval that fails, not by the default hook.
fn hush_tasks() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let on_task = LAST_PANIC.with_borrow_mut(|last| {
                last.place = info.location().map(ToString::to_string);
                last.on_task
            });
            if !on_task {
                before(info);
            }
        }));
    });
}
