use std::{fmt, marker::PhantomData};

use cutwater::{
    Error, Record, Time,
    output::{Commit, Part, Records, Sink},
    testing::step,
};
use postgres::{
    Transaction,
    binary_copy::BinaryCopyInWriter,
    types::{ToSql, Type},
};
use serde::{Deserialize, Serialize};

use crate::{
    Row,
    connection::{Server, said},
    row::Field,
    tables::{STAGED, Tables},
};

/// A table of PostgreSQL into which every interval's rows go exactly once.
///
/// Properties:
/// - attempts copy their rows into a staging table (`<table>_staged`), under a name of their own;
/// - a commit moves those of the attempts that count into the table and writes down the interval and the master's epoch
///   in the same transaction, under a lock of that line (in `cutwater_sinks`): a reader of the table sees all of an
///   interval or nothing, and a master after which another one has opened the sink commits nothing more;
/// - the table is made if it is not there, else its columns are compared with the rows before the program starts;
/// - the staging table is not logged, which makes it twice as fast and empties it if the *server* crashes. A commit
///   counts the rows it moves: if some are gone it fails, and so does the interval, which the next start sends again;
/// - rows and passwords leave the machine only encrypted, and to a server that has proven who it is, unless the program
///   says that they [may](Self::plain_beyond_loopback).
///
/// Every thread that writes has a connection of its own. If the process dies, the server rolls back what it was doing.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub struct PostgresSink<T> {
    server: Server,
    tables: Tables,
    row: PhantomData<fn(T)>,
}

/// What an attempt has staged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostgresToken {
    attempt: String,
    rows: u64,
}

impl<T: Row> PostgresSink<T> {
    /// Rows for `table` (`name` or `schema.name`), whose `columns` are named in the order of the row's fields.
    ///
    /// `connection` is either `host=… port=… user=… password=… dbname=…` or `postgres://user:password@host:port/dbname`.
    /// It is never printed; to run tasks in other processes it is sent to them.
    ///
    /// Beyond loopback connections are made by TLS, and only to a server whose certificate is for that host and of an
    /// authority that the system trusts, or of one of the [`root_certificates`](Self::root_certificates). On this machine
    /// that is so with `sslmode=require`.
    pub fn new<N: Into<String>>(
        connection: &str,
        table: impl Into<String>,
        columns: impl IntoIterator<Item = N>,
    ) -> Self {
        let columns = columns.into_iter().map(Into::into).collect();
        let tables = Tables { name: table.into(), columns, key: Vec::new() };
        Self { server: Server::new(connection), tables, row: PhantomData }
    }

    /// Believes the authorities whose certificates are in `pem`, the text of a PEM file, and no others, in place of those
    /// that the system trusts. With it connections are encrypted on this machine too.
    ///
    /// ```no_run
    /// # use cutwater_postgres::PostgresSink;
    /// let authority = std::fs::read_to_string("/etc/results/authority.pem")?;
    /// let counts: PostgresSink<(String, u64)> =
    ///     PostgresSink::new("host=db.lan user=cutwater dbname=results", "counts", ["word", "n"])
    ///         .root_certificates(authority);
    /// # drop(counts);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn root_certificates(mut self, pem: impl Into<String>) -> Self {
        self.server.encryption.root_certificates = Some(pem.into());
        self
    }

    /// Lets connections beyond loopback be unencrypted, where the network itself is a wire that nobody else can read or
    /// write. They then are, unless the connection string says `sslmode=require`.
    ///
    /// ```
    /// # use cutwater_postgres::PostgresSink;
    /// let counts: PostgresSink<(String, u64)> =
    ///     PostgresSink::new("host=10.8.0.1 user=cutwater", "counts", ["word", "n"]).plain_beyond_loopback();
    /// # drop(counts);
    /// ```
    #[must_use]
    pub fn plain_beyond_loopback(mut self) -> Self {
        self.server.encryption.plain_beyond_loopback = true;
        self
    }

    /// Keeps one row for each combination of these columns: the newest interval's takes the place of the one before. An
    /// interval must not have two rows for one combination. The table needs a primary key or unique index of these
    /// columns; if it is made here, it has one.
    ///
    /// ```
    /// # use cutwater_postgres::PostgresSink;
    /// let counts: PostgresSink<(String, u64)> =
    ///     PostgresSink::new("host=localhost user=cutwater", "counts", ["word", "n"]).keyed_by(["word"]);
    /// # drop(counts);
    /// ```
    #[must_use]
    pub fn keyed_by<N: Into<String>>(mut self, columns: impl IntoIterator<Item = N>) -> Self {
        self.tables.key = columns.into_iter().map(Into::into).collect();
        self
    }
}

impl<T> PostgresSink<T> {
    fn tried(&self, what: &str) -> String {
        format!("cannot {what} {} of {}", self.tables.name, self.server)
    }

    /// The epoch of the last master that has opened the sink and what is committed, which nobody else changes until the
    /// end of the transaction.
    fn lock(&self, transaction: &mut Transaction<'_>, epoch: u64) -> Result<(i64, Option<i64>), Error> {
        let epoch =
            i64::try_from(epoch).map_err(|_| Error::user(format_args!("{epoch} is too large an epoch")))?;
        let sql =
            format!("SELECT epoch, committed_ms FROM {} WHERE name = $1 FOR UPDATE", self.tables.sinks());
        let row = transaction
            .query_opt(&sql, &[&self.tables.name])
            .map_err(|error| said(&self.tried("lock"), &error))?;
        let Some(row) = row else { return Ok((epoch, None)) };
        let (owner, committed): (i64, Option<i64>) = (row.get(0), row.get(1));
        if owner > epoch {
            return Err(Error::fenced(format_args!(
                "table {} belongs to the master of epoch {owner}, and this one is of epoch {epoch}",
                self.tables.name
            )));
        }
        Ok((epoch, committed))
    }
}

impl<T> Clone for PostgresSink<T> {
    fn clone(&self) -> Self {
        Self { server: self.server.clone(), tables: self.tables.clone(), row: PhantomData }
    }
}

impl<T> fmt::Debug for PostgresSink<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresSink({} of {})", self.tables.name, self.server)
    }
}

impl<T: Record + Row> Sink<T> for PostgresSink<T> {
    type Token = PostgresToken;

    fn open(&self, epoch: u64) -> Result<Option<Time>, Error> {
        let failed = |error: postgres::Error| said(&self.tried("open"), &error);
        let mut connection = self.server.connect()?;
        let mut transaction = connection.transaction().map_err(failed)?;
        self.tables.prepare(&mut transaction, &T::columns())?;
        let (epoch, committed) = self.lock(&mut transaction, epoch)?;
        let sql = format!(
            "INSERT INTO {} (name, epoch) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET epoch = $2",
            self.tables.sinks()
        );
        transaction.execute(&sql, &[&self.tables.name, &epoch]).map_err(failed)?;
        step("before the transaction of open ends");
        transaction.commit().map_err(failed)?;
        // What masters before have staged can never be committed from here on.
        let sql = format!("DELETE FROM {} WHERE epoch < $1", self.tables.staged());
        connection.execute(&sql, &[&epoch]).map_err(failed)?;
        connection.hand_back();
        Ok(committed.map(Time::from_ms))
    }

    fn write(&self, part: &Part, records: Records<'_, T>) -> Result<PostgresToken, Error> {
        let failed = |error: postgres::Error| said(&self.tried("stage rows for"), &error);
        let attempt = part.attempt.to_string();
        let interval_ms = part.interval.as_ms();
        // Both are within bounds: `open` has checked the epoch, and partitions are counted by thousands at most.
        let (partition, epoch) = (part.partition as i32, part.epoch as i64);
        let types: Vec<Type> = STAGED
            .into_iter()
            .map(|(_, sql)| sql)
            .chain(T::columns().into_iter().map(|(sql, _)| sql))
            .collect();

        let mut connection = self.server.connect()?;
        let copy = connection.copy_in(&self.tables.copy()).map_err(failed)?;
        let mut writer = BinaryCopyInWriter::new(copy, &types);
        let mut rows = 0;
        records.each(|record| {
            rows += 1;
            let fields: Vec<Field<'_>> = record.fields().into_iter().map(Field).collect();
            let own: [&(dyn ToSql + Sync); 4] = [&interval_ms, &partition, &epoch, &attempt];
            let values = own.into_iter().chain(fields.iter().map(|field| field as &(dyn ToSql + Sync)));
            writer.write(&values.collect::<Vec<_>>()).map_err(failed)
        })?;
        step("rows copied");
        writer.finish().map_err(failed)?;
        step("copy finished");
        connection.hand_back();
        Ok(PostgresToken { attempt, rows })
    }

    fn commit(&self, commit: &Commit<'_, PostgresToken>) -> Result<(), Error> {
        let failed = |error: postgres::Error| said(&self.tried("commit to"), &error);
        let mut connection = self.server.connect()?;
        let mut transaction = connection.transaction().map_err(failed)?;
        let (_, committed) = self.lock(&mut transaction, commit.epoch)?;
        let interval_ms = commit.interval.as_ms();
        if committed.is_some_and(|committed| interval_ms <= committed) {
            drop(transaction);
            connection.hand_back();
            return Ok(());
        }
        let attempts: Vec<&str> = commit.tokens.iter().map(|token| &*token.attempt).collect();
        let moved =
            transaction.execute(&self.tables.publish(), &[&interval_ms, &attempts]).map_err(failed)?;
        let staged: u64 = commit.tokens.iter().map(|token| token.rows).sum();
        if moved != staged {
            return Err(Error::external(format_args!(
                "{}: {moved} of {staged} rows of the interval are still staged; the server has crashed in between, and the interval is to be sent again",
                self.tried("commit to")
            )));
        }
        step("rows moved");
        let sql = format!("UPDATE {} SET committed_ms = $2 WHERE name = $1", self.tables.sinks());
        let noted = transaction.execute(&sql, &[&self.tables.name, &interval_ms]).map_err(failed)?;
        if noted != 1 {
            return Err(Error::user(
                self.tried("commit, since somebody has removed its line in cutwater_sinks, to"),
            ));
        }
        step("before the transaction of commit ends");
        transaction.commit().map_err(failed)?;
        connection.hand_back();
        Ok(())
    }

    fn discard(&self, interval: Time, _: &[PostgresToken]) -> Result<(), Error> {
        // Those that count are not there any more.
        let sql = format!("DELETE FROM {} WHERE interval_ms = $1", self.tables.staged());
        let mut connection = self.server.connect()?;
        let deleted = connection.execute(&sql, &[&interval.as_ms()]);
        deleted.map_err(|error| said(&self.tried("discard what was staged for"), &error))?;
        connection.hand_back();
        Ok(())
    }
}
