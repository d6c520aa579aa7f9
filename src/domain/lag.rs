//! Consumer lag: of one partition at one look, and over time in [`track`] and [`tracker`].

pub mod retention;
pub mod track;
pub mod tracker;

pub use nsys_contract::lag::{Backlog, PartitionLag};

/// What a group committed on one partition, and where the log is; what was not answered is its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupOffsets {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Absent when nothing was ever committed.
    pub committed: Result<Option<i64>, String>,
    /// First offset that is kept.
    pub begin: Result<i64, String>,
    /// End of the log.
    pub end: Result<i64, String>,
    /// Records of a share group that are not acknowledged, if its coordinator counts them; what it calls
    /// committed is the first of them.
    pub unacknowledged: Option<i64>,
}

impl GroupOffsets {
    /// What waits and what is lost.
    ///
    /// # Errors
    /// With the reason, when one of the offsets is not known.
    pub fn backlog(&self, begins_at_first: bool) -> Result<Backlog, String> {
        let (committed, begin, end) = (self.committed.clone()?, self.begin.clone()?, self.end.clone()?);
        let backlog = Backlog::of(committed, begin, end, begins_at_first);
        // Records behind the first that waits may be acknowledged already.
        let waiting =
            backlog.waiting.map(|waiting| self.unacknowledged.map_or(waiting, |told| told.min(waiting)));
        Ok(Backlog { waiting, ..backlog })
    }

    /// The offset of the first kept message that waits, if any does.
    #[must_use]
    pub fn first_waiting(&self, begins_at_first: bool) -> Option<i64> {
        let backlog = self.backlog(begins_at_first).ok()?;
        let begin = *self.begin.as_ref().ok()?;
        let committed = self.committed.as_ref().ok()?.filter(|_| backlog.beyond == 0);
        backlog.waiting.filter(|waiting| *waiting > 0)?;
        Some(committed.map_or(begin, |committed| committed.max(begin)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offsets(committed: Option<i64>, begin: i64, end: i64) -> GroupOffsets {
        GroupOffsets {
            topic: "t".into(),
            partition: 0,
            committed: Ok(committed),
            begin: Ok(begin),
            end: Ok(end),
            unacknowledged: None,
        }
    }

    #[test]
    fn without_a_commit_only_a_known_beginning_tells_what_waits() {
        let one = offsets(None, 5, 12);
        let waiting = |one: &GroupOffsets, first| one.backlog(first).unwrap().waiting;
        assert_eq!((waiting(&one, true), waiting(&one, false)), (Some(7), None));
        assert_eq!((one.first_waiting(true), one.first_waiting(false)), (Some(5), None));
        let empty = offsets(None, 12, 12);
        assert_eq!((waiting(&empty, false), empty.first_waiting(false)), (Some(0), None));
    }

    #[test]
    fn what_retention_removed_is_lost_and_does_not_wait() {
        let one = offsets(Some(3), 8, 12);
        assert_eq!(one.backlog(false), Ok(Backlog { waiting: Some(4), lost: 5, beyond: 0 }));
        assert_eq!(one.first_waiting(false), Some(8), "from the first message that is kept");
        let all = offsets(Some(10), 100, 100);
        assert_eq!(all.backlog(false), Ok(Backlog { waiting: Some(0), lost: 90, beyond: 0 }));
        assert_eq!(all.first_waiting(true), None);
        let lag = PartitionLag::new("t", 0, Some(3), 8, 12);
        assert_eq!((lag.lag, lag.lost), (4, 5));
    }

    #[test]
    fn a_commit_beyond_the_end_is_not_caught_up() {
        let one = offsets(Some(81), 0, 12);
        assert_eq!(one.backlog(false), Ok(Backlog { waiting: None, lost: 0, beyond: 69 }));
        assert_eq!(one.backlog(true).unwrap().waiting, Some(12), "the workers begin anew at the first");
        assert_eq!((one.first_waiting(true), one.first_waiting(false)), (Some(0), None));
    }

    #[test]
    fn an_answer_that_failed_is_its_reason_and_no_number() {
        let mut failed = [offsets(Some(3), 0, 12), offsets(Some(3), 0, 12), offsets(Some(3), 0, 12)];
        failed[0].committed = Err("no answer".into());
        failed[1].begin = Err("no answer".into());
        failed[2].end = Err("no answer".into());
        for one in failed {
            assert_eq!(one.backlog(true), Err("no answer".into()));
            assert_eq!(one.first_waiting(true), None);
        }
    }

    #[test]
    fn what_a_share_group_has_acknowledged_out_of_order_does_not_wait() {
        let mut one = offsets(Some(3), 0, 12);
        one.unacknowledged = Some(4);
        assert_eq!(one.backlog(false).unwrap().waiting, Some(4));
        one.unacknowledged = Some(99);
        assert_eq!(one.backlog(false).unwrap().waiting, Some(9), "never more than there is");
    }

    #[test]
    fn without_a_commit_the_whole_log_waits() {
        assert_eq!(PartitionLag::new("t", 0, None, 5, 12).lag, 7);
        assert_eq!(PartitionLag::new("t", 0, Some(12), 5, 12).lag, 0);
    }
}
