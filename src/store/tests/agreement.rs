//! That the SQL of `store` and the store in memory, over which the engine is tested, follow the
//! same rules: the questions that the engines of a story asked the one are put to the other, at the same times.
//!
//! A server's clock cannot be moved, but the times in the table can: before each command, every one of them
//! is set back by the time that the story skips, after its row was locked, as a worker does. Both are sent in
//! one message, which is one transaction, and so have the same `now()`.
use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Executor, Row};

use super::{KEPT, connect};
use crate::connect::{Schema, Statement};
use crate::job::{Outcome, Run};
use crate::processor::tests::memory_store::{Hold, LEASE, LETTER};
use crate::processor::tests::model::trace::{Answer, Asked, Command, RowState};
use crate::processor::tests::model::{stories, tell};
use crate::processor::{Extended, SettledEach};
use crate::store::answers::{read_exchanged, read_extended, read_fates, read_runs};
use crate::store::claim::{self, Claim};
use crate::store::columns;
use crate::store::cursor::Look;
use crate::store::key::holds_key;
use crate::store::{begin, cancel, extend, reclaim, recover, retry, settle};

/// How many stories are told.
const STORIES: &str = "JOB_QUEUE_TEST_STORIES";

struct Server {
    connection: PgConnection,
    schema: Schema,
    fences: Fences,
}

/// The server's number for each `run_no` of the story, which counts claims where the server takes the time.
#[derive(Default)]
struct Fences(BTreeMap<Run, i64>);

impl Fences {
    /// The run as the server knows it. A run that never was is the same to both.
    fn of_server(&self, run: Run) -> Run {
        let run_no = self.0.get(&run).copied().unwrap_or(-1);
        Run { run_no, ..run }
    }

    fn of_story(&self, run: Run) -> Run {
        let same = |&(known, run_no): &(&Run, &i64)| known.id == run.id && *run_no == run.run_no;
        let run_no = self.0.iter().find(same).map_or(-1, |(run, _)| run.run_no);
        Run { run_no, ..run }
    }

    /// Takes note of the fences of a row, which both have raised or neither.
    fn compare(&mut self, story: &RowState, server: &RowState) {
        let run = |run_no| Run {
            id: story.id,
            run_no,
        };
        let last = self.0.range(run(0)..=run(i64::MAX)).next_back();
        let (story_last, server_last) = last.map_or((-1, -1), |(run, at)| (run.run_no, *at));
        if story.run_no > story_last && server.run_no > server_last {
            self.0.insert(run(story.run_no), server.run_no);
        }
    }
}

impl Server {
    async fn connect() -> sqlx::Result<Self> {
        let mut connection = connect().await?;
        connection
            .execute("create temporary table story (clock timestamptz, microseconds bigint)")
            .await?;
        Ok(Self {
            connection,
            schema: columns::schema("public".into()),
            fences: Fences::default(),
        })
    }

    async fn begin(&mut self) -> sqlx::Result<()> {
        self.fences = Fences::default();
        let sql = "truncate job_queue; truncate story; insert into story values (now(), 0)";
        self.connection.execute(sqlx::raw_sql(sql)).await?;
        Ok(())
    }

    /// Sends a command at a time of the story.
    async fn ask(&mut self, asked: &Asked) -> sqlx::Result<Answer> {
        let statement = self.statement(asked);
        let command = statement.with_literals().ok_or(sqlx::Error::RowNotFound)?;
        let at = asked.at.as_micros();
        let message = format!(
            "with locked as (select id from job_queue for no key update)
            update job_queue job set
                created_at = created_at + passed, updated_at = updated_at + passed,
                run_at = run_at + passed, next_attempt_at = next_attempt_at + passed,
                locked_at = locked_at + passed, lease_expires_at = lease_expires_at + passed,
                cancel_requested_at = cancel_requested_at + passed
            from (
                select (now() - clock) - ({at} - microseconds) * interval '1 microsecond' as passed
                from story
            ) story, locked
            where job.id = locked.id;
            update story set clock = now(), microseconds = {at};
            {command}"
        );
        let message = sqlx::raw_sql(AssertSqlSafe(message));
        let rows = message.fetch_all(&mut self.connection).await?;
        read(&asked.command, &rows)
    }

    fn statement(&self, asked: &Asked) -> Statement {
        let schema = &self.schema;
        match &asked.command {
            Command::Insert {
                id,
                job_type,
                dead_letter,
                key,
                hold,
                priority,
                max_attempts,
                run_at,
                timeout,
            } => {
                let delay = (*run_at - asked.at).as_micros().to_string();
                let timeout = timeout.map(|timeout| timeout.as_millis().to_string());
                schema.statement(
                    "insert into {jobs} (id, job_type, payload, priority, max_attempts, run_at, timeout_ms, dead_letter_job_type,
                        idempotency_key, idempotency_hold)
                    values ({id}::text::bigint, {job_type}::text, 'null', {priority}::text::int, {max_attempts}::text::int,
                        now() + {delay}::text::bigint * interval '1 microsecond', {timeout_ms}::text::int, {letter}::text,
                        {key}::text, {hold}::text)
                    -- A dead letter gets the next id.
                    returning setval(pg_get_serial_sequence('job_queue', 'id'), id)",
                    vec![
                        ("id", id.to_string().into()),
                        ("job_type", (*job_type).into()),
                        ("priority", priority.to_string().into()),
                        ("max_attempts", max_attempts.to_string().into()),
                        ("delay", delay.into()),
                        ("timeout_ms", crate::connect::Value::Text(timeout)),
                        (
                            "key",
                            crate::connect::Value::Text(key.map(|key| key.to_string())),
                        ),
                        (
                            "hold",
                            match hold {
                                Hold::Queued => "queued".into(),
                                Hold::Unsettled | Hold::Released => "unsettled".into(),
                            },
                        ),
                        (
                            "letter",
                            crate::connect::Value::Text(dead_letter.then(|| LETTER.into())),
                        ),
                    ],
                )
            }
            Command::Exchange {
                outcomes,
                wanted,
                types: count,
            } => {
                let types = ["job", "new", LETTER, "none"].map(str::to_owned);
                let named = (*count > 0).then_some(&types[..*count + 2]);
                let claim = Claim {
                    limit: wanted.limit,
                    worker_id: "story",
                    lease_ms: lease_ms(),
                    token: wanted.token,
                    types: wanted.only.as_deref().or(named),
                    proving: false,
                };
                let outcomes = self.of_server(outcomes);
                claim::statement(schema, outcomes, KEPT, &claim, &Look::from_beginning())
            }
            Command::SettleEach(outcomes) => settle::each(schema, self.of_server(outcomes), KEPT),
            Command::Begin(runs) => begin::runs(schema, &self.runs_of_server(runs), lease_ms()),
            Command::ClaimedBy(tokens) => begin::claimed_by(schema, tokens),
            Command::Recover => recover::jobs(schema, 0),
            Command::Extend(runs) => extend::leases(schema, &self.runs_of_server(runs), lease_ms()),
            Command::Cancel(id) => cancel::job(schema, *id),
            Command::Retry(id) => retry::job(schema, *id),
            Command::Reclaim(older_than) => {
                reclaim::stuck_jobs(schema, older_than.as_secs_f64() / 60.0)
            }
        }
    }

    fn of_server(&self, outcomes: &[Outcome]) -> Vec<Outcome> {
        let mut outcomes = outcomes.to_vec();
        for outcome in &mut outcomes {
            outcome.run = self.fences.of_server(outcome.run);
        }
        outcomes
    }

    fn runs_of_server(&self, runs: &[Run]) -> Vec<Run> {
        runs.iter().map(|&run| self.fences.of_server(run)).collect()
    }

    async fn table(&mut self) -> sqlx::Result<Vec<RowState>> {
        let sql = concat!(
            "select id::bigint, status::text, run_no, attempts, max_attempts,
                cancel_requested_at is not null as cancel_requested,
                coalesce(claim_token < 0, false) as uncounted, (",
            holds_key!(""),
            ") as holds_key,
                (extract(epoch from ready_at - clock) * 1000000)::bigint + microseconds as ready_at
            from job_queue cross join story order by id"
        );
        let rows = sqlx::query(sql).fetch_all(&mut self.connection).await?;
        rows.iter()
            .map(|row| {
                Ok(RowState {
                    id: row.try_get("id")?,
                    status: row.try_get("status")?,
                    run_no: row.try_get("run_no")?,
                    attempts: row.try_get("attempts")?,
                    max_attempts: row.try_get("max_attempts")?,
                    cancel_requested: row.try_get("cancel_requested")?,
                    uncounted: row.try_get("uncounted")?,
                    holds_key: row.try_get("holds_key")?,
                    ready_at: row.try_get("ready_at")?,
                })
            })
            .collect()
    }
}

fn lease_ms() -> i64 {
    LEASE.as_millis().try_into().unwrap_or(i64::MAX)
}

fn read(command: &Command, rows: &[PgRow]) -> sqlx::Result<Answer> {
    Ok(match command {
        Command::Insert { .. } => Answer::Nothing,
        Command::Exchange { .. } => Answer::from(&read_exchanged(rows)?.0),
        Command::SettleEach(_) => Answer::from(&SettledEach::Fates(read_fates(rows)?)),
        Command::Begin(_) => Answer::of_runs(&begin::read(rows)?.runs),
        Command::ClaimedBy(_) => Answer::of_runs(&read_runs(rows)?),
        Command::Recover => Answer::from(&recover::read(rows)?.recovered),
        Command::Extend(_) => {
            let extended: sqlx::Result<Vec<Extended>> = rows.iter().map(read_extended).collect();
            Answer::from(extended?.as_slice())
        }
        Command::Cancel(_) | Command::Retry(_) | Command::Reclaim(_) => {
            let said = rows.first().map(|row| row.try_get("result"));
            Answer::Said(said.transpose()?)
        }
    })
}

/// Tells a story to the store in memory, and puts its questions to the server.
async fn agree(server: &mut Server, trace: &[Asked]) -> Result<(), TestCaseError> {
    let failed = |error: sqlx::Error| TestCaseError::fail(error.to_string());
    server.begin().await.map_err(failed)?;
    for asked in trace {
        let answer = server.ask(asked).await.map_err(failed)?;
        let mut table = server.table().await.map_err(failed)?;
        for (story, server_row) in asked.table.iter().zip(&mut table) {
            server.fences.compare(story, server_row);
            let run = Run {
                id: server_row.id,
                run_no: server_row.run_no,
            };
            server_row.run_no = server.fences.of_story(run).run_no;
        }
        let answer = answer.with_runs(|run| server.fences.of_story(run));
        prop_assert_eq!(&answer, &asked.answer, "the answer to {:?}", asked.command);
        prop_assert_eq!(&table, &asked.table, "the table after {:?}", asked.command);
    }
    Ok(())
}

#[test]
#[ignore = "needs a server: npx vitest run store"]
fn the_server_answers_as_the_store_in_memory_does() {
    let cases = std::env::var(STORIES).map_or(20, |count| count.parse().unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut server = runtime.block_on(Server::connect()).unwrap();
    let server = std::sync::Mutex::new(&mut server);
    let mut commands = std::sync::atomic::AtomicUsize::new(0);
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        max_shrink_time: 60_000,
        ..ProptestConfig::default()
    };
    let told = TestRunner::new(config).run(&stories(false), |story| {
        let trace = tell(&story)?;
        commands.fetch_add(trace.len(), std::sync::atomic::Ordering::Relaxed);
        runtime.block_on(agree(&mut server.lock().unwrap(), &trace))
    });
    if let Err(error) = told {
        panic!("{error}");
    }
    println!("{cases} stories, {} commands", commands.get_mut());
}
