//! Cases of one dataset and one operation.

mod basic;
mod pairs;
mod sorting;

use cutwater::{Context, Error, ErrorKind, Rdd, testing::Harness};
use serde_json::Value as Json;

use crate::{Case, Options, Value, Verdict};

/// Runs a case of one dataset.
pub fn run(case: &Case, options: &Options) -> Verdict {
    match answer(case, options) {
        Err(Trouble::Malformed(what)) => {
            Verdict::differs(None, case.expected_text(), format!("a case that cannot be read: {what}"))
        }
        Err(Trouble::Inexpressible(why)) => Verdict::Skipped(why),
        Err(Trouble::Refused(_)) if case.field("expected") == "error" => Verdict::Passed,
        Err(Trouble::Refused(why) | Trouble::Broken(why)) => {
            Verdict::differs(None, case.expected_text(), format!("an error: {why}"))
        }
        Ok(got) => match expected(case) {
            Ok(expected) if arranged(case, expected.clone()) == arranged(case, got.clone()) => {
                Verdict::Passed
            }
            Ok(expected) => Verdict::differs(None, expected.to_string(), got.to_string()),
            Err(what) => Verdict::differs(None, what, got.to_string()),
        },
    }
}

fn answer(case: &Case, options: &Options) -> Result<Value, Trouble> {
    // How many partitions there are if the program does not choose is not to be chosen for it.
    let unchosen = Options { parallelism: None, ..options.clone() };
    let options = if case.op().ends_with("num_partitions") { &unchosen } else { options };
    // A harness knows how the worker processes of a test are started.
    let harness = Harness::with(options.builder(), 1);
    let subject = Subject { case, ctx: harness.ctx().clone() };
    for operations in [basic::run, pairs::run, sorting::run] {
        if let Some(value) = operations(&subject)? {
            return Ok(value);
        }
    }
    Err(Trouble::Inexpressible(format!("no operation of datasets is called {:?}", case.op())))
}

/// What the table says must come, in the form in which operations here answer.
fn expected(case: &Case) -> Result<Value, String> {
    match (case.op(), case.field("expected")) {
        ("auto_histogram", Json::Object(both)) => {
            let list = ["edges", "counts"].map(|name| both.get(name).cloned().unwrap_or_default());
            Value::from_json(&Json::from(list.to_vec()))
        }
        // The operation compares with the bounds itself.
        ("sort_by_key_balance", Json::Object(_)) => Ok(Value::Bool(true)),
        (_, other) => Value::from_json(other),
    }
}

/// An answer so that it can be compared: without order where the case wants none, be it that of the
/// records or that of the values in a group.
fn arranged(case: &Case, answer: Value) -> Value {
    match answer.untyped() {
        Value::List(mut records) if case.field("unordered") == true => {
            if ["group_by_key", "cogroup"].contains(&case.op()) {
                records = records.into_iter().map(with_lists_sorted).collect();
            }
            records.sort();
            Value::List(records)
        }
        other => other,
    }
}

/// The key and the list of its values, or the list of such lists, all sorted.
fn with_lists_sorted(group: Value) -> Value {
    fn sorted(values: Value) -> Value {
        match values {
            Value::List(mut values) if values.iter().all(|value| !matches!(value, Value::List(_))) => {
                values.sort();
                Value::List(values)
            }
            Value::List(lists) => Value::List(lists.into_iter().map(sorted).collect()),
            other => other,
        }
    }
    let (key, values) = group.into_pair();
    Value::List(vec![key, sorted(values)])
}

/// Why a case has no answer.
enum Trouble {
    /// cutwater refused: what some cases expect.
    Refused(String),
    /// cutwater failed for a reason of its own, which nobody expects.
    Broken(String),
    /// There is no such operation.
    Inexpressible(String),
    /// The case does not say what it should.
    Malformed(String),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::User | ErrorKind::Config => Self::Refused(error.to_string()),
            _ => Self::Broken(error.to_string()),
        }
    }
}

/// What operations answer: nothing if the operation is somebody else's.
type Answer = Result<Option<Value>, Trouble>;

/// A case with a context to run it in.
struct Subject<'a> {
    case: &'a Case,
    ctx: Context,
}

impl Subject<'_> {
    /// How many partitions the data is in.
    fn partitions(&self) -> Result<u32, Trouble> {
        count(self.case.field("partitions"), "partitions")
    }

    /// A number of the operation.
    fn count(&self, name: &str) -> Result<u32, Trouble> {
        count(self.case.argument(name), name)
    }

    /// Numbers of the operation.
    fn counts(&self, name: &str) -> Result<Vec<u32>, Trouble> {
        array(self.case.argument(name), name)?.iter().map(|number| count(number, name)).collect()
    }

    /// A word of the operation; empty if it has none.
    fn word(&self, name: &str) -> &str {
        self.case.argument(name).as_str().unwrap_or_default()
    }

    /// A value of the operation.
    fn value(&self, name: &str) -> Result<Value, Trouble> {
        Value::from_json(self.case.argument(name)).map_err(Trouble::Malformed)
    }

    fn data(&self) -> Result<Vec<Value>, Trouble> {
        values(self.case.field("data"))
    }

    /// The data of the case as a dataset.
    fn rdd(&self) -> Result<Rdd<Value>, Trouble> {
        Ok(self.ctx.parallelize_into(self.partitions()?, self.data()?))
    }

    /// The same as pairs.
    fn pairs(&self) -> Result<Rdd<(Value, Value)>, Trouble> {
        Ok(self.rdd()?.map(Value::into_pair))
    }

    /// The same as numbers.
    fn numbers(&self) -> Result<Rdd<f64>, Trouble> {
        Ok(self.rdd()?.map(|value| value.number()))
    }

    /// The other dataset of an operation on two, in as many partitions unless the operation says.
    fn other(&self) -> Result<Rdd<Value>, Trouble> {
        let partitions = match self.case.argument("other_partitions") {
            Json::Null => self.partitions()?,
            other => count(other, "other_partitions")?,
        };
        Ok(self.ctx.parallelize_into(partitions, values(self.case.argument("other"))?))
    }

    /// The other datasets of an operation on several.
    fn others(&self) -> Result<Vec<Rdd<Value>>, Trouble> {
        let others = array(self.case.argument("others"), "others")?;
        let rdd = |json| Ok(self.ctx.parallelize_into(self.partitions()?, values(json)?));
        others.iter().map(rdd).collect()
    }

    /// A function that there is not.
    fn unknown(&self, name: &str) -> Trouble {
        let function = self.case.argument(name);
        Trouble::Inexpressible(format!("{} does not know the function {function}", self.case.op()))
    }
}

/// A number that cannot be negative: the type of the parameter refuses those that are.
fn count(json: &Json, name: &str) -> Result<u32, Trouble> {
    let number = json.as_i64().ok_or_else(|| Trouble::Malformed(format!("{name} is {json}")))?;
    u32::try_from(number).map_err(|_| Trouble::Refused(format!("{name}: {number} is no count")))
}

fn array<'a>(json: &'a Json, name: &str) -> Result<&'a Vec<Json>, Trouble> {
    json.as_array().ok_or_else(|| Trouble::Malformed(format!("{name} is {json} and no list")))
}

/// Data as tables write it: a list, or a range of numbers, both ends included.
fn values(json: &Json) -> Result<Vec<Value>, Trouble> {
    let Some(range) = json.get("range") else {
        return array(json, "data")?
            .iter()
            .map(|value| Value::from_json(value).map_err(Trouble::Malformed))
            .collect();
    };
    let (Some(from), Some(to)) = (range[0].as_i64(), range[1].as_i64()) else {
        return Err(Trouble::Malformed(format!("{range} is no range")));
    };
    let mut numbers: Vec<i64> = (from..=to).collect();
    if json.get("shuffled").is_some_and(|shuffled| shuffled == true) {
        shuffle(&mut numbers);
    }
    match json.get("as").map(|form| form.as_str().unwrap_or_default()) {
        None => Ok(numbers.into_iter().map(Value::from).collect()),
        Some("(x,str(2x))") => Ok(numbers.into_iter().map(|x| Value::pair(x, (2 * x).to_string())).collect()),
        Some(other) => Err(Trouble::Malformed(format!("data as {other:?}"))),
    }
}

/// Any order but the one there was, the same in each run.
fn shuffle(numbers: &mut [i64]) {
    let mut state = 1u64;
    for i in (1..numbers.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        numbers.swap(i, (state >> 33) as usize % (i + 1));
    }
}
