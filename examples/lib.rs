//! What the examples share: a board of tables that is drawn again after every interval, and records.

pub mod made_up;

use std::{
    fmt::Display,
    io::{IsTerminal, Write, stdout},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cutwater::{Context, Error, IntervalReport, Rdd, Record, Time};

/// Two-column tables side by side, with a line about the interval below them.
#[derive(Clone)]
pub struct Board(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    columns: Vec<Column>,
    status: String,
    /// The first interval that this process has seen, and what came since: of what was before, a program that was
    /// started again knows its states only.
    first: Option<u64>,
    records: u64,
    malformed: usize,
}

struct Column {
    heads: [String; 2],
    rows: Vec<[String; 2]>,
}

impl Board {
    /// A board that is drawn after every interval of a live run, and otherwise when it is
    /// [printed](Self::print).
    pub fn new(ctx: &Context) -> Self {
        let board = Self(Arc::default());
        let (drawn, live) = (board.clone(), !ctx.is_batch());
        ctx.on_interval(move |report| {
            drawn.lock().note(report);
            if live {
                drawn.draw();
            }
        });
        board
    }

    /// An output that shows what `rows` makes of each dataset, under the heads `key` and `value`.
    pub fn column<K, V>(
        &self,
        key: &str,
        value: &str,
        rows: impl Fn(&Rdd<(K, V)>) -> Result<Vec<(K, V)>, Error> + Send + 'static,
    ) -> impl FnMut(Rdd<(K, V)>, Time) -> Result<(), Error> + Send + 'static
    where
        K: Record + Display,
        V: Record + Display,
    {
        let mut state = self.lock();
        let place = state.columns.len();
        state.columns.push(Column { heads: [key.to_owned(), value.to_owned()], rows: Vec::new() });
        drop(state);
        let board = self.clone();
        move |rdd, _| {
            let rows = rows(&rdd)?.into_iter().map(|(key, value)| [key.to_string(), value.to_string()]);
            board.lock().columns[place].rows = rows.collect();
            Ok(())
        }
    }

    /// Prints the board as it is now.
    pub fn print(&self) {
        print!("{}", self.lock().render());
    }

    fn draw(&self) {
        let mut out = stdout().lock();
        // On a terminal in place of what was there, elsewhere one after the other.
        let clear = if out.is_terminal() { "\x1b[H\x1b[2J" } else { "" };
        // Whoever read this may be gone; the program is not there for the board.
        let _ = writeln!(out, "{clear}{}", self.lock().render()).and_then(|()| out.flush());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The rows of a column: the `n` keys with the highest numbers, the highest first; of equals, the later key first.
pub fn highest(n: usize) -> impl Fn(&Rdd<(String, u64)>) -> Result<Vec<(String, u64)>, Error> + Send {
    move |rdd| rdd.top_by(n, |row| (row.1, row.0.clone()))
}

impl State {
    fn note(&mut self, report: &IntervalReport) {
        let first = *self.first.get_or_insert(report.number);
        let since = if first == 1 { "so far".to_owned() } else { format!("since interval {first}") };
        self.records += report.records();
        self.malformed += report.malformed();
        let ms = |span: Duration| span.as_secs_f64() * 1000.0;
        let rate = report.records() as f64 / report.processing.as_secs_f64().max(1e-9);
        self.status = format!(
            "interval {} to {}: {} records in {:.1} ms ({:.0}/s), delay {:.1} ms; {since} {} records, {} malformed",
            report.number,
            report.time,
            report.records(),
            ms(report.processing),
            rate,
            ms(report.delay),
            self.records,
            self.malformed,
        );
    }

    fn render(&self) -> String {
        let width = |column: &Column, side: usize| {
            let cells = column.rows.iter().chain([&column.heads]).map(|row| row[side].chars().count());
            cells.max().unwrap_or(0)
        };
        let widths: Vec<_> = self.columns.iter().map(|column| [width(column, 0), width(column, 1)]).collect();
        let line = |cell: &dyn Fn(usize) -> [String; 2]| {
            let cells = widths.iter().enumerate().map(|(i, [left, right])| {
                let [key, value] = cell(i);
                format!("{key:<left$}  {value:>right$}")
            });
            cells.collect::<Vec<_>>().join("   │   ").trim_end().to_owned() + "\n"
        };
        let mut text = line(&|i| self.columns[i].heads.clone());
        text += &line(&|i| widths[i].map(|width| "─".repeat(width)));
        for row in 0..self.columns.iter().map(|column| column.rows.len()).max().unwrap_or(0) {
            text += &line(&|i| self.columns[i].rows.get(row).cloned().unwrap_or_default());
        }
        text + &self.status + "\n"
    }
}
