//! The files of a backup: lines of JSON, compressed, with their sums.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::backup_store::BackupStore;
use crate::error::{Error, Result};
use crate::shard_map::ShardMap;

/// The form of manifests and files. A program refuses forms that it does not know.
pub(crate) const FORMAT: u32 = 1;
/// Bytes of lines in one file, before compression: what a server's part of a backup holds in memory, about, and what is read again at worst
/// when a transfer breaks off.
pub(crate) const FILE_BYTES: usize = 16 << 20;
/// Bytes that one file may unpack to. A larger one was not made here: a file has one line more than fits, and a row at most some MiB.
const UNPACKED_BYTES_MAX: u64 = 256 << 20;
/// What the outbox is called among the tables of a backup.
pub(crate) const OUTBOX: &str = "outbox";

/// What a backup holds. Written last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    pub id: String,
    /// When every server's moment was over, in milliseconds since 1970: what the backup holds was written before.
    pub at_ms: i64,
    pub first: u16,
    pub last: u16,
    /// Since when changes are kept without a gap; 0 when they are not, and then the backup's own moment is all that can be restored.
    pub changes_since: i64,
    pub map: ShardMap,
    /// The tables and their columns.
    pub tables: Vec<(String, Vec<String>)>,
    pub servers: Vec<ServerPart>,
}

/// One server's part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerPart {
    pub name: String,
    /// Where it was read: the primary or a replica.
    pub read_from: String,
    pub at_ms: i64,
    /// Changes from this instant on may be missing in the rows.
    pub changes_from_ms: i64,
    /// Where the server's own replication stood, in its words; for people.
    pub gtid: String,
    pub files: Vec<FileEntry>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileEntry {
    pub name: String,
    pub table: String,
    pub rows: u64,
    pub bytes: u64,
    pub sha256: String,
    /// The shards that its rows are on lie between these.
    pub first: u16,
    pub last: u16,
}

impl Manifest {
    pub fn rows(&self) -> u64 {
        self.files().map(|file| file.rows).sum()
    }

    pub fn bytes(&self) -> u64 {
        self.files().map(|file| file.bytes).sum()
    }

    pub fn files(&self) -> impl Iterator<Item = &FileEntry> {
        self.servers.iter().flat_map(|server| &server.files)
    }
}

/// Reads the manifest of a backup.
pub(crate) async fn manifest(store: &dyn BackupStore, id: &str) -> Result<Manifest> {
    let name = manifest_name(id);
    let bytes = store.get(&name).await?.ok_or_else(|| {
        Error::NotFound(format!(
            "{} has no backup {id}, or one that was not finished: there is no {name}. `corkboard storage backup list` shows those that are.",
            store.place()
        ))
    })?;
    let value: serde_json::Value = parse(&name, &bytes)?;
    let format = value.get("format").and_then(serde_json::Value::as_u64);
    if format != Some(u64::from(FORMAT)) {
        return Err(Error::Invalid(format!(
            "{name} has the form {}, and this program knows {FORMAT}. Use the version of Corkboard that made the backup.",
            format.map_or("(none)".to_owned(), |format| format.to_string())
        )));
    }
    parse(&name, &bytes)
}

pub(crate) fn manifest_name(id: &str) -> String {
    format!("{id}/manifest.json")
}

pub(crate) fn parse<T: serde::de::DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| Error::Corrupt(format!("{name} can't be read: {error}.")))
}

pub(crate) fn to_json<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::Invalid(format!("It can't be written as JSON: {error}.")))
}

/// Reads a file and compares its sum. Returns its lines.
pub(crate) async fn read_file(store: &dyn BackupStore, file: &FileEntry) -> Result<String> {
    let missing = || Error::Corrupt(format!("The backup's file {} is missing at {}. Use another backup.", file.name, store.place()));
    let bytes = store.get(&file.name).await?.ok_or_else(missing)?;
    if sum(&bytes) != file.sha256 {
        return Err(Error::Corrupt(format!(
            "The backup's file {} is not what was written: its sum differs. Nothing of it is used; take another copy or another backup.",
            file.name
        )));
    }
    let text = unpack(&file.name, bytes).await?;
    let rows = text.lines().count() as u64;
    if rows != file.rows {
        return Err(Error::Corrupt(format!("The backup's file {} has {rows} rows, not {}.", file.name, file.rows)));
    }
    Ok(text)
}

pub(crate) fn sum(bytes: &[u8]) -> String {
    model::text::hex(&Sha256::digest(bytes))
}

/// Compresses beside the tasks of others: it takes a moment.
pub(crate) async fn pack(lines: Vec<u8>) -> Result<Vec<u8>> {
    let pack = move || {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&lines)?;
        encoder.finish()
    };
    let packed: std::io::Result<Vec<u8>> = tokio::task::spawn_blocking(pack).await.map_err(ended)?;
    packed.map_err(|error| Error::Unavailable(format!("A file of the backup can't be compressed: {error}.")))
}

pub(crate) async fn unpack(name: &str, bytes: Vec<u8>) -> Result<String> {
    let unpack = move || {
        let mut text = String::new();
        GzDecoder::new(&bytes[..]).take(UNPACKED_BYTES_MAX).read_to_string(&mut text)?;
        Ok(text)
    };
    let text: std::io::Result<String> = tokio::task::spawn_blocking(unpack).await.map_err(ended)?;
    text.map_err(|error| Error::Corrupt(format!("{name} can't be unpacked: {error}. Use another copy of it.")))
}

fn ended(error: tokio::task::JoinError) -> Error {
    Error::Unavailable(format!("A piece of work ended early: {error}."))
}

/// Writes an instant as people read it.
pub(crate) fn instant(at_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(at_ms).map_or_else(|_| format!("{at_ms} ms"), |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FolderStore;

    #[tokio::test]
    async fn a_file_that_is_not_what_was_written_is_refused_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = FolderStore::new(folder.path().into());
        let packed = pack(b"[1]\n[2]\n".to_vec()).await.expect("bytes");
        let mut file = FileEntry {
            name: "x/db1/pins-000001.jsonl.gz".to_owned(),
            table: "pins".to_owned(),
            rows: 2,
            bytes: packed.len() as u64,
            sha256: sum(&packed),
            first: 0,
            last: 0,
        };
        let missing = read_file(&store, &file).await.expect_err("no file").to_string();
        assert!(missing.contains("pins-000001") && missing.contains("missing"), "{missing}");
        store.put(&file.name, packed.clone()).await.expect("a file");
        assert_eq!(read_file(&store, &file).await, Ok("[1]\n[2]\n".to_owned()));
        let mut torn = packed;
        torn[12] ^= 1;
        store.put(&file.name, torn.clone()).await.expect("a file");
        let differs = read_file(&store, &file).await.expect_err("another sum").to_string();
        assert!(differs.contains("pins-000001") && differs.contains("sum differs"), "{differs}");
        (file.sha256, file.rows) = (sum(&torn), 3);
        assert!(matches!(read_file(&store, &file).await, Err(Error::Corrupt(_))));
    }

    #[tokio::test]
    async fn a_manifest_of_another_form_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = FolderStore::new(folder.path().into());
        for (text, wanted) in [("{\"format\": 2}", "has the form 2"), ("{}", "has the form (none)"), ("{", "can't be read")] {
            store.put("x/manifest.json", text.into()).await.expect("a file");
            let error = manifest(&store, "x").await.expect_err("refused").to_string();
            assert!(error.contains(wanted), "{error} should say {wanted}");
        }
        assert!(matches!(manifest(&store, "y").await, Err(Error::NotFound(_))));
    }
}
