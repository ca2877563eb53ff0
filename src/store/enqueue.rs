//! Adding jobs.

use std::borrow::Borrow;
use std::time::{SystemTime, UNIX_EPOCH};

use super::columns::{NewJob, values_of_one, values_of_several};
use super::notify::notify;
use crate::connect::{Schema, Statement};

impl NewJob {
    /// Whether it is due already, as far as this process's clock can tell.
    pub fn is_due(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |now| now.as_millis());
        self.run_at
            .is_none_or(|at| u128::try_from(at).is_ok_and(|at| at <= now) || at < 0)
    }
}

/// It reads nothing of the table but the new ids: whoever may insert needs no right to more.
macro_rules! insert {
    ($jobs:expr) => {
        concat!(
            "insert into {jobs} ({given})
            select {given_expressions}
            from ",
            $jobs,
            " as job ({given})
            returning "
        )
    };
}

/// A trigger of the user's can keep a row out without an error. Then the statement fails, by a cast
/// that names the reason (`connect/refusal.rs`), so that none is added, and the one at fault can be found.
macro_rules! added {
    ($jobs:expr) => {
        concat!(
            "with added as (",
            insert!($jobs),
            "id)
            select case
                when pg_catalog.count(*) over () = pg_catalog.cardinality({job_type}::text[]) then id::text
                else ('kept out of job_queue, but for ' || pg_catalog.count(*) over ()::text)::boolean::text
                end as result
            from added"
        )
    };
}

macro_rules! announced_one {
    () => {
        concat!(
            "with added as (",
            insert!(one!()),
            "id) select id::text as result from added cross join (select ",
            notify!("'ready', true"),
            ") announced"
        )
    };
}

/// The same, and all who listen are told that jobs are due.
macro_rules! announced {
    ($jobs:expr) => {
        concat!(
            added!($jobs),
            " cross join (select ",
            notify!("'ready', true"),
            ") announced"
        )
    };
}

/// The jobs travel as a list for each column, so that one statement serves any number of them, on any
/// client; Postgres reads lists several times faster than JSON. An `unnest` of several lists is Postgres's own
/// if it has no schema before its name, and nobody's if it has.
macro_rules! several {
    () => {
        "unnest({several_jobs})"
    };
}

/// One job alone, as most are, is read faster still without.
macro_rules! one {
    () => {
        "(values ({one_job}))"
    };
}

/// Adds jobs; if `announced`, all who listen are told that jobs are due. Answers their ids in the order
/// of the jobs: the sequence hands them out in the order of the input, and `returning` alone promises
/// no order.
pub fn jobs(schema: &Schema, jobs: &[impl Borrow<NewJob>], announced: bool) -> Statement {
    let template = if announced {
        concat!(announced!(several!()), " order by id")
    } else {
        concat!(added!(several!()), " order by id")
    };
    made_of(schema, template, jobs, announced)
}

/// The same, and the ids are to be put [`in_order`] here: to have Postgres sort them costs the few jobs that are
/// gathered a fortieth of the statement's time.
pub fn gathered(schema: &Schema, jobs: &[impl Borrow<NewJob>], announced: bool) -> Statement {
    let template = if announced {
        announced!(several!())
    } else {
        added!(several!())
    };
    made_of(schema, template, jobs, announced)
}

/// The ids of [`gathered`] in the order of the jobs.
pub fn in_order(mut ids: Vec<String>) -> Vec<String> {
    ids.sort_by(|a, b| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
    ids
}

fn made_of(
    schema: &Schema,
    several: &'static str,
    jobs: &[impl Borrow<NewJob>],
    announced: bool,
) -> Statement {
    if let [job] = jobs {
        return one_job(schema, job.borrow(), announced);
    }
    let jobs: Vec<_> = jobs.iter().map(Borrow::borrow).collect();
    schema.statement(several, values_of_several(&jobs))
}

fn one_job(schema: &Schema, job: &NewJob, announced: bool) -> Statement {
    let template = if announced {
        announced_one!()
    } else {
        concat!(insert!(one!()), "id::text as result")
    };
    schema.statement(template, values_of_one(job))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_in_the_order_of_their_numbers() {
        let ids = ["10", "9", "100", "11"].map(String::from).to_vec();
        assert_eq!(in_order(ids), ["9", "10", "11", "100"]);
    }
}
