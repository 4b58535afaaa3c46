use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use super::*;
use crate::item::Item;

fn write(root: &Path, name: &str, bytes: &[u8]) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn read(root: &Path, metadata: Option<&Path>) -> Vec<Entry> {
    Folder::open(root, metadata).unwrap().collect()
}

fn items(entries: &[Entry]) -> Vec<&Item> {
    entries.iter().filter_map(|entry| if let Entry::Item(item) = entry { Some(&**item) } else { None }).collect()
}

fn refused(entries: &[Entry]) -> BTreeMap<String, String> {
    let pairs = entries
        .iter()
        .filter_map(|entry| if let Entry::Refused(refused) = entry { Some((refused.what.clone(), refused.why.clone())) } else { None });
    pairs.collect()
}

const SVG: &str = "<svg><metadata><rdf:RDF xmlns:rdf='r' xmlns:cc='c' xmlns:dc='d'><cc:Work><dc:title>Owl</dc:title><dc:creator><cc:Agent><dc:title>Ann</dc:title></cc:Agent></dc:creator><dc:subject><rdf:Bag><rdf:li>bird</rdf:li></rdf:Bag></dc:subject></cc:Work></rdf:RDF></metadata></svg>";

#[test]
fn folders_become_boards_and_sections() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("My pictures");
    for name in [
        "sun.PNG",
        "animals/red_cat.jpeg",
        "animals/birds/owl.png",
        "animals/birds/sea/gull.gif",
        "empty/readme.txt",
        ".hidden/x.png",
        "animals/.x.png",
    ] {
        write(&root, name, b"x");
    }
    let reader = Folder::open(&root, None).unwrap();
    assert_eq!(reader.estimate(), Some(4));
    let entries: Vec<Entry> = reader.collect();
    let boards: Vec<_> = entries
        .iter()
        .filter_map(|entry| if let Entry::Board(board) = entry { Some((board.name.clone(), board.sections.clone())) } else { None })
        .collect();
    assert_eq!(boards, [("My pictures".into(), vec![]), ("animals".into(), vec!["birds".to_owned(), "birds / sea".into()])]);
    let places: Vec<_> =
        items(&entries).iter().map(|item| (item.title.clone().unwrap(), item.board.clone(), item.section.clone())).collect();
    assert_eq!(
        places,
        [
            ("sun".into(), "My pictures".into(), None),
            ("red cat".into(), "animals".into(), None),
            ("owl".into(), "animals".into(), Some("birds".into())),
            ("gull".into(), "animals".into(), Some("birds / sea".into())),
        ]
    );
    assert!(items(&entries).iter().all(|item| item.embedded_metadata));
    assert!(refused(&entries).is_empty());
    assert_eq!(read(&root, None), entries);
    assert!(items(&entries)[0].picture.read(9).unwrap().is_ok());
}

#[test]
fn metadata_comes_from_beside_and_from_the_parallel_tree() {
    let folder = tempfile::tempdir().unwrap();
    let (root, parallel) = (folder.path().join("png"), folder.path().join("svg"));
    write(&root, "a/one.png", b"x");
    write(&root, "a/one.png.json", br#"{"title":"One","tags":["t"]}"#);
    write(&root, "a/two.jpg", b"x");
    write(&root, "a/two.json", br#"{"description":"Two"}"#);
    write(&root, "a/two.svg", SVG.as_bytes());
    write(&root, "a/three.png", b"x");
    write(&parallel, "a/three.svg", SVG.as_bytes());
    write(&root, "a/four.png", b"x");
    write(&parallel, "a/four.svg", SVG.replace("</svg>", "<g>").as_bytes());
    write(&root, "a/five.png", b"x");
    write(&root, "a/five.json", b"{broken");
    write(&root, "a/alone.svg", SVG.as_bytes());
    let entries = read(&root, Some(&parallel));
    let found: BTreeMap<_, _> = items(&entries).into_iter().map(|item| (item.origin.clone(), item)).collect();
    assert_eq!((found["a/one.png"].title.as_deref(), found["a/one.png"].keywords.len()), (Some("One"), 1));
    let two = found["a/two.jpg"];
    assert_eq!(
        (two.title.as_deref(), two.description.as_deref(), two.keywords.clone()),
        (Some("Owl"), Some("Two"), vec!["bird".to_owned()])
    );
    for name in ["a/three.png", "a/four.png"] {
        assert_eq!(
            (found[name].title.as_deref(), found[name].author.as_ref().map(|author| author.name.as_str())),
            (Some("Owl"), Some("Ann")),
            "{name}"
        );
    }
    assert_eq!(found["a/five.png"].title.as_deref(), Some("five"));
    let refused = refused(&entries);
    assert_eq!(refused.len(), 3, "{refused:?}");
    assert!(refused["a/alone.svg"].contains("not a JPEG"));
    assert!(refused.iter().any(|(what, why)| what.ends_with("svg/a/four.svg") && why.contains("XML")));
    assert!(refused.iter().any(|(what, why)| what.ends_with("a/five.json") && why.contains("JSON")));
}

#[test]
fn links_devices_and_odd_names_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("in");
    write(&root, "a/real.png", b"x");
    write(folder.path(), "secret.png", b"secret");
    write(folder.path(), "secret.json", br#"{"title":"secret"}"#);
    symlink("real.png", root.join("a/inside.png")).unwrap();
    symlink("../../secret.png", root.join("a/outside.png")).unwrap();
    symlink("nowhere.png", root.join("a/dangling.png")).unwrap();
    symlink("self.png", root.join("a/self.png")).unwrap();
    symlink("..", root.join("a/loop")).unwrap();
    symlink("../../secret.json", root.join("a/real.json")).unwrap();
    let _socket = UnixListener::bind(root.join("a/socket.png")).unwrap();
    let odd = OsStr::from_bytes(b"a/\xff\xfe.png");
    fs::write(root.join(odd), b"x").unwrap();
    fs::write(root.join(OsStr::from_bytes(b"a/\xff\xff.png")), b"x").unwrap();
    fs::create_dir(root.join("b.png")).unwrap();
    write(&root, "a/film.mp4", b"x");
    let entries = read(&root, None);
    let items = items(&entries);
    assert_eq!(items.len(), 4, "{items:?}");
    assert_eq!(items.iter().map(|item| &item.key).collect::<BTreeSet<_>>().len(), 4);
    assert!(items.iter().all(|item| item.title.as_deref() != Some("secret")));
    let names: Vec<_> =
        refused(&entries).into_keys().map(|name| name.rsplit_once("a/").map_or(name.clone(), |(_, last)| last.to_owned())).collect();
    assert_eq!(names, ["real.json", "dangling.png", "film.mp4", "loop", "outside.png", "self.png", "socket.png"]);
}

#[test]
fn giant_sidecars_are_named_and_not_read() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a/x.png", b"x");
    let giant = fs::File::create(folder.path().join("a/x.json")).unwrap();
    // A sparse file: no bytes on the disk.
    giant.set_len(1 << 40).unwrap();
    let entries = read(folder.path(), None);
    assert_eq!(items(&entries).len(), 1);
    assert!(refused(&entries).into_values().next().unwrap().contains("more than"));
}

#[test]
fn what_is_no_folder_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "f", b"x");
    assert!(Folder::open(&folder.path().join("none"), None).is_err());
    assert!(Folder::open(&folder.path().join("f"), None).err().unwrap().to_string().contains("not a folder"));
    assert!(Folder::open(folder.path(), Some(&folder.path().join("none"))).is_err());
    assert!(read(folder.path(), None).len() == 1);
}

/// Debian's clip art, whole. Prints what was found with `--no-capture`.
#[test]
fn debians_clip_art_is_read_whole() {
    let root = Path::new("/usr/share/openclipart");
    if !root.join("png").is_dir() || !root.join("svg").is_dir() {
        return testkit::skip::skip("debians_clip_art_is_read_whole", "Debian's openclipart-png and openclipart-svg are not installed");
    }
    let reader = Folder::open(&root.join("png"), Some(&root.join("svg"))).expect("both folders are there");
    assert_eq!(reader.estimate(), Some(8_121));
    let entries: Vec<Entry> = reader.collect();
    let items = items(&entries);
    let count = |test: &dyn Fn(&Item) -> bool| items.iter().filter(|item| test(item)).count();
    let boards: BTreeSet<_> = items.iter().map(|item| item.board.as_str()).collect();
    let sections: BTreeSet<_> = items.iter().filter_map(|item| Some((item.board.as_str(), item.section.as_deref()?))).collect();
    let authors: BTreeSet<_> = items.iter().filter_map(|item| Some(item.author.as_ref()?.name.as_str())).collect();
    let own_title = |item: &Item| item.title != Some(title_of_file_name(item.origin.rsplit('/').next().unwrap()));
    println!("items {} boards {} sections {} authors {}", items.len(), boards.len(), sections.len(), authors.len());
    println!(
        "with own title {} description {} keywords {} author {} date {} link {} license {}",
        count(&own_title),
        count(&|item| item.description.is_some()),
        count(&|item| !item.keywords.is_empty()),
        count(&|item| item.author.is_some()),
        count(&|item| item.at.is_some()),
        count(&|item| item.link.is_some()),
        count(&|item| item.license.is_some()),
    );
    for (what, why) in refused(&entries) {
        println!("refused {what}: {why}");
    }
    let mut by_author = BTreeMap::<&str, usize>::new();
    items.iter().filter_map(|item| item.author.as_ref()).for_each(|author| *by_author.entry(&author.name).or_default() += 1);
    let mut by_author: Vec<_> = by_author.into_iter().collect();
    by_author.sort_by_key(|(_, pins)| std::cmp::Reverse(*pins));
    println!("authors {:?}", &by_author[..by_author.len().min(25)]);
    println!("sample {:#?}", items[2_000]);
    assert_eq!(items.len(), 8_121);
    assert_eq!(items.iter().map(|item| &item.key).collect::<BTreeSet<_>>().len(), 8_121);
    assert!(items.iter().all(|item| item.title.is_some()));
    assert!(count(&own_title) > 6_000 && count(&|item| !item.keywords.is_empty()) > 6_000 && count(&|item| item.author.is_some()) > 6_000);
}
