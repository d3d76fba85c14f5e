//! Every bound of the engine, with its default and its reason (DESIGN D10). Over a bound there is
//! back pressure or a clear error, never memory without end.

/// Runs of one task that failed for reasons outside the program before its job fails. A fault
/// that is still there after four tries will not go away by itself.
pub const TASK_ATTEMPTS_MAX: u32 = 4;

/// Key groups into which keyed data is hashed; also the largest number of partitions of a keyed
/// dataset that hold anything. Many more than cores, so that a lost worker's groups spread over all the others.
pub const KEY_GROUPS: u32 = 256;

/// Runs of one task that failed because the same block could not be read, before its job fails. Such a
/// failure is no fault of the task and is answered by making the block again, so there may be
/// many in a storm of losses; a block that cannot be read after so many tries never will be.
pub const FETCH_ATTEMPTS_MAX: u32 = 16;

/// The longest line of a text file. Longer than that it is not text, and reading it whole would take
/// memory without end.
pub const FILE_LINE_BYTES_MAX: usize = 64 << 20;

/// Bytes of a line, or of an event, that a source takes from outside. A longer one is no record but
/// a sender that has lost its way, and must not fill the memory.
pub const LINE_BYTES_MAX: usize = 1 << 20;

/// The first wait before a source tries to reach a server again, in milliseconds; it doubles with
/// every try. Short, since most outages are restarts.
pub const RECONNECT_MS_MIN: u64 = 100;

/// The longest wait before a source tries to reach a server again, in milliseconds: a server that
/// is back is noticed soon, and one that is not is hardly troubled.
pub const RECONNECT_MS_MAX: u64 = 5_000;

/// The longest wait that a server may ask of a source, in milliseconds.
pub const SERVER_WAIT_MS_MAX: u64 = 60_000;

/// How long a source waits for a server to take its connection, in milliseconds.
pub const CONNECT_MS_MAX: u64 = 5_000;

/// How long a source waits for a server to begin its answer, in milliseconds. Servers of streams
/// answer at once and then take their time.
pub const ANSWER_MS_MAX: u64 = 30_000;

/// Connections that a listening source holds at a time, each with a thread. More wait to be
/// accepted until others end.
pub const LISTEN_CONNECTIONS_MAX: usize = 256;

/// Files of a folder are remembered as taken for at least so long, in milliseconds; what is older
/// is not taken at all (`api.md` §2).
pub const FOLDER_REMEMBER_MS: u64 = 60_000;

/// How often a source looks at a file that it follows, in milliseconds: a fraction of the intervals that
/// people choose for logs, and a few system calls each. What happens to a file between two looks is seen
/// only by its outcome.
pub const TAIL_POLL_MS: u64 = 50;

/// Datasets that wait in a queue of the program's own until intervals take them. A description is small;
/// more of them waiting than this is a program that pushes and never runs.
pub const QUEUE_DATASETS_MAX: usize = 10_000;

/// Calls of a sink's open, or of its commit for one interval, if they fail for reasons outside. With the
/// [pauses](SINK_PAUSE_MS_MIN) between them they outlast a server that is started again; a longer outage is left to whoever
/// starts the program again.
pub const SINK_ATTEMPTS_MAX: u32 = 8;

/// Calls by which one run of a task stages records in a sink, if they fail before the sink has looked at one. Fewer, since
/// the task itself is run [again](TASK_ATTEMPTS_MAX): a server that is started again is outlasted by all of them.
pub const SINK_STAGING_ATTEMPTS_MAX: u32 = 5;

/// The pause before a call of a sink is made a second time, in milliseconds; it doubles with each. An answer that was lost
/// on its way is soon asked for again, and all pauses together are 6.35 s, or 0.75 s for each run of a task.
pub const SINK_PAUSE_MS_MIN: u64 = 50;

/// Intervals after whose commit their leftovers in a sink are discarded a second time, counted in intervals: what an
/// attempt that did not count was still staging after the first time. Far longer than tasks run; each is remembered
/// with its tokens until then.
pub const SINK_RECENT_INTERVALS_MAX: usize = 16;

/// How long a sink's connection may hold a transaction open and say nothing, in milliseconds; then the server ends it.
/// Between its statements a sink waits for nobody, so its process is paused or gone, and whoever takes over waits for
/// its locks.
pub const SINK_TRANSACTION_IDLE_MS_MAX: u64 = 2_000;

/// Connections to servers of sinks that a process keeps while nobody uses them. A server has some hundred for all its
/// users; more compute threads than this connect anew.
pub const SINK_IDLE_CONNECTIONS_MAX: usize = 32;

/// Intervals on their way at a time: the one whose outputs run, and those whose input is fixed and of which what follows
/// from that alone is made where slots are idle. One more than that keeps slots busy while the last tasks of an interval
/// run; a second would only hold more records and map outputs in memory, and make back pressure answer later.
pub const INTERVALS_IN_FLIGHT_MAX: usize = 2;

/// Versions of a state in a row that were described and not computed, because no output looked at
/// them. At so many the newest is computed: all that they are made from is held until then, and the
/// first to look would have to wait for all of it.
pub const STATE_BEHIND_MAX: u32 = 10;

/// Records that an interval takes from one source unless the program says otherwise: some seconds of a
/// fast source.
pub const INTERVAL_RECORDS_MAX: usize = 10_000_000;

/// The same in bytes: well below the memory of a small machine.
pub const INTERVAL_BYTES_MAX: usize = 1 << 30;

/// How long after its arrival a record may say that it happened, in milliseconds, where records are put
/// into the intervals of their own times. Until then it is held; clocks that are further apart are wrong.
pub const EVENT_AHEAD_MS_MAX: u64 = 60_000;

/// Windows of event time that a record may be in. Each keeps its own state; a program that asks for more
/// means something else.
pub const EVENT_WINDOWS_MAX: u128 = 10_000;

/// The longest window, in milliseconds. Times are milliseconds in 64 bits; this leaves room to add a few
/// spans up.
pub const SPAN_MS_MAX: u64 = i64::MAX as u64 / 16;

/// How soon a thread that waits for the outside notices that the program is over, in milliseconds: no
/// delay that people notice, and a few wake-ups a second.
pub const STOP_POLL_MS: u64 = 50;

/// How often a listening source looks whether a connection waits to be accepted, in milliseconds: soon for
/// whoever connects, and one system call each.
pub const ACCEPT_POLL_MS: u64 = 10;

/// Tasks for each slot that a worker may be sent while all its slots are taken, because it holds their
/// state. One: it is next in any case, and more would leave other workers idle for long, such as one
/// that has just joined and is to have a share of the state.
pub const WAITING_PER_SLOT: usize = 1;

/// Workers that are told of a received block before it counts as received: any one of them may be
/// lost then (`paper.md` §2).
pub const REPLICAS: usize = 2;

/// How often a process tells its peer that it is alive when it has nothing else to say, in
/// milliseconds.
pub const PING_MS: u64 = 500;

/// Silence after which a worker or master counts as lost, in milliseconds. A process that dies is
/// noticed at once by its connection; this is for machines and networks that vanish. Twelve pings, so
/// that a machine that pauses for a moment is not taken for dead.
pub const SILENCE_MS_MAX: u64 = 6_000;

/// How long a connection may take to say who it is, in milliseconds. Whoever dials by mistake is not
/// waited for.
pub const HANDSHAKE_MS_MAX: u64 = 5_000;

/// Connections to one port whose handshake is going on at the same time. When there is one more, the oldest
/// gives way: a handshake takes milliseconds, unless the other end has nothing to say.
pub const HANDSHAKES_MAX: usize = 64;

/// How long a process waits until it accepts again after it could not, in milliseconds. Mostly it has too
/// many open files, which passes; trying at once would fail as fast as it can.
pub const ACCEPT_RETRY_MS: u64 = 100;

/// How long worker processes that the program has started may take to end once they were told to, in
/// milliseconds; then they are killed. Their task has nothing left to save.
pub const ENDING_MS_MAX: u64 = 3_000;

/// The longest payload of one frame between processes. Large enough that its head costs nothing, small
/// enough that a message can be checked and taken in while the rest of it is on its way.
pub const FRAME_BYTES_MAX: usize = 256 << 10;

/// The longest message between processes. More than a worker could hold of one block is a mistake, or an
/// attack.
pub const MESSAGE_BYTES_MAX: usize = 1 << 30;

/// The longest message before its sender has proven anything: an introduction, and not more.
pub const UNPROVEN_BYTES_MAX: usize = 16 << 10;

/// How long a worker tries to reach its master, in milliseconds: the two are often started together.
pub const JOIN_MS_MAX: u64 = 30_000;

/// How far the clocks of a worker and the master may be apart, in milliseconds. Records are stamped
/// where they arrive; clocks further apart than this would put them into the wrong intervals for good.
pub const CLOCK_SKEW_MS_MAX: i64 = 10_000;

/// How often a worker tells the master what its clock says, in milliseconds. Clocks drift by seconds a day
/// at worst; one that is set by hand is noticed before many records are stamped.
pub const CLOCK_CHECK_MS: u64 = 10_000;

/// The largest executable that an agent takes, in bytes. Programs with all their debug information are
/// hundreds of megabytes.
pub const EXECUTABLE_BYTES_MAX: u64 = 4 << 30;

/// Bytes of an executable in one message, so that an agent never holds more of it in memory.
pub const CHUNK_BYTES: usize = 128 << 10;

/// The longest message to or from an agent: a piece of an executable with its head, or the arguments of a
/// program, of which the operating system allows no more in one piece.
pub const AGENT_MESSAGE_BYTES_MAX: usize = 256 << 10;

/// Executables that an agent keeps. Those that run are always kept; of the others, so many that going back
/// to the versions of the last days needs no upload.
pub const EXECUTABLES_MAX: usize = 10;

/// Connections to an agent at a time. More wait to be accepted. Each has one message in memory.
pub const AGENT_CONNECTIONS_MAX: usize = 64;

/// Jobs that an agent runs at a time. More are a mistake in a script.
pub const JOBS_MAX: usize = 32;

/// Worker processes of one job on one agent. One has all the threads that its machine has; more than these
/// are for tests.
pub const JOB_WORKERS_MAX: u32 = 64;

/// Jobs that are over and of which an agent still knows how they ended, with what they printed.
pub const JOBS_REMEMBERED: usize = 32;

/// Bytes that an agent keeps of what a process prints, for each of its two outputs. The oldest go first.
pub const LOG_BYTES_MAX: u64 = 16 << 20;

/// How often a worker of a job that fails is started again in a row. Whatever is still wrong then is not
/// mended by another start. A master whose program goes on where it was is started again without end: its workers may hold
/// what clients were told is safe.
pub const RESTARTS_MAX: u32 = 5;

/// The wait before a process of a job is started again, in milliseconds; it doubles with every failure in a
/// row. What a worker has is made again by others meanwhile, so nothing hurries; for a master that is killed once it is
/// shorter than what the takeover takes.
pub const RESTART_MS_MIN: u64 = 250;

/// The longest such wait, in milliseconds: a minute after somebody has mended what a master fails of it goes on.
pub const RESTART_MS_MAX: u64 = 60_000;

/// A process of a job that ran so long, in milliseconds, has not failed in a row with the one before. Longer
/// than it takes to find no master.
pub const RESTART_FORGIVEN_MS: u64 = 60_000;

/// Bytes before the place up to which a followed file was read, by which the place is found again. Lines of logs begin with
/// times, so a few of them are like no others.
pub const TAIL_FINGERPRINT_BYTES: u64 = 1024;

/// How long a program may take from its start until its master listens, in milliseconds. Whatever a program
/// does before it makes its context delays that.
pub const MASTER_START_MS_MAX: u64 = 60_000;

/// How long the processes of a job may take to end when they were asked to, in milliseconds; then they are
/// killed. A master processes what it has received, and a worker hands over what it holds.
pub const STOP_GRACE_MS: u64 = 30_000;

/// How long an agent waits for the rest of what a process has printed once it has ended, in milliseconds.
/// The rest is there already, unless something that outlives the process has its output open.
pub const LOG_REST_MS: u64 = 1_000;

/// How often an agent tries to run an executable that is still open for writing somewhere, as it is for a
/// moment in a process that was started while it arrived.
pub const BUSY_TRIES_MAX: u32 = 100;

/// The wait between two such tries, in milliseconds.
pub const BUSY_RETRY_MS: u64 = 10;

/// How often an agent looks whether a program's master listens, in milliseconds: one system call each.
pub const MASTER_POLL_MS: u64 = 10;

/// Templates of stages that a worker remembers. A program has as many as it has stages; those that
/// are different in each interval must not pile up.
pub const TEMPLATES_MAX: usize = 512;

/// Requests for blocks that a worker has on their way at a time. More wait: each has a message of the
/// other end in memory.
pub const FETCHES_MAX: usize = 32;

/// Partitions of a dataset, and pieces that one of them may have written. Each costs the scheduler some
/// memory and a task; more than this is a mistake, or an attack.
pub const PARTITIONS_MAX: u32 = 1 << 24;

/// Bytes of blocks that a worker has on their way to it at a time, all connections together: announced and not
/// yet handed to the tasks that wait for them. More stay where they are, and their senders wait. A block that is
/// larger than this travels alone.
pub const FETCH_BYTES_MAX: usize = 64 << 20;

/// Tasks that write for a shuffle run for so long until readers begin to fetch, in milliseconds. What is written
/// sooner is fetched in one go when all of it is there, which costs fewer messages.
pub const AHEAD_MS_MIN: u64 = 20;

/// Into how many parts a shuffle is cut for those who fetch ahead: they are told each time that so much more of
/// it is there. So a worker hears of a shuffle a few times and not once for each of its map partitions.
pub const AHEAD_PARTS: usize = 4;

/// Partitions of a shuffle of which a worker is told at a time that its tasks will probably read them. Tasks that
/// are about to start read few, unless they join many partitions into one; the rest is fetched when they come.
pub const AHEAD_REDUCES_MAX: usize = 4_096;

/// Map partitions whose pieces are fetched ahead with one request. A task that wants something from the same
/// worker waits for one such request at most.
pub const AHEAD_TOGETHER: usize = 4;

/// Requests for pieces that are fetched ahead that a worker has on their way at a time: a small part of all, so
/// that tasks which wait for theirs always find room.
pub const AHEAD_FETCHES_MAX: usize = 4;

/// Bytes of pieces that a worker holds for tasks that are expected: about as much as may be on its way to
/// those that are there. What is more they fetch when they come.
pub const AHEAD_BYTES_MAX: usize = 64 << 20;

/// Bytes sent together below which nothing is compressed: a few packets, which are on their way sooner than
/// they are compressed.
pub const COMPRESS_BYTES_MIN: usize = 16 << 10;

/// Bytes from the middle of a message that are compressed first, to see whether it pays for all of it.
pub const COMPRESS_SAMPLE_BYTES: usize = 8 << 10;

/// How many percent of a message may be left of it, compressed. What shrinks less is not worth the work at
/// the other end.
pub const COMPRESS_PERCENT_MAX: usize = 80;

/// Bytes of small blocks that are gathered into one message of the data connection.
pub const GATHER_BYTES: usize = 64 << 10;

/// A task that runs longer than so many hundredths of what tasks of its stage usually take is a straggler
/// (`paper.md` §7): 1.4 times the median.
pub const STRAGGLER_PERCENT: u64 = 140;

/// No task counts as a straggler before it has run for so long, in milliseconds. What takes less is over
/// before a copy of it could pay, and short times differ by chance.
pub const STRAGGLER_MS_MIN: u64 = 100;

/// How often a worker says what its tasks have read that take about as long as stragglers do, in milliseconds: a few times
/// before one can be taken for one, so that what was said last is not much older than what it is compared with.
pub const PROGRESS_MS: u64 = 20;

/// How often the scheduler is told the time while tasks run, in milliseconds: a tenth of the time after
/// which a task can be a straggler, and few wake-ups.
pub const CLOCK_MS: u64 = 10;

/// Runs of a kind of stage of which it is remembered how long their tasks took: enough that one odd interval
/// changes nothing, few enough that the memory follows the load.
pub const HISTORY_RUNS: usize = 8;

/// Kinds of stages that are remembered. A program has as many as it has stages; those that are made anew in
/// each interval must not pile up.
pub const HISTORY_KINDS_MAX: usize = 512;

/// Runs of stages in which a worker is slow, and in none between as fast as others, until it is avoided. Once is chance.
pub const STRIKES_MAX: u32 = 2;

/// How long a slow worker gets no tasks at first, in milliseconds; it doubles each time that it turns out to
/// be slow still. Some intervals, so that a machine that was busy for a moment is soon back.
pub const AVOIDED_MS_MIN: u64 = 5_000;

/// The longest time for which a slow worker gets no tasks, in milliseconds. To try it again costs a copy
/// of what it is given, and that a minute apart is nothing.
pub const AVOIDED_MS_MAX: u64 = 60_000;

/// After so long without being slow a worker counts as if it never was, in milliseconds. Longer
/// than the longest time for which it is avoided, in which it cannot lose.
pub const STRIKES_FORGOTTEN_MS: u64 = 120_000;

/// How long a worker that is asked to leave may take to hand over what only it holds, in milliseconds. Then
/// it leaves, and what is lost is made again; those who stop machines rarely wait longer.
pub const DRAIN_MS_MAX: u64 = 25_000;

/// Blocks that are being copied from worker to worker at a time, all pieces of a map partition counted as one.
/// Copies are behind, and must not take the network from the intervals.
pub const COPIES_MAX: usize = 256;

/// What a task has written for the shuffle of a state is held by a second worker if the task took so long, in milliseconds.
/// What takes less is made again sooner than it is copied.
pub const DEAR_MS_MIN: u64 = 10;

/// And if combining has left at most one of so many records: then holding it twice costs little beside the input, which
/// is held twice too.
pub const DEAR_PARTS: u64 = 4;

/// How many times as long as a copy took its worker waits before the next, so that copies take a fraction of the network
/// and of the cores that serve it.
pub const COPY_PAUSE: u32 = 2;

/// Times that one block is tried to be copied at once. Then one that can be made again is left as it is, and one
/// that was received waits until something changes: a worker that joins, another copy that was made.
pub const COPY_TRIES_MAX: u32 = 4;
/// How often states are written down, in milliseconds. A recovery makes again what came since, so it is about as
/// long as that is at most, spread over all workers (`paper.md` §6).
pub const CHECKPOINT_MS: u64 = 10_000;

/// After so many intervals states are written even if they are so short that it is not time: what a state is made
/// from is held until then, and described to whoever has to make it again.
pub const LINEAGE_INTERVALS_MAX: u64 = 1_000;

/// After so many bytes of input for each process that holds them states are written even if it is not time, since the
/// input is held until then. When a worker is lost, those that are left hold what it held: states are written the more often,
/// so that no process needs more memory than before, which it would have to be given first just when there is most to do.
pub const CHECKPOINT_INPUT_BYTES: u64 = 512 << 20;

/// How many times as much as that may pass while states cannot be written, because the store is slow or away. Then
/// intervals wait, and fail if it is still so.
pub const LINEAGE_BEHIND_MAX: u64 = 4;

/// Entries of the progress log that wait to be written. Each interval has one and waits for it before its outputs
/// run, so there are never many.
pub const JOURNAL_ENTRIES_MAX: usize = 64;

/// Times that one entry of the progress log, or the input that it tells of, is tried to be written, if the store fails.
/// With the [pauses](JOURNAL_PAUSE_MS_MIN) between them: a request that was refused or lost is no reason to end a program.
pub const JOURNAL_ATTEMPTS_MAX: u32 = 6;

/// The pause before an entry is tried to be written a second time, in milliseconds; it doubles with each. All together are
/// 1.55 s, after which a [standby](LEASE_LOST_MS) that reaches the store does better.
pub const JOURNAL_PAUSE_MS_MIN: u64 = 50;

/// How long it may take until the log says that an interval's outputs are done, in milliseconds, if no next interval
/// says it before. An interval of which it is not said is run again after a restart.
pub const JOURNAL_LINGER_MS: u64 = 100;
/// Bytes of records that a client gathers into one batch. Large enough that a batch costs little besides its
/// records, small enough for one frame.
pub const BATCH_BYTES: usize = 128 << 10;

/// The longest batch of a client, and the longest body of a request, that a receiver takes. It is in memory
/// whole before it counts.
pub const BATCH_BYTES_MAX: usize = 4 << 20;

/// How long a client waits for more records before it sends a batch that is not full, in milliseconds: a
/// fraction of the shortest useful interval.
pub const LINGER_MS: u64 = 5;

/// Bytes of records that a client holds because they are not acknowledged; then whoever sends waits. Some
/// hundred batches, so that a client is busy while the first are on their way.
pub const CLIENT_BYTES_MAX: usize = 32 << 20;

/// How long a client tries to reach a receiver before it says that there is none, in milliseconds. A cluster
/// that was started again is back by then.
pub const CLIENT_PATIENCE_MS: u64 = 60_000;

/// Connections of clients that a worker holds at a time. More wait until others end; each may have a batch in
/// memory.
pub const CLIENT_CONNECTIONS_MAX: usize = 1024;

/// Memory that batches are read into is a multiple of this, so that it can be used again for another: an eighth of what
/// clients usually gather.
pub const BUFFER_GRAIN_BYTES: usize = BATCH_BYTES / 8;

/// Memory for batches that lay unused for so long, in milliseconds, is given back: longer than states usually take to be
/// written again, since batches are held until then.
pub const BUFFER_IDLE_MS: u64 = 6 * CHECKPOINT_MS;

/// Bytes of received records at which a block is closed and the next one opened. A block is read by one task;
/// a few of them fill a slow interval.
pub const INPUT_BLOCK_BYTES: usize = 16 << 20;

/// How long a block takes records, in milliseconds, unless its interval is shorter (`api.md` §2): a fraction
/// of an interval, so that it has a block for each of some tasks.
pub const INPUT_BLOCK_MS: u64 = 200;

/// Blocks of which a source remembers that they are of an interval: more than there are between checkpoints, after which
/// nobody tells of them again.
pub const BLOCKS_KNOWN_MAX: usize = 1 << 16;

/// Clients of which a source remembers what it has counted. Beyond, those that were not heard of for longest are
/// forgotten: what they send again then would count again.
pub const CLIENTS_REMEMBERED_MAX: usize = 65_536;

/// Gaps in the numbers of a client's batches that are remembered. Batches overtake each other only where a client
/// has gone from one receiver to another, so there is one gap or none; who leaves more has lost count.
pub const CLIENT_GAPS_MAX: usize = 64;

/// How often a master writes its lease, in milliseconds: a few small writes a second, also to an object store.
pub const LEASE_BEAT_MS: u64 = 250;

/// After so long without a new lease a master counts as gone, in milliseconds: four beats, so that one slow write
/// does not make a standby try. If it tries all the same nothing goes wrong, since only one of them can write.
pub const LEASE_LOST_MS: u64 = 1_000;

/// How long a master whose lease lay for so long that a standby may have taken over takes into account that one has, in
/// milliseconds: ample time for that one to write a lease of its own.
pub const LEASE_DOUBT_MS: u64 = 5_000;

/// How often a standby looks at the lease, in milliseconds. A part of what a takeover takes.
pub const LEASE_POLL_MS: u64 = 50;

/// How many workers that are lost a lease names, the last that were: each may be there all the same, with what nobody else holds.
/// Most are gone for good, and whoever takes over calls in vain.
pub const LOST_NAMED_MAX: usize = 64;

/// How long a worker without a master waits for another one, in milliseconds, holding its blocks and taking records
/// meanwhile. Long enough for a master to be started again by whoever looks after processes. One that holds what clients were
/// told is safe says so every so often, and goes on waiting.
pub const REJOIN_MS_MAX: u64 = 60_000;

/// How long intervals wait for received blocks that only workers hold which are lost, in milliseconds: those may have been
/// stopped, or out of reach, and come back with what they hold. Long enough for one that was out of reach for as long again
/// as silence may last, and that is let in only when it is certain that no other master is
/// ([`LEASE_DOUBT_MS`]).
pub const AWAITED_MS_MAX: u64 = 30_000;

/// How long a master that takes over waits for the workers of the one before, in milliseconds. Those that are alive
/// come at once; what the others held is made again, and who of them comes later is a newcomer.
pub const TAKEOVER_MS_MAX: u64 = 1_500;
