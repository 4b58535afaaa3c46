//! The files of an archive, whether it is a zip or a folder already unpacked. Nothing is ever unpacked to disk.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use zip::ZipArchive;

use crate::error::ImportError;
use crate::item::{PictureSource, Refused, read_regular};
use crate::limits::{ARCHIVE_BYTES_MAX, ARCHIVE_FILE_BYTES_MAX, ARCHIVE_FILES_MAX, FOLDER_DEPTH_MAX};

/// An archive that is open for reading.
pub struct Archive {
    path: PathBuf,
    form: Form,
    /// The names of its files with '/' between folders, in order.
    pub names: BTreeSet<String>,
    /// Files that were left out, and why.
    pub refused: Vec<Refused>,
    bytes_left: u64,
}

enum Form {
    Folder,
    Zip(Box<ZipArchive<BufReader<File>>>),
    /// A single file given instead of the archive.
    File,
}

impl Archive {
    pub fn open(path: &Path) -> Result<Archive, ImportError> {
        let kind = fs::metadata(path).map_err(|error| ImportError::unreadable(path, error))?;
        let path = fs::canonicalize(path).map_err(|error| ImportError::unreadable(path, error))?;
        let mut archive =
            Archive { path: path.clone(), form: Form::Folder, names: BTreeSet::new(), refused: Vec::new(), bytes_left: ARCHIVE_BYTES_MAX };
        if kind.is_dir() {
            archive.list(&path, "", 0);
            return Ok(archive);
        }
        if !kind.is_file() {
            let error = io::Error::new(io::ErrorKind::InvalidInput, "it is neither a file nor a folder");
            return Err(ImportError::unreadable(&path, error));
        }
        let mut start = [0_u8; 4];
        let length = File::open(&path).and_then(|mut file| file.read(&mut start)).map_err(|error| ImportError::unreadable(&path, error))?;
        if length < 4 || !start.starts_with(b"PK") {
            archive.form = Form::File;
            archive.names.extend(path.file_name().map(|name| name.to_string_lossy().into_owned()));
            return Ok(archive);
        }
        let mut zip = open_zip(&path).map_err(|error| ImportError::Unrecognised {
            path: path.clone(),
            expected: "a zip archive",
            why: format!("{error}; download it again"),
        })?;
        archive.list_zip(&mut zip);
        archive.form = Form::Zip(Box::new(zip));
        Ok(archive)
    }

    fn list_zip(&mut self, zip: &mut ZipArchive<BufReader<File>>) {
        for index in 0..zip.len() {
            if self.names.len() >= ARCHIVE_FILES_MAX {
                self.refuse("the rest of the archive", format!("at most {ARCHIVE_FILES_MAX} files of an archive are read"));
                return;
            }
            let described = zip.by_index(index).and_then(|file| {
                let name = file.name()?.into_owned();
                Ok((name, file.is_dir()))
            });
            match described {
                Ok((_, true)) => {}
                Ok((name, false)) => {
                    self.names.insert(name);
                }
                Err(error) => self.refuse(&format!("file {} of the archive", index + 1), format!("it can't be read: {error}")),
            }
        }
    }

    fn list(&mut self, folder: &Path, prefix: &str, depth: usize) {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => return self.refuse(prefix, format!("the folder can't be read: {error}")),
        };
        for entry in entries.flatten() {
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            match entry.file_type() {
                _ if self.names.len() >= ARCHIVE_FILES_MAX => {
                    return self.refuse("the rest of the folder", format!("at most {ARCHIVE_FILES_MAX} files of an archive are read"));
                }
                Ok(kind) if kind.is_dir() && depth < FOLDER_DEPTH_MAX => self.list(&entry.path(), &format!("{name}/"), depth + 1),
                Ok(kind) if kind.is_file() => {
                    self.names.insert(name);
                }
                // Archives hold no links and no devices of their own.
                _ => self.refuse(&name, "it is a link, a device, or too deep in folders".into()),
            }
        }
    }

    fn refuse(&mut self, what: &str, why: String) {
        self.refused.push(Refused { what: what.to_owned(), why });
    }

    /// Reads one file whole, within the limits for one and for all.
    pub fn read(&mut self, name: &str) -> io::Result<Vec<u8>> {
        let limit = ARCHIVE_FILE_BYTES_MAX.min(self.bytes_left);
        let bytes = match &mut self.form {
            Form::Folder => read_regular(&self.path.join(name), limit),
            Form::File => read_regular(&self.path, limit),
            Form::Zip(zip) => read_entry(zip, name, limit),
        }?;
        self.bytes_left -= bytes.len() as u64;
        Ok(bytes)
    }

    /// Tells where a picture inside the archive is read from.
    pub fn picture(&self, name: &str) -> PictureSource {
        match self.form {
            Form::Zip(_) => PictureSource::ZipEntry { archive: self.path.clone(), name: name.to_owned() },
            Form::Folder => PictureSource::File(self.path.join(name)),
            Form::File => PictureSource::File(self.path.clone()),
        }
    }
}

fn open_zip(path: &Path) -> io::Result<ZipArchive<BufReader<File>>> {
    Ok(ZipArchive::new(BufReader::new(File::open(path)?))?)
}

fn read_entry(zip: &mut ZipArchive<BufReader<File>>, name: &str, limit: u64) -> io::Result<Vec<u8>> {
    let file = zip.by_name(name)?;
    let mut bytes = Vec::new();
    // What the archive claims about the size is not believed: it is counted while unpacking.
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it unpacks to more than {limit} bytes")));
    }
    Ok(bytes)
}

/// Reads one file of a zip archive.
pub fn read_zip_entry(archive: &Path, name: &str, bytes_max: u64) -> io::Result<Vec<u8>> {
    read_entry(&mut open_zip(archive)?, name, bytes_max)
}
