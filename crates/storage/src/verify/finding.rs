//! What a verification finds and what it did about it, as values.

use std::fmt;

use model::{Assoc, Id, NameKind};
use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// What is stored contradicts itself.
    Error,
    /// Nothing wrong is shown to anybody, but somebody should look.
    Warning,
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub severity: Severity,
    /// The server in the shard map; `None` for a store in one file.
    pub server: Option<String>,
    pub table: String,
    /// What is wrong, as a sentence.
    pub what: String,
    /// What to do about it, as a sentence.
    pub advice: String,
    /// Whether `--repair` can mend it: it follows from something else that is there.
    pub repairable: bool,
    #[serde(skip)]
    pub(crate) repair: Option<Repair>,
}

/// How something derived is made equal to what it follows from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Repair {
    Recount {
        assoc: Assoc,
        from: Id,
    },
    /// `from` and `to` are those of the mirror.
    AddMirror {
        mirror: Assoc,
        from: Id,
        to: Id,
    },
    DropMirror {
        mirror: Assoc,
        from: Id,
        to: Id,
    },
    Claim {
        kind: NameKind,
        key: String,
        id: Id,
    },
    Confirm {
        kind: NameKind,
        key: String,
        id: Id,
    },
    Release {
        kind: NameKind,
        key: String,
        id: Id,
    },
    /// Rows that a move left behind on the finding's server.
    DeleteStrays {
        shard: u16,
    },
}

/// What a verification saw and did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// What differs, and still does at the end.
    pub findings: Vec<Finding>,
    /// What was mended, a line each.
    pub mended: Vec<String>,
    /// Rows that were compared with others.
    pub rows: u64,
    /// There was more than could be listed: run it again when this is mended.
    pub is_cut: bool,
}

impl Finding {
    pub(crate) fn error(table: &str, what: String, advice: &str) -> Finding {
        Finding {
            severity: Severity::Error,
            server: None,
            table: table.to_owned(),
            what,
            advice: advice.to_owned(),
            repairable: false,
            repair: None,
        }
    }

    pub(crate) fn warning(table: &str, what: String, advice: &str) -> Finding {
        Finding { severity: Severity::Warning, ..Finding::error(table, what, advice) }
    }

    /// Says that `--repair` can mend it, and how.
    pub(crate) fn mended_by(self, repair: Repair) -> Finding {
        Finding { repairable: true, repair: Some(repair), ..self }
    }

    pub(crate) fn on(self, server: Option<String>) -> Finding {
        Finding { server, ..self }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(server) = &self.server {
            write!(f, "{server}: ")?;
        }
        f.write_str(&self.what)
    }
}

impl VerifyReport {
    /// Tells whether nothing is left that contradicts itself.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// Takes in what another part of the verification saw.
    pub(crate) fn add(&mut self, other: VerifyReport) {
        self.findings.extend(other.findings);
        self.mended.extend(other.mended);
        self.rows += other.rows;
        self.is_cut |= other.is_cut;
    }
}
