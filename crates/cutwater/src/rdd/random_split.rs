use super::sample::Drawn;
use crate::{Error, Record, rdd::Rdd, task::OperatorSpec};

impl<T: Record> Rdd<T> {
    /// The dataset in as many parts as there are weights, of about those proportions (`api.md` §12).
    /// Every record is in exactly one part; which one depends on `seed`, the partition and the place
    /// in it. Each part reads this dataset anew: [cache](Self::cache) it if it is dear.
    ///
    /// # Errors
    /// A weight is negative or not a finite number, or all of them are zero.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// let all = ctx.parallelize(0..1000);
    /// let [train, test] = all.random_split(&[3.0, 1.0], 7)?.try_into().expect("as many as weights");
    /// assert!((700..800).contains(&train.count()?));
    /// assert_eq!(train.count()? + test.count()?, 1000);
    /// assert!(train.intersection(&test).is_empty()?);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn random_split(&self, weights: &[f64], seed: u64) -> Result<Vec<Rdd<T>>, Error> {
        let total: f64 = weights.iter().sum();
        if weights.iter().any(|weight| !weight.is_finite() || *weight < 0.0)
            || !total.is_finite()
            || total <= 0.0
        {
            return Err(Error::user(format_args!(
                "`random_split` by {weights:?}: weights are finite, none is negative and one is not zero"
            )));
        }
        let last = weights.len() - 1;
        let (mut parts, mut from, mut sum) = (Vec::with_capacity(weights.len()), 0.0, 0.0);
        for (i, weight) in weights.iter().enumerate() {
            sum += weight;
            // Every draw is below 1, so the last part takes what rounding leaves over.
            let to = if i == last { 1.0 } else { sum / total };
            let spec = OperatorSpec::new::<Drawn<T>>("random_split", &(seed, from, to));
            parts.push(self.narrow_in_place(&spec));
            from = to;
        }
        Ok(parts)
    }
}
