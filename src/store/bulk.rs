//! Operations over many jobs, after Postgres has refused them: they are repeated for all jobs but those at fault.

use std::time::Duration;

use serde::Deserialize;

use super::answers::results;
use super::each::each;
use super::operation::Operation;
use super::{cancel, cleanup, reclaim};
use crate::connect::{Pool, Schema, Statement};
use crate::error::Result;
use crate::job::{Refusal, names};

/// The means to repeat a refused operation.
pub struct Bulk<'a> {
    pub pool: &'a Pool,
    pub schema: &'a Schema,
    /// The longest wait for each answer.
    pub limit: Option<Duration>,
}

/// See [`cleanup::old_ids`].
#[derive(Deserialize)]
struct Page {
    ids: Vec<i64>,
    last: Option<cleanup::Position>,
}

impl Bulk<'_> {
    /// Answers as the operation does, and a second result, `{ refused, sqlState }`: the names of the jobs that could
    /// not be changed, or null, and the `SQLSTATE` of the last of them. `None` for an operation on one job, or on all
    /// or none.
    pub async fn run(&self, operation: &Operation) -> Result<Option<Vec<String>>> {
        let schema = self.schema;
        match operation {
            Operation::CancelUpcoming(filters) => {
                let ids = self.ids(cancel::upcoming_ids(schema, filters)).await?;
                let named = |ids: &[i64]| cancel::upcoming_named(schema, filters, ids);
                self.count(ids, named).await.map(Some)
            }
            Operation::Reclaim {
                max_processing_minutes: minutes,
            } => {
                let ids = self.ids(reclaim::stuck_ids(schema, *minutes)).await?;
                let named = |ids: &[i64]| reclaim::named(schema, *minutes, ids);
                self.count(ids, named).await.map(Some)
            }
            Operation::Cleanup { old, after } => {
                let page = cleanup::old_ids(schema, old, after.as_ref());
                let page = self.fetch(page).await?;
                let page: Page = page
                    .first()
                    .and_then(|page| serde_json::from_str(page).ok())
                    .unwrap_or(Page {
                        ids: Vec::new(),
                        last: None,
                    });
                let named = |ids: &[i64]| cleanup::named(schema, old, ids);
                let (deleted, refusals) = self.each(page.ids, named).await?;
                let answer = serde_json::json!({ "deleted": deleted, "last": page.last });
                Ok(Some(vec![answer.to_string(), told(&refusals)]))
            }
            _ => Ok(None),
        }
    }

    async fn count(
        &self,
        ids: Vec<i64>,
        named: impl Fn(&[i64]) -> Statement,
    ) -> Result<Vec<String>> {
        let (count, refusals) = self.each(ids, named).await?;
        Ok(vec![count.to_string(), told(&refusals)])
    }

    async fn each(
        &self,
        ids: Vec<i64>,
        named: impl Fn(&[i64]) -> Statement,
    ) -> Result<(u64, Vec<Refusal>)> {
        let (counts, refusals) = each(ids, |ids| self.ids(named(&ids))).await?;
        let counts = counts.into_iter().flatten();
        let sum = counts.filter_map(|count| u64::try_from(count).ok()).sum();
        Ok((sum, refusals))
    }

    /// Results that are numbers.
    async fn ids(&self, statement: Statement) -> Result<Vec<i64>> {
        let numbers = self.fetch(statement).await?;
        Ok(numbers
            .iter()
            .filter_map(|number| number.parse().ok())
            .collect())
    }

    async fn fetch(&self, statement: Statement) -> Result<Vec<String>> {
        results(&self.pool.fetch_within(self.limit, &statement).await?)
    }
}

fn told(refusals: &[Refusal]) -> String {
    let refused =
        (!refusals.is_empty()).then(|| names(refusals.iter().map(|refusal| refusal.id).collect()));
    let state = refusals
        .last()
        .and_then(|refusal| refusal.error.sql_state.clone());
    serde_json::json!({ "refused": refused, "sqlState": state }).to_string()
}
