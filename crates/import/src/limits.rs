//! How large and how many. What is over a limit is named in the report and left out.

/// Bytes of one sidecar JSON. gallery-dl writes a few KiB; with long comment threads it reaches hundreds.
pub const SIDECAR_BYTES_MAX: u64 = 4 << 20;
/// Bytes of one SVG or XMP file read for its metadata. The largest drawings of public clip art collections stay below 10 MiB.
pub const SVG_BYTES_MAX: u64 = 16 << 20;
/// Bytes of metadata that the tolerant scan looks at in a broken file; whole RDF blocks are below 20 KiB.
pub const RDF_BLOCK_BYTES_MAX: usize = 256 << 10;
/// Attributes of one element, depth of elements and namespace declarations in a file given to the XML parser, whose work can grow
/// with their squares. Files over it are scanned tolerantly instead.
pub const XML_ATTRIBUTES_MAX: usize = 256;
pub const XML_DEPTH_MAX: usize = 512;
pub const XML_NAMESPACES_MAX: usize = 4_096;
/// Nodes of one XML document; each takes about 100 bytes of memory.
pub const XML_NODES_MAX: u32 = 2_000_000;
/// Bytes that the entities of one document may grow into.
pub const XML_ENTITY_BYTES_MAX: usize = 16 << 20;
/// Pictures of one folder import; the list of their names is held in memory (about 100 bytes each).
pub const PICTURES_MAX: usize = 500_000;
/// Levels of folders below the imported one.
pub const FOLDER_DEPTH_MAX: usize = 32;
/// Bytes of a bookmark file. Those with a hundred thousand bookmarks and their icons reach some tens of MiB.
pub const BOOKMARKS_BYTES_MAX: u64 = 128 << 20;
/// Levels of bookmark folders that are told apart; deeper ones count as their parent.
pub const BOOKMARK_DEPTH_MAX: usize = 32;
/// Bytes of a CSV file.
pub const TABLE_BYTES_MAX: u64 = 128 << 20;
/// Items of one bookmark file, archive or table. They are held in memory (about 1 KiB each).
pub const ITEMS_MAX: usize = 500_000;
/// Files looked at in one archive.
pub const ARCHIVE_FILES_MAX: usize = 20_000;
/// Unpacked bytes of one text file of an archive, and of all of them: a bound on what a zip bomb can do.
pub const ARCHIVE_FILE_BYTES_MAX: u64 = 256 << 20;
pub const ARCHIVE_BYTES_MAX: u64 = 1 << 30;
/// Bytes of a page that are looked at. What the head and the first screens hold comes long before.
pub const PAGE_BYTES_MAX: usize = 4 << 20;
/// Pictures handed back for one page: as many as a person can look through.
pub const PAGE_PICTURES_MAX: usize = 60;
/// Pictures of a page that are compared before the best are kept.
pub const PAGE_CANDIDATES_MAX: usize = 2_000;
/// Bytes of one JSON-LD block; real ones stay below 200 KiB.
pub const JSON_LD_BYTES_MAX: usize = 1 << 20;
/// Keywords of one item. Some sites give hundreds; a pin's topics are far fewer.
pub const KEYWORDS_MAX: usize = 50;
/// Characters of one keyword, the same as of a tag.
pub const KEYWORD_CHARS_MAX: usize = model::limits::TAG_CHARS_MAX;
/// Attributes looked at in one tag of markup.
pub const TAG_ATTRIBUTES_MAX: usize = 64;
/// Values followed when JSON is searched for a field: depth and number.
pub const JSON_DEPTH_MAX: usize = 24;
