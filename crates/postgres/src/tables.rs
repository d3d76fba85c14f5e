//! The tables of a sink, and the statements on them.
//!
//! ```text
//! counts            the rows, for everybody to see; made if it is not there
//! counts_staged     rows of attempts, which nobody should look at
//! cutwater_sinks    for each table: the epoch of its master and the last interval that is in it
//! ```

use cutwater::Error;
use postgres::{Transaction, types::Type};
use serde::{Deserialize, Serialize};

use crate::connection::said;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Tables {
    /// The table, perhaps with its schema before a dot.
    pub name: String,
    pub columns: Vec<String>,
    /// Columns of which each combination has one row. None: rows are only added.
    pub key: Vec<String>,
}

/// Columns of the staging table before those of the row.
pub(crate) const STAGED: [(&str, Type); 4] =
    [("interval_ms", Type::INT8), ("partition", Type::INT4), ("epoch", Type::INT8), ("attempt", Type::TEXT)];

/// For whoever makes tables at the same time as somebody else: an arbitrary number that is always the same.
const ADVISORY_LOCK: i64 = 0x6375_7477_6174_6572;

impl Tables {
    pub fn table(&self) -> String {
        self.sibling("")
    }

    pub fn staged(&self) -> String {
        self.sibling("_staged")
    }

    pub fn sinks(&self) -> String {
        let schema = self.name.rsplit_once('.').map(|(schema, _)| format!("{}.", quoted(schema)));
        format!("{}{}", schema.unwrap_or_default(), quoted("cutwater_sinks"))
    }

    fn sibling(&self, suffix: &str) -> String {
        match self.name.rsplit_once('.') {
            Some((schema, table)) => format!("{}.{}", quoted(schema), quoted(&format!("{table}{suffix}"))),
            None => quoted(&format!("{}{suffix}", self.name)),
        }
    }

    fn list(&self) -> String {
        listed(&self.columns)
    }

    /// Makes what is not there, and checks what is.
    pub fn prepare(&self, transaction: &mut Transaction<'_>, types: &[(Type, bool)]) -> Result<(), Error> {
        if types.len() != self.columns.len() {
            return Err(Error::user(format_args!(
                "the rows for table {} have {} columns, and {} names are given for them",
                self.name,
                types.len(),
                self.columns.len()
            )));
        }
        let mut run = |sql: &str| {
            transaction
                .batch_execute(sql)
                .map_err(|error| said(&format!("cannot prepare {}", self.name), &error))
        };
        run(&format!("SELECT pg_advisory_xact_lock({ADVISORY_LOCK})"))?;
        run(&format!(
            "CREATE TABLE IF NOT EXISTS {} (name text PRIMARY KEY, epoch bigint NOT NULL, committed_ms bigint)",
            self.sinks()
        ))?;
        let defined = |with_null: bool| {
            let mut defined: Vec<String> = Vec::new();
            for (name, (sql, nullable)) in self.columns.iter().zip(types) {
                let not_null = if with_null && !nullable { " NOT NULL" } else { "" };
                defined.push(format!("{} {}{not_null}", quoted(name), sql.name()));
            }
            defined
        };
        let mut table = defined(true);
        if !self.key.is_empty() {
            table.push(format!("PRIMARY KEY ({})", listed(&self.key)));
        }
        run(&format!("CREATE TABLE IF NOT EXISTS {} ({})", self.table(), table.join(", ")))?;
        self.check(transaction, types)?;

        let expected: Vec<_> =
            self.columns.iter().cloned().zip(types.iter().map(|(sql, _)| sql.clone())).collect();
        let own = STAGED.map(|(name, sql)| (name.to_owned(), sql));
        let staged: Vec<_> = own.iter().cloned().chain(expected).collect();
        if self.columns_of(transaction, &self.staged())?.as_ref() == Some(&staged) {
            return Ok(());
        }
        // Rows of another program, or none. Nothing in it counts any more.
        let mut columns: Vec<String> =
            STAGED.iter().map(|(name, sql)| format!("{} {} NOT NULL", quoted(name), sql.name())).collect();
        columns.extend(defined(false));
        let table = self.staged();
        let sql = format!(
            "DROP TABLE IF EXISTS {table}; CREATE UNLOGGED TABLE {table} ({}); CREATE INDEX ON {table} (interval_ms, attempt)",
            columns.join(", ")
        );
        transaction.batch_execute(&sql).map_err(|error| said(&format!("cannot make {table}"), &error))
    }

    /// Whether the table takes such rows; what is wrong with it is all said at once.
    fn check(&self, transaction: &mut Transaction<'_>, types: &[(Type, bool)]) -> Result<(), Error> {
        let found = self.columns_of(transaction, &self.table())?.unwrap_or_default();
        let wrong: Vec<String> = (self.columns.iter().zip(types))
            .filter_map(|(name, (sql, _))| match found.iter().find(|(column, _)| column == name) {
                None => Some(format!("it has no column {name} of type {}", sql.name())),
                Some((_, other)) if other != sql => Some(format!(
                    "its column {name} is of type {}, and rows have {}",
                    other.name(),
                    sql.name()
                )),
                _ => None,
            })
            .collect();
        if wrong.is_empty() {
            return Ok(());
        }
        Err(Error::user(format_args!("table {} is not one for these rows: {}", self.name, wrong.join("; "))))
    }

    /// The columns of a table, if it is there.
    fn columns_of(
        &self,
        transaction: &mut Transaction<'_>,
        table: &str,
    ) -> Result<Option<Vec<(String, Type)>>, Error> {
        let sql = "SELECT attname::text, atttypid FROM pg_attribute \
                   WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped ORDER BY attnum";
        let rows = transaction
            .query(sql, &[&table])
            .map_err(|error| said(&format!("cannot look at {table}"), &error))?;
        let column = |row: &postgres::Row| {
            // What is not built in is no type that a row has.
            (row.get(0), Type::from_oid(row.get(1)).unwrap_or(Type::UNKNOWN))
        };
        Ok(Some(rows.iter().map(column).collect::<Vec<_>>()).filter(|columns| !columns.is_empty()))
    }

    /// Takes rows in.
    pub fn copy(&self) -> String {
        let own = listed(&STAGED.map(|(name, _)| name.to_owned()));
        format!("COPY {} ({own}, {}) FROM STDIN BINARY", self.staged(), self.list())
    }

    /// Moves the rows of an interval ($1) and of the attempts that count ($2) to where they are seen.
    pub fn publish(&self) -> String {
        let (staged, table, columns) = (self.staged(), self.table(), self.list());
        let mut sql = format!(
            "WITH counted AS (DELETE FROM {staged} WHERE interval_ms = $1 AND attempt = ANY($2) RETURNING {columns}) \
             INSERT INTO {table} ({columns}) SELECT {columns} FROM counted"
        );
        if !self.key.is_empty() {
            // Where there is nothing else the key is written over itself, so that every row counts as moved.
            let rest = self.columns.iter().filter(|name| !self.key.contains(name));
            let taken: Vec<_> =
                if self.key.len() < self.columns.len() { rest.collect() } else { self.key.iter().collect() };
            let set: Vec<String> =
                taken.into_iter().map(|name| format!("{0} = EXCLUDED.{0}", quoted(name))).collect();
            sql += &format!(" ON CONFLICT ({}) DO UPDATE SET {}", listed(&self.key), set.join(", "));
        }
        sql
    }
}

fn listed(names: &[String]) -> String {
    names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
}

/// A name as it is, whatever is in it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_as_they_are() {
        let of = |name: &str| Tables { name: name.to_owned(), columns: Vec::new(), key: Vec::new() };
        assert_eq!(of("Counts").staged(), r#""Counts_staged""#);
        assert_eq!(of("my.counts").table(), r#""my"."counts""#);
        assert_eq!(of("my.counts").sinks(), r#""my"."cutwater_sinks""#);
        assert_eq!(of(r#"x"; DROP TABLE y"#).table(), r#""x""; DROP TABLE y""#);
    }
}
