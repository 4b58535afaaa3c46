use std::io::Write;

use super::*;
use crate::item::Item;

/// A page in the form that Pinterest's archive has, with invented content.
const PAGE: &str = r#"<html><body><h1 id=x1>Profile</h1>Username: ann, <br>Email: a@example.org<br>
<h1 id=b1>Boards</h1>
<a href="https://www.pinterest.com/ann/still-life/">https://www.pinterest.com/ann/still-life/</a>
<br>Name: Still life, <br>Description: Quiet things, <br>Secret: Yes,<br><br>
<div id="contents"><h1 id=y1bkd>Pins</h1>
<a href="https://www.pinterest.com/pin/123/">https://www.pinterest.com/pin/123/</a>
<br>Title: A &quot;red&quot; bowl,
<br>Details: Bowl, on a table. Note to self: buy one
<br>Second line, with <b>words</b>,
<br>Image: 0123456789abcdef0123456789abcdef,
<br>Is Native: No data,
<br>Board Id: 987,
<br>Board Name: Still life,
<br>Is Video: No data,
<br>Ip Address: 192.0.2.1,
<br>Username: ann,
<br>Alt Text: a bowl,
<br>Canonical Link: <a href="https://example.org/bowl?a=1&amp;b=2">https://example.org/bowl</a>,
<br>Story Pin Media: No data,
<br>Created at: 2017/02/13 15:35:01
<br>Alive: True
<br>Is a repin: True
<br>Private: False<br><br>
<a href="https://www.pinterest.com/pin/124/">https://www.pinterest.com/pin/124/</a>
<br>Title: No data, <br>Image: No data, <br>Board Name: No data, <br>Canonical Link: No data, <br>Alive: Yes <br>Private: True<br><br>
<a href="https://www.pinterest.com/pin/125/">https://www.pinterest.com/pin/125/</a>
<br>Title: Gone, <br>Alive: False<br><br>
<h1>Boards you follow</h1><a href="https://www.pinterest.com/bob/maps/">Maps of old</a><br>
<h1>Users you follow</h1><a href="https://www.pinterest.com/bob/">https://www.pinterest.com/bob/</a><br>
<h1>Followed interests</h1>Gardens,<br>Bread,<br>
<h1>Sessions</h1><a href="https://www.pinterest.com/login/">x</a><br>Created at: 2020/01/01<br>
</div></body></html>"#;

fn write_zip(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut zip = zip::ZipWriter::new(std::fs::File::create(folder.path().join("data.zip")).unwrap());
    for (name, bytes) in files {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
    folder
}

fn read(files: &[(&str, &[u8])]) -> Vec<Entry> {
    let folder = write_zip(files);
    Pinterest::open(&folder.path().join("data.zip")).unwrap().collect()
}

fn items(entries: &[Entry]) -> Vec<&Item> {
    entries.iter().filter_map(|entry| if let Entry::Item(item) = entry { Some(&**item) } else { None }).collect()
}

fn refused(entries: &[Entry]) -> Vec<&str> {
    entries.iter().filter_map(|entry| if let Entry::Refused(refused) = entry { Some(refused.what.as_str()) } else { None }).collect()
}

#[test]
fn reads_the_big_page() {
    let entries = read(&[("index.html", PAGE.as_bytes())]);
    let Entry::Board(board) = &entries[0] else { panic!("{entries:?}") };
    assert_eq!(
        (board.name.as_str(), board.description.as_deref(), board.privacy),
        ("Still life", Some("Quiet things"), Some(Privacy::Secret))
    );
    let items = items(&entries);
    assert_eq!(items.len(), 2);
    let bowl = items[0];
    assert_eq!(bowl.title.as_deref(), Some("A \"red\" bowl"));
    assert_eq!(bowl.description.as_deref(), Some("Bowl, on a table. Note to self: buy one\nSecond line, with words"));
    assert_eq!((bowl.board.as_str(), bowl.alt_text.as_deref(), bowl.private), ("Still life", Some("a bowl"), false));
    assert_eq!(bowl.link.as_deref(), Some("https://example.org/bowl?a=1&b=2"));
    assert_eq!(bowl.at.unwrap().0, 1_487_000_101_000);
    let PictureSource::FirstOf(addresses) = &bowl.picture else { panic!("{:?}", bowl.picture) };
    assert_eq!(addresses[0], "https://i.pinimg.com/originals/01/23/45/0123456789abcdef0123456789abcdef.jpg");
    assert_eq!(items[1].picture, PictureSource::Page("https://www.pinterest.com/pin/124/".into()));
    assert!(items[1].private);
    assert_eq!(refused(&entries), ["pin 125 (Gone)"]);
    let follows: Vec<_> =
        entries.iter().filter_map(|entry| if let Entry::Follow(follow) = entry { Some(follow.clone()) } else { None }).collect();
    assert_eq!(
        follows,
        [
            Follow::Board { name: "Maps of old".into(), link: Some("https://www.pinterest.com/bob/maps/".into()) },
            Follow::Person { name: "bob".into(), link: Some("https://www.pinterest.com/bob/".into()) },
            Follow::Topic { name: "Gardens".into() },
            Follow::Topic { name: "Bread".into() },
        ]
    );
}

#[test]
fn reads_many_pages_each_pin_once_from_zip_or_folder() {
    let pins = PAGE.split_once("<h1 id=y1bkd>").unwrap().1;
    let body = format!("<h1>{pins}");
    let files: [(&str, &[u8]); 4] = [
        ("pins/0001.html", body.as_bytes()),
        ("pins/0002.html", body.as_bytes()),
        ("devices.html", b"<h1>Devices</h1>x<br>"),
        ("style.css", b"a{}"),
    ];
    let entries = read(&files);
    assert_eq!(items(&entries).len(), 2);
    assert!(refused(&entries).contains(&"devices.html"));
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("pins")).unwrap();
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let unpacked: Vec<Entry> = Pinterest::open(folder.path()).unwrap().collect();
    assert_eq!(items(&unpacked), items(&entries));
    let single: Vec<Entry> = Pinterest::open(&folder.path().join("pins/0001.html")).unwrap().collect();
    assert_eq!(items(&single).len(), 2);
}

#[test]
fn reads_records_without_addresses_and_tables() {
    let html = b"<h1>Pins</h1><table><tr><td>Title</td><td>One</td></tr><tr><td>Link</td><td><a href='https://a.example/1'>x</a></td></tr>\
        <tr><td>Title</td><td>Two</td></tr><tr><td>Link</td><td>https://a.example/2.png</td></tr></table>";
    let entries = read(&[("p.html", html)]);
    let pictures: Vec<_> = items(&entries).iter().map(|item| (item.title.clone().unwrap(), item.picture.clone())).collect();
    assert_eq!(
        pictures,
        [
            ("One".into(), PictureSource::Page("https://a.example/1".into())),
            ("Two".into(), PictureSource::Url("https://a.example/2.png".into()))
        ]
    );
}

#[test]
fn reads_json_and_csv() {
    let v5 = br#"{"items":[{"id":"11","title":"Bowl","description":"d","link":"https://a.example/","alt_text":"alt","board_id":"5","created_at":"2020-05-01T12:00:00",
        "media":{"images":{"150x150":{"url":"https://i.example/s.jpg","width":150},"1200x":{"url":"https://i.example/l.jpg","width":1200}}}}]}"#;
    let v3 = br#"[{"id":12,"grid_title":"G","board":{"name":"Red","url":"/a/red/"},"images":{"236x":{"url":"https://i.example/236.jpg","width":236},"orig":{"url":"https://i.example/o.jpg","width":9}},"pinner":{"full_name":"Ann"}}]"#;
    let boards = br#"{"boards":[{"name":"Blue","description":"sky","privacy":"SECRET","pin_count":3,"pins":[{"title":"In it","image_url":"https://i.example/b.jpg"}]}],"following":[{"username":"bob"}]}"#;
    let csv = b"Title,Pin URL,Board,Image URL\nRow,https://www.pinterest.com/pin/77/,Green,https://i.example/g.jpg\n";
    let entries = read(&[
        ("a.json", v5),
        ("b.json", v3),
        ("c.json", boards),
        ("d.csv", csv),
        ("e.json", b"{broken"),
        ("f.json", b"{\"x\":1}"),
        ("g.exe", b"MZ"),
    ]);
    let found: Vec<_> =
        items(&entries).iter().map(|item| (item.title.clone().unwrap(), item.board.clone(), item.picture.clone())).collect();
    let url = |name: &str| PictureSource::Url(format!("https://i.example/{name}.jpg"));
    assert_eq!(
        found,
        [
            ("Bowl".into(), "Pinterest".into(), url("l")),
            ("G".into(), "Red".into(), url("o")),
            ("In it".into(), "Blue".into(), url("b")),
            ("Row".into(), "Green".into(), url("g")),
        ]
    );
    assert_eq!(refused(&entries), ["e.json", "f.json", "g.exe"]);
    assert!(
        entries.iter().any(|entry| matches!(entry, Entry::Board(board) if board.name == "Blue" && board.privacy == Some(Privacy::Secret)))
    );
    assert!(entries.contains(&Entry::Follow(Follow::Person { name: "bob".into(), link: None })));
}

#[test]
fn pictures_inside_the_archive_are_found() {
    let folder = write_zip(&[("pins.json", br#"{"pins":[{"title":"A","image":"img/a.png","board":"B"}]}"#), ("img/a.png", b"\x89PNG")]);
    let entries: Vec<Entry> = Pinterest::open(&folder.path().join("data.zip")).unwrap().collect();
    let picture = &items(&entries)[0].picture;
    assert!(matches!(picture, PictureSource::ZipEntry { name, .. } if name == "img/a.png"));
    assert_eq!(picture.read(4).unwrap().unwrap(), b"\x89PNG");
    assert!(picture.read(3).unwrap().is_err());
}

#[test]
fn hostile_archives_do_no_harm() {
    // Names that would climb out of the folder are only names: nothing is unpacked.
    let entries = read(&[("../../etc/x.html", PAGE.as_bytes()), ("/abs.json", b"[]")]);
    assert_eq!(items(&entries).len(), 2);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.zip");
    let open = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        Pinterest::open(&path).err().map(|error| error.to_string())
    };
    assert!(open(b"PK\x03\x04 broken").unwrap().contains("not a zip archive"));
    assert!(open(b"").unwrap().contains("not a Pinterest archive"));
    assert!(open(b"hello").unwrap().contains("not a Pinterest archive"));
    assert!(Pinterest::open(&folder.path().join("none")).is_err());
    let _ = read(&[(
        "a.html",
        ["<a href='https://www.pinterest.com/pin/1/'>x</a><br>Title: a".repeat(20_000).as_bytes(), b"<td>".repeat(200_000).as_slice()]
            .concat()
            .as_slice(),
    )]);
    let deep = format!("{{\"pins\":{}1{}}}", "[".repeat(120), "]".repeat(120));
    assert_eq!(refused(&read(&[("a.html", PAGE.as_bytes()), ("b.json", deep.as_bytes())])), ["pin 125 (Gone)", "b.json"]);
}

#[test]
fn a_file_that_unpacks_beyond_the_limit_is_named() {
    let folder = write_zip(&[("big.html", &vec![b' '; 3 << 20]), ("small.html", PAGE.as_bytes())]);
    let mut archive = Archive::open(&folder.path().join("data.zip")).unwrap();
    assert_eq!(archive.read("big.html").unwrap().len(), 3 << 20);
    assert!(crate::archive::read_zip_entry(&folder.path().join("data.zip"), "big.html", 1 << 20).is_err());
}
