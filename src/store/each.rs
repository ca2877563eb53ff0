//! Repeating a statement over many rows that Postgres has refused: part by part, to find the rows that are at fault,
//! and to do the rest.

use crate::error::Result;
use crate::job::Refusal;
use crate::parts::apart;

/// Makes an attempt with all of `ids`, and with ever smaller parts of them when it is refused. Returns the results
/// of the parts, and the rows that were refused alone.
///
/// # Errors
/// When the attempt fails without any row, so that none is at fault, or for another reason than a row.
pub async fn each<A, F>(
    ids: Vec<i64>,
    mut attempt: impl FnMut(Vec<i64>) -> F,
) -> Result<(Vec<A>, Vec<Refusal>)>
where
    F: Future<Output = Result<A>>,
{
    attempt(Vec::new()).await?;
    let mut answers = Vec::new();
    let mut refusals = Vec::new();
    let mut parts = vec![ids];
    while let Some(part) = parts.pop() {
        if part.is_empty() {
            continue;
        }
        match attempt(part.clone()).await {
            Ok(answer) => answers.push(answer),
            Err(error) if !error.suspects_rows() => return Err(error),
            Err(error) => {
                if let [id] = part[..] {
                    refusals.push(Refusal { id, error });
                } else {
                    parts.extend(apart(part, &error).into_iter().rev());
                }
            }
        }
    }
    Ok((answers, refusals))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Code, Error};

    fn refused(state: &str) -> Error {
        let mut error = Error::new(Code::DatabaseError, "refused");
        error.sql_state = Some(state.into());
        error
    }

    #[tokio::test]
    async fn the_rows_at_fault_are_found_and_the_others_done() {
        let mut tries = 0;
        let (done, refusals) = each((1..=100).collect(), |ids| {
            tries += 1;
            let culprit = ids.iter().any(|id| [7, 8, 93].contains(id));
            async move {
                if culprit {
                    Err(refused("23503"))
                } else {
                    Ok(ids)
                }
            }
        })
        .await
        .unwrap();
        let mut done: Vec<_> = done.into_iter().flatten().collect();
        done.sort();
        assert_eq!(done.len(), 97);
        let culprits: Vec<_> = refusals.iter().map(|refusal| refusal.id).collect();
        assert_eq!(culprits, [7, 8, 93]);
        assert!(tries < 40, "{tries} tries");
    }

    #[tokio::test]
    async fn what_fails_without_any_row_is_no_row_s_fault() {
        let mut tries = 0;
        let failed = each((1..=100).collect(), |_| {
            tries += 1;
            async { Err::<(), _>(refused("42P01")) }
        })
        .await;
        assert_eq!(failed.unwrap_err(), refused("42P01"));
        assert_eq!(tries, 1);
    }
}
