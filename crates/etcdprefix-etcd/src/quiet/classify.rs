//! Writes and expiries told apart, one revision after the other.
//!
//! etcd ends a lease in a transaction of its own, which deletes all keys of that lease and does
//! nothing else. So a revision can only be an expiry if it consists of deletes of keys of one lease,
//! and is one if that lease is gone.

use etcd_client::{Event, EventType};

use crate::quiet::tally::{KEYS_MAX, Name, Tally, Write, name_of};

/// One event, without its values.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    pub revision: i64,
    pub key: &'a [u8],
    pub kind: Kind,
}

/// What an event does to its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Put,
    /// The key hung on that lease; 0: on none.
    Delete {
        lease: i64,
    },
    /// A delete whose previous value is compacted.
    DeleteOfUnknown,
}

impl<'a> Change<'a> {
    /// The event's bare facts; none for one that names no key, which servers don't send.
    pub fn of(event: &'a Event) -> Option<Self> {
        let kv = event.kv()?;
        let kind = match (event.event_type(), event.prev_kv()) {
            (EventType::Put, _) => Kind::Put,
            (EventType::Delete, Some(previous)) => Kind::Delete { lease: previous.lease() },
            (EventType::Delete, None) => Kind::DeleteOfUnknown,
        };
        Some(Self { revision: kv.mod_revision(), key: kv.key(), kind })
    }
}

/// What the deletes of one revision are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Their lease is gone.
    Expiry,
    /// Their lease lives, or they hang on none, or on several, or came with puts.
    Writes,
    /// Their lease can't be asked for.
    Undetermined,
}

/// Deletes of one lease's keys in the present revision. A verdict of expiry can still be overturned
/// by what else the revision holds, so the names are kept.
struct Held {
    lease: i64,
    names: Vec<Name>,
    nameless: u64,
    expired: bool,
}

impl Held {
    fn count(&self) -> u64 {
        self.names.len() as u64 + self.nameless
    }

    fn push(&mut self, key: &[u8]) {
        if self.names.len() < KEYS_MAX {
            self.names.push(name_of(key).into());
        } else {
            self.nameless += 1;
        }
    }
}

/// Where a watch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The first revision that is not wholly seen.
    pub revision: i64,
    /// Events of it that are counted already.
    pub counted: u64,
}

impl Position {
    /// Whether the next event, of that revision, is before this position, which it moves towards.
    ///
    /// Members that lag behind send older events than they were asked for (etcd issue 20221).
    pub fn is_repeated(&mut self, revision: i64) -> bool {
        let counted = revision == self.revision && self.counted > 0;
        self.counted -= u64::from(counted);
        counted || revision < self.revision
    }
}

/// Takes events in the order of their revisions.
pub struct Classifier {
    pub tally: Tally,
    revision: i64,
    counted: u64,
    /// Whether all events of the present revision have come.
    whole: bool,
    held: Option<Held>,
    /// What further leased deletes of the present revision are, if that is clear.
    rest: Option<Verdict>,
}

impl Classifier {
    /// That of a watch which sees everything after `start`.
    pub fn new(start: i64) -> Self {
        let tally = Tally::default();
        Self { tally, revision: start, counted: 0, whole: true, held: None, rest: None }
    }

    /// The last revision of which anything was seen.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// Up to where everything was seen.
    pub fn complete(&self) -> i64 {
        if self.whole { self.revision } else { self.revision - 1 }
    }

    /// Where another watch has to begin.
    pub fn position(&self) -> Position {
        let counted = if self.whole { 0 } else { self.counted };
        Position { revision: self.complete() + 1, counted }
    }

    /// The lease to ask for before anything of a later revision is taken.
    pub fn pending(&self) -> Option<i64> {
        self.held.as_ref().filter(|held| !held.expired).map(|held| held.lease)
    }

    /// Everything of the present revision has come.
    pub fn set_whole(&mut self) {
        self.whole = true;
    }

    /// Nothing up to `revision` is going to come.
    pub fn skip_to(&mut self, revision: i64) {
        self.judge(Verdict::Undetermined);
        self.enter(revision);
        self.whole = true;
    }

    /// Takes the next event, of the present revision or a later one.
    pub fn take(&mut self, change: &Change<'_>) {
        self.enter(change.revision);
        self.counted += 1;
        match change.kind {
            Kind::Put => self.plain(Write::Put, change.key),
            Kind::DeleteOfUnknown => {
                self.tally.write(Write::Undetermined, change.key, self.revision);
            }
            Kind::Delete { lease: 0 } => self.plain(Write::Delete, change.key),
            Kind::Delete { lease } => self.leased(lease, change.key),
        }
    }

    /// Answers [`Self::pending`].
    pub fn judge(&mut self, verdict: Verdict) {
        match (verdict, &mut self.held) {
            (Verdict::Expiry, Some(held)) if !held.expired => {
                held.expired = true;
                self.tally.expiries += held.count();
            }
            (Verdict::Writes | Verdict::Undetermined, Some(held)) if !held.expired => {
                self.overturn(verdict);
            }
            _ => {}
        }
    }

    fn enter(&mut self, revision: i64) {
        if revision > self.revision {
            self.revision = revision;
            self.counted = 0;
            self.held = None;
            self.rest = None;
        }
        self.whole = false;
    }

    /// A write that no expiry does, so nothing else of the revision was one either.
    fn plain(&mut self, write: Write, key: &[u8]) {
        self.overturn(Verdict::Writes);
        self.tally.write(write, key, self.revision);
    }

    fn leased(&mut self, lease: i64, key: &[u8]) {
        match (self.rest, &mut self.held) {
            (Some(Verdict::Undetermined), _) => {
                self.tally.write(Write::Undetermined, key, self.revision);
            }
            (Some(_), _) => self.plain(Write::Delete, key),
            (None, Some(held)) if held.lease == lease => {
                held.push(key);
                self.tally.expiries += u64::from(held.expired);
            }
            (None, Some(_)) => self.plain(Write::Delete, key),
            (None, None) => {
                let mut held = Held { lease, names: vec![], nameless: 0, expired: false };
                held.push(key);
                self.held = Some(held);
            }
        }
    }

    /// What was held back is no expiry, nor is what follows in this revision.
    fn overturn(&mut self, verdict: Verdict) {
        self.rest = Some(verdict);
        let Some(held) = self.held.take() else { return };
        let undetermined = verdict == Verdict::Undetermined;
        let write = if undetermined { Write::Undetermined } else { Write::Delete };
        if held.expired {
            self.tally.expiries -= held.count();
        }
        for name in &held.names {
            self.tally.write(write, name, self.revision);
        }
        self.tally.nameless_deletes(write, held.nameless, self.revision);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASED: Kind = Kind::Delete { lease: 7 };
    const PLAIN: Kind = Kind::Delete { lease: 0 };

    /// Takes kinds with their revisions, each with a key of its own.
    fn take(classifier: &mut Classifier, changes: &[(i64, Kind)]) {
        for (number, (revision, kind)) in changes.iter().enumerate() {
            let key = format!("key-{number}");
            classifier.take(&Change { revision: *revision, key: key.as_bytes(), kind: *kind });
        }
    }

    /// Puts, deletes, undetermined, expiries.
    fn counts(classifier: &Classifier) -> [u64; 4] {
        let tally = &classifier.tally;
        [tally.puts, tally.deletes, tally.undetermined, tally.expiries]
    }

    fn judged(changes: &[(i64, Kind)], verdict: Verdict) -> [u64; 4] {
        let mut classifier = Classifier::new(1);
        take(&mut classifier, changes);
        classifier.judge(verdict);
        counts(&classifier)
    }

    #[test]
    fn deletes_of_one_lease_are_what_the_lease_says() {
        let changes = [(2, LEASED), (2, LEASED)];
        assert_eq!(judged(&changes, Verdict::Expiry), [0, 0, 0, 2]);
        assert_eq!(judged(&changes, Verdict::Writes), [0, 2, 0, 0]);
        assert_eq!(judged(&changes, Verdict::Undetermined), [0, 0, 2, 0]);
    }

    #[test]
    fn what_no_expiry_does_is_a_write_without_asking() {
        for other in [PLAIN, Kind::Delete { lease: 8 }] {
            assert_eq!(judged(&[(2, LEASED), (2, other)], Verdict::Expiry), [0, 2, 0, 0]);
            assert_eq!(judged(&[(2, other), (2, PLAIN)], Verdict::Expiry), [0, 2, 0, 0]);
        }
        assert_eq!(judged(&[(2, LEASED), (2, Kind::Put)], Verdict::Expiry), [1, 1, 0, 0]);
        assert_eq!(judged(&[(2, Kind::Put), (2, LEASED)], Verdict::Expiry), [1, 1, 0, 0]);
        let mut classifier = Classifier::new(1);
        take(&mut classifier, &[(2, Kind::Put), (2, LEASED)]);
        assert_eq!(classifier.pending(), None);
    }

    #[test]
    fn a_delete_of_what_was_compacted_is_undetermined() {
        let unknown = (2, Kind::DeleteOfUnknown);
        assert_eq!(judged(&[unknown], Verdict::Expiry), [0, 0, 1, 0]);
        assert_eq!(judged(&[(2, LEASED), unknown], Verdict::Expiry), [0, 0, 1, 1]);
    }

    #[test]
    fn a_verdict_holds_for_one_revision_and_until_the_revision_contradicts() {
        let mut classifier = Classifier::new(1);
        take(&mut classifier, &[(2, LEASED)]);
        assert_eq!(classifier.pending(), Some(7));
        classifier.judge(Verdict::Expiry);
        // A fragment: the same revision goes on.
        take(&mut classifier, &[(2, LEASED)]);
        assert_eq!((classifier.pending(), counts(&classifier)), (None, [0, 0, 0, 2]));
        take(&mut classifier, &[(2, Kind::Put)]);
        assert_eq!(counts(&classifier), [1, 2, 0, 0]);
        take(&mut classifier, &[(3, LEASED)]);
        assert_eq!((classifier.pending(), classifier.tally.written), (Some(7), Some((2, 2))));
        classifier.judge(Verdict::Expiry);
        assert_eq!(counts(&classifier), [1, 2, 0, 1]);
    }

    #[test]
    fn a_verdict_of_writes_or_none_holds_for_the_rest_of_the_revision() {
        for (verdict, expected) in
            [(Verdict::Writes, [0, 2, 0, 0]), (Verdict::Undetermined, [0, 0, 2, 0])]
        {
            let mut classifier = Classifier::new(1);
            take(&mut classifier, &[(2, LEASED)]);
            classifier.judge(verdict);
            take(&mut classifier, &[(2, LEASED)]);
            assert_eq!((classifier.pending(), counts(&classifier)), (None, expected));
        }
    }

    #[test]
    fn what_comes_once_more_is_known_by_the_position() {
        let mut position = Position { revision: 5, counted: 2 };
        let repeated = [3, 4, 5, 4, 5, 5, 6].map(|revision| position.is_repeated(revision));
        assert_eq!(repeated, [true, true, true, true, true, false, false]);
    }

    #[test]
    fn an_expiry_of_very_many_keys_keeps_few_names() {
        let changes = vec![(2, LEASED); KEYS_MAX + 5];
        let all = changes.len() as u64;
        assert_eq!(judged(&changes, Verdict::Expiry), [0, 0, 0, all]);
        assert_eq!(judged(&changes, Verdict::Writes), [0, all, 0, 0]);
    }

    #[test]
    fn the_position_is_after_what_was_wholly_seen() {
        let mut classifier = Classifier::new(4);
        assert_eq!(classifier.position(), Position { revision: 5, counted: 0 });
        take(&mut classifier, &[(5, Kind::Put), (5, Kind::Put)]);
        assert_eq!(classifier.position(), Position { revision: 5, counted: 2 });
        classifier.set_whole();
        assert_eq!(classifier.position(), Position { revision: 6, counted: 0 });
        take(&mut classifier, &[(6, LEASED)]);
        classifier.skip_to(9);
        assert_eq!(classifier.position(), Position { revision: 10, counted: 0 });
        assert_eq!((counts(&classifier), classifier.pending()), ([2, 0, 1, 0], None));
    }
}
