//! A folder of pictures: folders become boards, sub-folders sections, pictures pins.
//!
//! ```text
//! DIR/animals/cat.png            board "animals"
//! DIR/animals/birds/owl.png      board "animals", section "birds"
//! DIR/animals/birds/sea/gull.png board "animals", section "birds / sea"
//! DIR/sun.png                    board "DIR"
//!
//! cat.png ◀ cat.png.json, cat.json, cat.png.xmp, cat.xmp, cat.svg    beside it, then at the same place below the metadata folder
//! ```
//!
//! The names are listed when the folder is opened; files are read one by one as items are asked for. Links to files are followed while
//! they stay inside; links to folders are not, so that no loop can form.

use std::collections::{BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::error::ImportError;
use crate::item::{BoardList, Draft, Entry, PictureSource, Reader, Refused, board_name, key, read_regular, section_name};
use crate::limits::{FOLDER_DEPTH_MAX, PICTURES_MAX, SIDECAR_BYTES_MAX, SVG_BYTES_MAX};
use crate::metadata::Metadata;
use crate::text::{has_picture_extension, title_of_file_name};
use crate::{rdf, sidecar};

/// Files that stand beside pictures and are no pictures themselves; they are passed over in silence.
const COMPANIONS: &[&str] = &["json", "xmp", "xml", "txt", "md", "html", "htm", "db", "ini", "url", "csv"];

/// Reads a folder of pictures.
pub struct Folder {
    root: PathBuf,
    metadata_root: Option<PathBuf>,
    /// Folders with pictures, in order.
    shelves: VecDeque<Shelf>,
    queue: VecDeque<Entry>,
    current: Option<Shelf>,
    pictures: u64,
}

/// One folder that holds pictures.
struct Shelf {
    board: String,
    section: Option<String>,
    /// Relative to the root.
    folder: PathBuf,
    pictures: VecDeque<OsString>,
    /// All names in the folder, to look for sidecars without asking the disk.
    names: BTreeSet<OsString>,
}

impl Folder {
    /// Lists the folder. `metadata` is a parallel tree in which files of the same names are looked for as well.
    pub fn open(root: &Path, metadata: Option<&Path>) -> Result<Folder, ImportError> {
        let resolve = |path: &Path| match fs::canonicalize(path) {
            Ok(resolved) if resolved.is_dir() => Ok(resolved),
            Ok(_) => Err(ImportError::NotAFolder(path.to_owned())),
            Err(error) => Err(ImportError::unreadable(path, error)),
        };
        let root = resolve(root)?;
        let metadata_root = metadata.map(resolve).transpose()?;
        fs::read_dir(&root).map_err(|error| ImportError::unreadable(&root, error))?;
        let own_name = root.file_name().map_or_else(|| "Pictures".into(), display);
        let mut folder = Folder { root, metadata_root, shelves: VecDeque::new(), queue: VecDeque::new(), current: None, pictures: 0 };
        folder.list(Path::new(""), &own_name, &mut Vec::new());
        folder.announce_boards();
        Ok(folder)
    }

    /// Lists one folder and those below it. `below_board` are the names between the board's folder and this one.
    fn list(&mut self, relative: &Path, board: &str, below_board: &mut Vec<String>) {
        let entries = match fs::read_dir(self.root.join(relative)) {
            Ok(entries) => entries,
            Err(error) => return self.refuse(relative, format!("the folder can't be read: {error}")),
        };
        let mut names = BTreeSet::new();
        for entry in entries {
            match entry {
                Ok(entry) => names.insert(entry.file_name()),
                Err(error) => return self.refuse(relative, format!("the folder can't be read to its end: {error}")),
            };
        }
        let (mut pictures, mut folders) = (VecDeque::new(), Vec::new());
        for name in names.iter().filter(|name| !name.as_bytes().starts_with(b".")) {
            match self.look_at(&relative.join(name), name, &names) {
                Some(Found::Picture) if self.pictures as usize >= PICTURES_MAX => {
                    self.refuse(
                        &relative.join(name),
                        format!("at most {PICTURES_MAX} pictures are imported in one run; import its folder by itself"),
                    );
                    break;
                }
                Some(Found::Picture) => {
                    self.pictures += 1;
                    pictures.push_back(name.clone());
                }
                Some(Found::Folder) => folders.push(name.clone()),
                None => {}
            }
        }
        if !pictures.is_empty() {
            let section = (!below_board.is_empty()).then(|| below_board.join(" / ")).as_deref().and_then(section_name);
            self.shelves.push_back(Shelf { board: board_name(board), section, folder: relative.to_owned(), pictures, names });
        }
        for name in folders {
            let path = relative.join(&name);
            if path.components().count() > FOLDER_DEPTH_MAX {
                self.refuse(&path, format!("folders are read {FOLDER_DEPTH_MAX} levels deep; move it up"));
            } else if relative.as_os_str().is_empty() {
                self.list(&path, &display(&name), &mut Vec::new());
            } else {
                below_board.push(display(&name));
                self.list(&path, board, below_board);
                below_board.pop();
            }
        }
    }

    /// Tells what a name stands for; names it in the report when it can't be taken.
    fn look_at(&mut self, relative: &Path, name: &OsStr, names: &BTreeSet<OsString>) -> Option<Found> {
        let path = self.root.join(relative);
        let kind = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata.file_type(),
            Err(error) => return self.nothing(relative, format!("it can't be read: {error}")),
        };
        let text = display(name);
        if kind.is_dir() {
            return Some(Found::Folder);
        }
        let extension = Path::new(name).extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase).unwrap_or_default();
        // Whether they can be read is told where they are used.
        if COMPANIONS.contains(&extension.as_str()) || (extension == "svg" && has_picture_of_same_stem(name, names)) {
            return None;
        }
        if kind.is_symlink() {
            match fs::metadata(&path) {
                Ok(target) if target.is_dir() => {
                    return self.nothing(relative, "it is a link to a folder; such links are not followed".into());
                }
                Ok(_) if !is_inside(&self.root, &path) => {
                    return self.nothing(relative, "it is a link to a file outside of the imported folder".into());
                }
                Ok(target) if !target.is_file() => return self.nothing(relative, "it is a link to something that is not a file".into()),
                Ok(_) => {}
                Err(_) => return self.nothing(relative, "it is a link that leads nowhere".into()),
            }
        } else if !kind.is_file() {
            return self.nothing(relative, "it is a device, pipe or socket, not a file".into());
        }
        if has_picture_extension(&text) {
            return Some(Found::Picture);
        }
        self.nothing(relative, "it is not a JPEG, PNG, GIF or WebP picture by its name".into())
    }

    fn nothing(&mut self, relative: &Path, why: String) -> Option<Found> {
        self.refuse(relative, why);
        None
    }

    fn refuse(&mut self, relative: &Path, why: String) {
        let what = if relative.as_os_str().is_empty() { self.root.display().to_string() } else { display(relative.as_os_str()) };
        self.queue.push_back(Refused::entry(what, why));
    }

    /// Puts each board with its sections in front of the items.
    fn announce_boards(&mut self) {
        let mut boards = BoardList::default();
        for shelf in &self.shelves {
            boards.add_place(&shelf.board, shelf.section.as_deref());
        }
        self.queue.extend(boards.into_entries());
    }

    fn read_picture(&mut self, shelf: &Shelf, name: &OsStr) {
        let relative = shelf.folder.join(name);
        let mut metadata = Metadata::default();
        for sidecar in self.sidecars(shelf, name) {
            match sidecar.read(&display(name)) {
                Ok((found, broken)) => {
                    metadata.fill_from(found);
                    if let Some(why) = broken {
                        let what = sidecar.path.display().to_string();
                        self.queue.push_back(Refused::entry(what, format!("{why}. Its picture comes with what could be read.")));
                    }
                }
                Err(why) => {
                    let what = sidecar.path.display().to_string();
                    self.queue.push_back(Refused::entry(what, format!("the metadata was left out: {why}. Its picture comes without.")));
                }
            }
        }
        metadata.title = metadata.title.or_else(|| Some(title_of_file_name(&display(name))));
        let draft = Draft {
            key: key("folder", &[self.root.as_os_str().as_bytes(), relative.as_os_str().as_bytes()]),
            origin: display(relative.as_os_str()),
            board: shelf.board.clone(),
            section: shelf.section.clone(),
            metadata,
            picture: PictureSource::File(self.root.join(&relative)),
            private: false,
            embedded_metadata: true,
        };
        self.queue.push_back(draft.finish().into());
    }

    /// Lists the files that may describe a picture, the most telling first.
    fn sidecars(&self, shelf: &Shelf, name: &OsStr) -> Vec<Sidecar> {
        let mut found = Vec::new();
        let stem = Path::new(name).file_stem().unwrap_or(name);
        let joined = |base: &OsStr, extension: &str| {
            let mut file = base.to_owned();
            file.push(extension);
            file
        };
        let candidates = [
            (Form::Json, joined(name, ".json")),
            (Form::Json, joined(stem, ".json")),
            (Form::Rdf, joined(name, ".xmp")),
            (Form::Rdf, joined(stem, ".xmp")),
            (Form::Rdf, joined(stem, ".svg")),
        ];
        for (form, file) in &candidates {
            if shelf.names.contains(file) {
                found.push(Sidecar { form: *form, path: self.root.join(&shelf.folder).join(file), root: self.root.clone() });
            }
        }
        if let Some(root) = &self.metadata_root {
            for (form, file) in &candidates {
                let path = root.join(&shelf.folder).join(file);
                if fs::symlink_metadata(&path).is_ok() {
                    found.push(Sidecar { form: *form, path, root: root.clone() });
                }
            }
        }
        found
    }
}

enum Found {
    Picture,
    Folder,
}

#[derive(Clone, Copy)]
enum Form {
    Json,
    Rdf,
}

/// A file that describes a picture.
struct Sidecar {
    form: Form,
    path: PathBuf,
    /// It must lie in here, links followed.
    root: PathBuf,
}

impl Sidecar {
    /// Reads it: its metadata and what is broken about it, or why nothing could be read.
    fn read(&self, picture_name: &str) -> Result<(Metadata, Option<String>), String> {
        if !is_inside(&self.root, &self.path) {
            return Err("it is a link to a file outside of its folder, or leads nowhere".into());
        }
        let limit = match self.form {
            Form::Json => SIDECAR_BYTES_MAX,
            Form::Rdf => SVG_BYTES_MAX,
        };
        let bytes = read_regular(&self.path, limit).map_err(|error| error.to_string())?;
        match self.form {
            Form::Json => sidecar::read(&bytes, picture_name).map(|metadata| (metadata, None)),
            Form::Rdf => {
                let rdf = rdf::read(&bytes);
                Ok((rdf.metadata, rdf.broken))
            }
        }
    }
}

fn is_inside(root: &Path, path: &Path) -> bool {
    fs::canonicalize(path).is_ok_and(|resolved| resolved.starts_with(root))
}

fn has_picture_of_same_stem(name: &OsStr, names: &BTreeSet<OsString>) -> bool {
    let Some(stem) = Path::new(name).file_stem() else { return false };
    ["png", "jpg", "jpeg", "webp", "gif", "PNG", "JPG"].iter().any(|extension| {
        let mut file = stem.to_owned();
        file.push(".");
        file.push(extension);
        names.contains(&file)
    })
}

/// Writes a name for people; bytes that are not UTF-8 are shown as '\u{fffd}'.
fn display(name: &OsStr) -> String {
    name.to_string_lossy().into_owned()
}

impl Iterator for Folder {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        loop {
            if let Some(entry) = self.queue.pop_front() {
                return Some(entry);
            }
            let mut shelf = match self.current.take() {
                Some(shelf) => shelf,
                None => self.shelves.pop_front()?,
            };
            if let Some(name) = shelf.pictures.pop_front() {
                self.read_picture(&shelf, &name);
                self.current = Some(shelf);
            }
        }
    }
}

impl Reader for Folder {
    fn estimate(&self) -> Option<u64> {
        Some(self.pictures)
    }
}

#[cfg(test)]
mod tests;
