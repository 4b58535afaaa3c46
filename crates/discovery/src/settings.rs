//! Live settings: what a running site follows without a restart. Engine `local:`: one JSON file in the registry's folder.
//!
//! ```text
//! <folder>/settings.json   {"feeds.merge_threshold": 20000}; replaced as a whole: a reader sees the old file or the new one
//! <folder>/settings.lock   held by whoever changes it
//! ```
//!
//! Which keys there are, and what their values may be, is the caller's to know.

use std::fs::{self, File};
use std::io::{self, Write};

use serde_json::{Map, Value};

use crate::Registry;

/// Bytes of the file. A larger one is refused: settings are a handful of numbers.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// The settings as they were read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LiveSettings {
    values: Map<String, Value>,
}

impl LiveSettings {
    /// Returns the value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// Lists all keys that are set.
    pub fn keys(&self) -> Vec<String> {
        self.values.keys().cloned().collect()
    }
}

impl Registry {
    /// Reads the live settings; without a file there are none. `InvalidData`: the file is there and is none.
    pub fn settings(&self) -> io::Result<LiveSettings> {
        let path = self.folder.join("settings.json");
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(LiveSettings::default()),
            Err(error) => return Err(error),
        };
        let broken = |why: &dyn std::fmt::Display| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {why}", path.display()));
        if file.metadata()?.len() > FILE_BYTES_MAX {
            return Err(broken(&format!("more than {FILE_BYTES_MAX} bytes are no settings")));
        }
        let values = serde_json::from_str(&io::read_to_string(file)?).map_err(|error| broken(&error))?;
        Ok(LiveSettings { values })
    }

    /// Sets a key, or takes it away. Whoever reads meanwhile sees the settings before or after.
    pub fn set(&self, key: &str, value: Option<Value>) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let lock = File::options().create(true).truncate(false).write(true).open(self.folder.join("settings.lock"))?;
        lock.lock()?;
        let mut settings = self.settings()?;
        match value {
            Some(value) => drop(settings.values.insert(key.to_owned(), value)),
            None => drop(settings.values.remove(key)),
        }
        let new = self.folder.join("settings.json.new");
        let mut file = File::create(&new)?;
        file.write_all(serde_json::to_string_pretty(&settings.values)?.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, self.folder.join("settings.json"))?;
        // The name too is to be there after a crash.
        File::open(&self.folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_set_listed_and_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::open(&format!("local:{}", folder.path().join("deep").display())).unwrap();
        assert_eq!(registry.settings().unwrap(), LiveSettings::default());
        registry.set("feeds.merge_threshold", Some(5_000.into())).unwrap();
        registry.set("feeds.other", Some("x".into())).unwrap();
        let settings = registry.settings().unwrap();
        assert_eq!(settings.get("feeds.merge_threshold").and_then(Value::as_i64), Some(5_000));
        assert_eq!(settings.keys(), ["feeds.merge_threshold", "feeds.other"]);
        registry.set("feeds.merge_threshold", None).unwrap();
        registry.set("feeds.other", None).unwrap();
        assert_eq!(registry.settings().unwrap(), LiveSettings::default());
    }

    #[test]
    fn a_broken_file_is_told_and_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::open(&format!("local:{}", folder.path().display())).unwrap();
        for text in ["{\"feeds", "[1]", &" ".repeat(70_000)] {
            fs::write(folder.path().join("settings.json"), text).unwrap();
            assert_eq!(registry.settings().unwrap_err().kind(), io::ErrorKind::InvalidData);
            assert!(registry.set("feeds.merge_threshold", Some(1.into())).is_err());
            assert_eq!(fs::read_to_string(folder.path().join("settings.json")).unwrap(), text);
        }
    }
}
