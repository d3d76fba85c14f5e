use std::time::Duration;

use super::partials::window_of_partials;
use crate::{
    DStream, Record,
    closure::{self, Portable},
    collection::{Collection, With},
    rdd::{Bare, Reduction, Unkeyed},
    task::OperatorSpec,
};

const NAME: &str = "reduce_by_window";

impl<T: Record, E: Record> With<DStream<T>, E> {
    /// [`DStream::reduce_by_window`] with the values handed over.
    #[track_caller]
    pub fn reduce_by_window<F>(self, _f: F, window: Duration, slide: Duration) -> DStream<T>
    where
        F: Fn(&E, T, T) -> T + Portable,
    {
        const { closure::captures_nothing::<F>() };
        let of = self.of.unkeyed(NAME);
        let reduced =
            window_of_partials::<(), Reduction<T, E, F>>(&of, NAME, self.values, 1, (window, slide));
        reduced.bare(NAME)
    }

    /// [`DStream::reduce_by_window_inverse`] with the values handed over, to both functions.
    #[track_caller]
    pub fn reduce_by_window_inverse<F, I>(
        self,
        f: F,
        inverse: I,
        window: Duration,
        slide: Duration,
    ) -> DStream<T>
    where
        F: Fn(&E, T, T) -> T + Portable,
        I: Fn(&E, T, T) -> T + Portable,
    {
        const { closure::captures_nothing::<F>() };
        const { closure::captures_nothing::<I>() };
        let functions = (f, inverse, |_: &E, (): &(), _: &T| true);
        let of = self.of.unkeyed(NAME).with(self.values);
        of.inverse_window(NAME, 1, functions, false, (window, slide)).bare(NAME)
    }
}

impl<T: Record> DStream<T> {
    /// Every `slide`, the records of the last `window` reduced to one by the associative function `f`,
    /// the oldest first. A window without records gives none (`api.md` §3 and §4, "Inverse window").
    /// Both spans are multiples of this stream's own slide; if they are not, the program does not start
    /// (§4.4).
    ///
    /// A slide costs by the logarithm of the intervals in the window.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// let second = Duration::from_secs(1);
    /// let harness = Harness::new(second);
    /// let input = harness.input([vec![3, 8], vec![5], vec![], vec![]]);
    /// let highest = input.reduce_by_window(i32::max, 2 * second, second);
    /// assert_eq!(harness.run(&highest, 4)?, [vec![8], vec![8], vec![5], vec![]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn reduce_by_window<F>(&self, f: F, window: Duration, slide: Duration) -> DStream<T>
    where
        F: Fn(T, T) -> T + Portable,
    {
        const { closure::captures_nothing::<F>() };
        self.with(()).reduce_by_window(move |(), a, b| f(a, b), window, slide)
    }

    /// [`reduce_by_window`](Self::reduce_by_window) for a function that can be undone:
    /// `inverse(f(a, b), b) == a`. Its cost does not grow with the window.
    ///
    /// Until the first record ever there is nothing; afterwards an empty window shows what is left when
    /// everything was taken out, such as 0 for a sum (`api.md` §4, "Inverse window").
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// let second = Duration::from_secs(1);
    /// let harness = Harness::new(second);
    /// let input = harness.input([vec![], vec![5], vec![], vec![]]);
    /// let sums = input.reduce_by_window_inverse(|a, b| a + b, |a, b| a - b, 2 * second, second);
    /// assert_eq!(harness.run(&sums, 4)?, [vec![], vec![5], vec![5], vec![0]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn reduce_by_window_inverse<F, I>(
        &self,
        f: F,
        inverse: I,
        window: Duration,
        slide: Duration,
    ) -> DStream<T>
    where
        F: Fn(T, T) -> T + Portable,
        I: Fn(T, T) -> T + Portable,
    {
        const { closure::captures_nothing::<F>() };
        const { closure::captures_nothing::<I>() };
        let (f, inverse) = (move |(): &(), a, b| f(a, b), move |(): &(), a, b| inverse(a, b));
        self.with(()).reduce_by_window_inverse(f, inverse, window, slide)
    }

    /// Every record under the same key.
    #[track_caller]
    pub(super) fn unkeyed(&self, name: &'static str) -> DStream<((), T)> {
        let spec = OperatorSpec::new::<Unkeyed<T>>(name, &());
        self.derive(name, move |rdd| rdd.narrow(&spec))
    }
}

impl<T: Record> DStream<((), T)> {
    /// And without that key again.
    #[track_caller]
    pub(super) fn bare(&self, name: &'static str) -> DStream<T> {
        let spec = OperatorSpec::new::<Bare<T>>(name, &());
        self.derive(name, move |rdd| rdd.narrow(&spec))
    }
}
