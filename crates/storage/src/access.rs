//! Who may do what: the access list of the storage service. Pure; the binary reads the file.
//!
//! ```text
//! { "callers": [ { "name": "site", "key_sha256": "<64 hexadecimal digits>",
//!                  "read": ["*"], "write": ["pins", "board_has_pins", "outbox"], "scan": ["pins"], "operations": false }, … ] }
//!
//! authorization: Bearer site:KEY ─▶ identify ─▶ Caller ─▶ may(Right::Write, "pins")?
//! ```
//!
//! Tables are named as everywhere: those of objects (`pins`), associations (`board_has_pins`), and `names`, `outbox`, `audit`. `*` is all
//! of them. What the list does not allow is refused.

use model::{Assoc, Kind};
use serde::{Deserialize, Serialize};

use crate::batch::{Batch, Condition};
use crate::engine::Op;
use crate::error::{Error, Result};

/// What an entry allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Look-ups of what one knows the id or name of.
    Read,
    Write,
    /// Lists of everything.
    Scan,
}

impl Right {
    fn verb(self) -> &'static str {
        match self {
            Right::Read => "read",
            Right::Write => "write",
            Right::Scan => "scan",
        }
    }
}

/// Everybody who may call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessList {
    pub callers: Vec<Caller>,
}

/// One caller with what it may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Caller {
    pub name: String,
    /// SHA-256 of the key, in hexadecimal.
    pub key_sha256: String,
    #[serde(default)]
    pub read: Vec<String>,
    #[serde(default)]
    pub write: Vec<String>,
    #[serde(default)]
    pub scan: Vec<String>,
    /// Checks, figures and sweeps: what looks at everything or cleans up.
    #[serde(default)]
    pub operations: bool,
}

impl AccessList {
    /// Reads a list from JSON and checks it.
    pub fn parse(text: &str) -> Result<AccessList> {
        let list: AccessList =
            serde_json::from_str(text).map_err(|error| Error::Invalid(format!("The access list can't be read: {error}.")))?;
        list.check()?;
        Ok(list)
    }

    fn check(&self) -> Result<()> {
        grpc::check(&self.callers).map_err(Error::Invalid)?;
        let tables = |caller: &'_ Caller| [&caller.read, &caller.write, &caller.scan].map(Clone::clone).concat();
        self.callers.iter().flat_map(tables).try_for_each(|table| check_table(&table))
    }

    /// Finds who calls.
    pub fn identify(&self, authorization: Option<&str>) -> std::result::Result<&Caller, String> {
        grpc::identify(&self.callers, authorization, "storage")
    }
}

impl grpc::Entry for Caller {
    fn name(&self) -> &str {
        &self.name
    }

    fn key_sha256(&self) -> &str {
        &self.key_sha256
    }
}

fn check_table(table: &str) -> Result<()> {
    let special = ["*", NAMES, OUTBOX, Kind::Audit.table()];
    let is_known = special.contains(&table)
        || Kind::OBJECTS.iter().any(|kind| kind.table() == table)
        || Assoc::ALL.iter().any(|assoc| assoc.table() == table);
    if is_known {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "There is no table '{table}'. Tables are those of objects (pins), of associations (board_has_pins), names, outbox, audit, and * for all."
    )))
}

/// The table of unique names.
pub(crate) const NAMES: &str = "names";
/// The table of events that have not been forwarded.
pub(crate) const OUTBOX: &str = "outbox";

impl Caller {
    /// Makes an entry with a fresh key; returns both. The key is nowhere else.
    pub fn fresh(name: &str, read: Vec<String>, write: Vec<String>, scan: Vec<String>, operations: bool) -> Result<(Caller, String)> {
        let (key, key_sha256) = grpc::fresh_key();
        let caller = Caller { name: name.to_owned(), key_sha256, read, write, scan, operations };
        AccessList { callers: vec![caller.clone()] }.check()?;
        Ok((caller, key))
    }

    /// Tells whether the caller may do this to this table; if not, what is missing.
    pub fn may(&self, right: Right, table: &str) -> std::result::Result<(), String> {
        let allowed = match right {
            Right::Read => &self.read,
            Right::Write => &self.write,
            Right::Scan => &self.scan,
        };
        if allowed.iter().any(|name| name == "*" || name == table) {
            return Ok(());
        }
        let verb = right.verb();
        Err(format!("'{}' may not {verb} {table}. Add it to \"{verb}\" of the caller in the storage service's access list.", self.name))
    }

    /// Tells whether the caller may check, count and sweep; if not, what is missing.
    pub fn may_operate(&self) -> std::result::Result<(), String> {
        if self.operations {
            return Ok(());
        }
        Err(format!("'{}' may do no operations. Set \"operations\" of the caller in the storage service's access list.", self.name))
    }

    /// Tells whether the caller may write every table that a batch touches; if not, the first one that it may not, and what is missing.
    /// A condition tells something about what is stored, so it takes the right to read it or to write it.
    pub(crate) fn may_write(&self, batch: &Batch) -> std::result::Result<(), (&'static str, String)> {
        for op in &batch.ops {
            let table = table_of(op);
            self.may(Right::Write, table).map_err(|missing| (table, missing))?;
        }
        for condition in &batch.conditions {
            let table = table_asked(condition);
            if self.may(Right::Write, table).is_err() {
                self.may(Right::Read, table).map_err(|missing| (table, missing))?;
            }
        }
        Ok(())
    }
}

/// Returns the table that an operation writes.
fn table_of(op: &Op) -> &'static str {
    match op {
        Op::Create { id, .. } | Op::Update { id, .. } | Op::Delete { id } | Op::Restore { id } | Op::Purge { id } => id.kind().table(),
        Op::Map { assoc, .. } | Op::Remap { assoc, .. } | Op::Unmap { assoc, .. } => assoc.table(),
        Op::Claim { .. } | Op::Confirm { .. } | Op::Release { .. } => NAMES,
        Op::Emit { .. } => OUTBOX,
        Op::Audit { .. } => Kind::Audit.table(),
    }
}

/// Returns the table that a condition looks into.
fn table_asked(condition: &Condition) -> &'static str {
    match condition {
        Condition::Active(id) | Condition::Version(id, _) => id.kind().table(),
        Condition::Mapped(assoc, ..)
        | Condition::NotMapped(assoc, ..)
        | Condition::CountBelow(assoc, ..)
        | Condition::CountIs(assoc, ..) => assoc.table(),
    }
}

#[cfg(test)]
mod tests {
    use model::NameKind;

    use super::*;
    use crate::contract::{SHARD, a_pin, batch, board, event, pin, user};

    fn words(text: &str) -> Vec<String> {
        text.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }

    fn caller(read: &str, write: &str, scan: &str) -> (Caller, String) {
        Caller::fresh("site", words(read), words(write), words(scan), false).expect("an entry")
    }

    #[test]
    fn callers_are_known_by_name_and_key() {
        let ((site, key), (other, _)) = (caller("*", "", ""), Caller::fresh("other", vec![], vec![], vec![], true).expect("an entry"));
        let list = AccessList { callers: vec![site, other] };
        let known = |text: &str| list.identify(Some(text)).map(|caller| caller.name.clone());
        assert_eq!(known(&format!("Bearer site:{key}")), Ok("site".to_owned()));
        // What is no caller is the crate grpc's to know; here it only has to be asked, and to name the right key.
        let refusal = known(&format!("Bearer other:{key}")).expect_err("a refusal");
        assert!(refusal.contains("storage.key"), "{refusal}");
    }

    #[test]
    fn rights_go_by_table() {
        let (site, _) = caller("pins,names", "*", "pins");
        let cases = [
            (Right::Read, "pins", true),
            (Right::Read, "names", true),
            (Right::Read, "boards", false),
            (Right::Read, "board_has_pins", false),
            (Right::Write, "boards", true),
            (Right::Write, "audit", true),
            (Right::Scan, "pins", true),
            (Right::Scan, "outbox", false),
        ];
        for (right, table, wanted) in cases {
            let answer = site.may(right, table);
            assert_eq!(answer.is_ok(), wanted, "{right:?} {table}");
            if let Err(missing) = answer {
                assert!(missing.contains(table) && missing.contains(&format!("\"{}\"", right.verb())), "{missing}");
            }
        }
        assert!(site.may_operate().expect_err("no operations").contains("\"operations\""));
    }

    #[test]
    fn a_batch_needs_every_table_that_it_touches() {
        let everything = batch(SHARD, |b| {
            b.create(pin(1), &a_pin("a")).map(Assoc::BoardHasPins, board(1), pin(1), 1).claim(NameKind::Tag, "t", user(1));
            b.emit(event("e")).audit(None, "act", vec![], serde_json::Value::Null)
        });
        let tables = ["pins", "board_has_pins", "names", "outbox", "audit"];
        let (all, _) = caller("", &tables.join(","), "");
        assert_eq!(all.may_write(&everything), Ok(()));
        for missing in tables {
            let rest: Vec<&str> = tables.into_iter().filter(|table| *table != missing).collect();
            let (site, _) = caller("", &rest.join(","), "");
            let (table, message) = site.may_write(&everything).expect_err("a table is missing");
            assert_eq!(table, missing);
            assert!(message.contains(missing), "{message}");
        }
        let asking = batch(SHARD, |b| b.require(Condition::Active(pin(1).into())));
        assert_eq!(caller("pins", "", "").0.may_write(&asking), Ok(()));
        assert_eq!(caller("", "pins", "").0.may_write(&asking), Ok(()));
        assert_eq!(caller("boards", "boards", "*").0.may_write(&asking).expect_err("it would tell").0, "pins");
        let (nobody, _) = caller("*", "", "*");
        assert_eq!(nobody.may_write(&Batch::on(SHARD)), Ok(()), "a batch of nothing touches nothing");
    }

    #[test]
    fn what_is_wrong_with_a_list_is_said() {
        let (site, _) = caller("*", "*", "*");
        let list = AccessList { callers: vec![site.clone()] };
        assert_eq!(AccessList::parse(&serde_json::to_string(&list).expect("JSON")), Ok(list));
        let cases: [(&str, Vec<Caller>); 5] = [
            ("has 0 callers", vec![]),
            ("twice", vec![site.clone(), site.clone()]),
            ("64 hexadecimal digits", vec![Caller { key_sha256: "z".repeat(64), ..site.clone() }]),
            ("no table 'pin'", vec![Caller { scan: words("pin"), ..site.clone() }]),
            ("'a:b' is no name", vec![Caller { name: "a:b".to_owned(), ..site }]),
        ];
        for (wanted, callers) in cases {
            let text = serde_json::to_string(&AccessList { callers }).expect("JSON");
            let error = AccessList::parse(&text).expect_err("a wrong list");
            assert!(error.to_string().contains(wanted), "{error} should say {wanted}");
        }
        assert!(AccessList::parse("{\"callers\": [], \"x\": 1}").expect_err("a wrong list").to_string().contains('x'));
    }
}
