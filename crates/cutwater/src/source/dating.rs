use cutwater_core::Time;

/// Into which interval a source puts its records: by arrival, or by their own time
/// ([`SourceBuilder::event_time`](super::SourceBuilder::event_time)).
pub trait Dating<T>: sealed::Sealed {
    /// How a record says when it happened; `None` if it is not asked.
    #[doc(hidden)]
    fn time_of(self) -> Option<Box<TimeOf<T>>>;
}

/// Says when a record happened.
pub(crate) type TimeOf<T> = dyn Fn(&T) -> Time + Send + Sync;

/// Records are in the interval in which they arrive.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByArrival;

/// Records are in the interval in which they happened, if they arrive before it starts.
pub struct ByEventTime<T>(pub(super) Box<TimeOf<T>>);

impl<T> Dating<T> for ByArrival {
    fn time_of(self) -> Option<Box<TimeOf<T>>> {
        None
    }
}

impl<T> Dating<T> for ByEventTime<T> {
    fn time_of(self) -> Option<Box<TimeOf<T>>> {
        Some(self.0)
    }
}

impl<T> std::fmt::Debug for ByEventTime<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ByEventTime")
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::ByArrival {}
    impl<T> Sealed for super::ByEventTime<T> {}
}
