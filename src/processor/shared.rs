//! The state that the engines of a queue share.

use super::pace::LastPace;
use super::recovery::Recovery;
use super::unknown::UnknownTypes;
use super::usual::UsualDurations;

#[derive(Debug, Default)]
pub struct Shared {
    pub(super) usual: UsualDurations,
    pub(super) last_pace: LastPace,
    pub(super) recovery: Recovery,
    pub(super) unknown: UnknownTypes,
}
