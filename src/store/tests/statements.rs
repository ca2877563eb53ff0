//! Every statement as Postgres gets it, in `src/store/statements.sql`, so that a change of one is seen in review as
//! SQL. After an intended change: `UPDATE_STATEMENTS=1 cargo test statements`.

use std::fmt::Write;
use std::path::Path;

use crate::connect::{Schema, Statement, Value};
use crate::error::{Code, Error};
use crate::job::{End, NewJob, Outcome, Run};
use crate::store::claim::{self, Claim};
use crate::store::columns::{self, Given};
use crate::store::cursor::Look;
use crate::store::find::{self, Extent, Of};
use crate::store::recover::Manner;
use crate::store::settle::Ways;
use crate::store::{
    add_many, begin, cancel, cleanup, complete, enqueue, extend, notify, reclaim, recover, refuse,
    retry, settle,
};

const RUN: Run = Run { id: 1, run_no: 1 };

#[test]
fn the_statements_are_the_committed_ones() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/statements.sql");
    let mut now = String::new();
    for (name, statement) in all() {
        let sql = &statement.sql;
        assert!(!sql.replace("'{}'", "").contains('{'), "{sql}");
        writeln!(now, "-- {name}").unwrap();
        for (number, name) in (1..).zip(&*statement.names) {
            writeln!(now, "-- ${number} {name}").unwrap();
        }
        writeln!(now, "{sql};\n").unwrap();
    }
    if std::env::var_os("UPDATE_STATEMENTS").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let parts = |text: &str| -> Vec<String> { text.split("\n\n").map(String::from).collect() };
    for (now, committed) in parts(&now).into_iter().zip(parts(&committed)) {
        assert_eq!(now, committed);
    }
    assert_eq!(now.len(), committed.len());
}

/// An outcome that leaves a dead letter.
fn buried() -> Outcome {
    let entry = String::new();
    Outcome {
        has_dead_letter: true,
        ..Outcome::new(RUN, End::Refused { entry })
    }
}

fn all() -> Vec<(String, Statement)> {
    let schema = &columns::schema("public".into());
    let mut all = claims(schema);
    let mut add = |name: &str, statement| all.push((String::from(name), statement));

    let ways = Ways {
        removes: false,
        pends: true,
        buries: true,
    };
    add(
        "settle one by one",
        settle::each(schema, vec![Outcome::new(RUN, End::Cancelled)], ways),
    );
    add(
        "settle one by one (with dead letters)",
        settle::each(schema, vec![buried()], ways),
    );
    add("begin last attempts", begin::runs(schema, &[RUN], 1));
    add(
        "find what a claim took whose answer was lost",
        begin::claimed_by(schema, &[1]),
    );
    add("extend leases", extend::leases(schema, &[RUN], 1));
    add(
        "look for requests to cancel",
        cancel::requested(schema, &[RUN]),
    );
    add("recover", recover::jobs(schema, 0));
    add(
        "list what can be recovered",
        recover::ended(schema, Vec::new()),
    );
    add(
        "recover these",
        recover::named(schema, &[1], Manner::Pending),
    );
    add(
        "recover these as failed",
        recover::named(schema, &[1], Manner::Failed),
    );

    let error = &Error::new(Code::DatabaseError, "");
    add("note a refused claim", refuse::claim(schema, 1, error));
    add(
        "note a refused outcome",
        refuse::settle(schema, RUN, error, 1),
    );
    add(
        "note a refused recovery",
        refuse::recover(schema, 1, error, 1),
    );

    add(
        "complete in a transaction",
        complete::job(schema, RUN, false),
    );
    add(
        "complete and remove in a transaction",
        complete::job(schema, RUN, true),
    );
    add(
        "ask how transactions ended",
        complete::settled_by_handler(schema, &[RUN]),
    );

    let job = serde_json::json!({
        "job_type": "job", "payload": null, "max_attempts": 3, "priority": 0, "run_at": null, "timeout_ms": null,
    });
    let job: NewJob = serde_json::from_value(job).unwrap();
    for (how, announced) in [("", false), (", announced", true)] {
        let one = enqueue::jobs(schema, std::slice::from_ref(&job), announced, None);
        add(&format!("add one job{how}"), one);
        let jobs = [job.clone(), job.clone()];
        add(
            &format!("add jobs{how}"),
            enqueue::jobs(schema, &jobs, announced, None),
        );
    }
    let keyed = NewJob {
        idempotency_key: Some("key".into()),
        ..job
    };
    add(
        "add one job with a key",
        enqueue::jobs(schema, std::slice::from_ref(&keyed), false, None),
    );
    let in_window = NewJob {
        idempotency_hold: Some("1000".into()),
        ..keyed.clone()
    };
    for (how, jobs) in [
        ("", [keyed.clone(), keyed]),
        (
            " that are held for some time",
            [in_window.clone(), in_window],
        ),
    ] {
        add(
            &format!("add jobs with keys{how}"),
            enqueue::jobs(schema, &jobs, false, None),
        );
    }
    add(
        "draw the ids of many jobs",
        schema.statement(add_many::RESERVE, vec![("count", Value::BigInt(1))]),
    );
    add("copy many jobs", add_many::copy(schema, Given::Plain));
    add("announce that jobs are due", notify::announcement(schema));

    for (what, of) in [("job", Of::Record), ("id", Of::Id)] {
        add(&format!("find a job: {what}"), find::job(schema, of, 1));
        for status in ["pending", "processing", "completed"] {
            let statement = find::jobs_by_status(schema, of, status, 1, 0);
            add(&format!("list jobs that are {status}: {what}"), statement);
        }
        add(
            &format!("list all jobs: {what}"),
            find::all_jobs(schema, of, 1, 0),
        );
    }
    for extent in [Extent::Whole, Extent::WithoutPayload, Extent::Least] {
        let statement = find::named_jobs(schema, &[1], extent);
        add(&format!("read these jobs: {extent:?}"), statement);
    }
    add("look what is left to do", find::backlog(schema, &[]));

    add("retry", retry::job(schema, 1));
    add("cancel", cancel::job(schema, 1));
    let filters = &serde_json::from_str("{}").unwrap();
    add("cancel upcoming jobs", cancel::upcoming(schema, filters));
    add("list upcoming jobs", cancel::upcoming_ids(schema, filters));
    add(
        "cancel these upcoming jobs",
        cancel::upcoming_named(schema, filters, &[1]),
    );
    add("reclaim", reclaim::stuck_jobs(schema, 1.0));
    add(
        "list what can be reclaimed",
        reclaim::stuck_ids(schema, 1.0),
    );
    add("reclaim these", reclaim::named(schema, 1.0, &[1]));
    let old = cleanup::Old {
        status: "completed".into(),
        days_to_keep: 1.0,
        added_before: true,
        rows: 1,
    };
    add("clean up", cleanup::old_jobs(schema, &old, None));
    add(
        "list what can be cleaned up",
        cleanup::old_ids(schema, &old, None),
    );
    add("clean up these", cleanup::named(schema, &old, &[1]));
    all
}

fn claims(schema: &Schema) -> Vec<(String, Statement)> {
    let mut all = Vec::new();
    let types = ["a".to_owned(), "b".to_owned()];
    let takes = [
        ("all types", None),
        ("one type", Some(&types[..1])),
        ("several types", Some(&types[..])),
    ];
    let forms = [
        ("completed, kept", End::Completed, false),
        ("completed, removed", End::Completed, true),
        ("any", End::Cancelled, false),
    ];
    for (what, types) in takes {
        let claim = Claim {
            limit: 1,
            worker_id: "worker",
            lease_ms: 1,
            token: 1,
            types,
            proving: false,
        };
        let looks = [
            ("from the beginning", Look::from_beginning()),
            ("from the cursor", Look::behind(&[(0, 0, 0)])),
        ];
        for (from, look) in looks {
            let ways = Ways {
                removes: false,
                pends: true,
                buries: true,
            };
            let statement = claim::statement(schema, Vec::new(), ways, &claim, &look);
            all.push((format!("claim: {what}, {from}"), statement));
        }
        for (which, end, removes) in &forms {
            let ways = Ways {
                removes: *removes,
                pends: true,
                buries: true,
            };
            let outcomes = vec![Outcome::new(RUN, end.clone())];
            let look = Look::from_beginning();
            let statement = claim::statement(schema, outcomes, ways, &claim, &look);
            all.push((format!("settle ({which}) and claim: {what}"), statement));
        }
        let due = claim::due(schema, &claim, 0, Vec::new());
        all.push((format!("list what is due: {what}"), due));
        if types.is_none() {
            let named = claim::named(schema, &claim, &[1]);
            all.push((String::from("claim these"), named));
        }
    }
    for (which, end, removes) in forms {
        let ways = Ways {
            removes,
            pends: true,
            buries: true,
        };
        let (form, values) = settle::formed(vec![Outcome::new(RUN, end)], ways);
        let statement = settle::statement(schema, form, values);
        all.push((format!("settle ({which})"), statement));
    }
    let payload = claim::payload(schema, RUN);
    all.push((String::from("read the payload of a claimed job"), payload));
    all
}
