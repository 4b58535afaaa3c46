//! Imports: folders, bookmarks and tables, twice each.

use app::hydrate::PageRequest;
use app::importing::{ImportOptions, ImportReport};
use app::{BoardCard, Viewer};
use import::{Bookmarks, Folder, Reader, Table};
use model::object::Privacy;
use model::{Pin, User};

use crate::site::{Person, Site};

async fn import(site: &Site, person: &Person, reader: impl Reader + 'static, people_from_author: bool) -> ImportReport {
    site.app.import(ImportOptions { user: person.id, people_from_author }, Box::new(reader), |_| {}).await.unwrap()
}

async fn boards(site: &Site, viewer: &Viewer, owner: model::UserId) -> Vec<BoardCard> {
    let filter = app::boards::BoardFilter::All;
    let mut boards = site.app.boards_of(viewer, owner, filter, &PageRequest::first(50)).await.unwrap().items;
    boards.sort_by(|a, b| a.board.data.name.cmp(&b.board.data.name));
    boards
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_with_sidecars_comes_in_once() {
    let site = Site::start().await;
    let ada = site.person("ada").await;
    let root = site.folder().join("collection");
    std::fs::create_dir_all(root.join("Animals/Cats")).unwrap();
    std::fs::write(root.join("Animals/dog.png"), site.new_picture()).unwrap();
    std::fs::write(root.join("Animals/Cats/tom.png"), site.new_picture()).unwrap();
    let sidecar = r##"{"title": "Tom", "description": "A cat #tabby", "keywords": ["cat"], "author": "Grace Hopper", "url": "https://example.org/tom"}"##;
    std::fs::write(root.join("Animals/Cats/tom.png.json"), sidecar).unwrap();
    std::fs::write(root.join("Animals/broken.png"), b"\x89PNG\r\n\x1a\nnothing more").unwrap();
    std::fs::write(root.join("Animals/page.jpg"), b"<html><script>alert(1)</script></html>").unwrap();
    let report = import(&site, &ada, Folder::open(&root, None).unwrap(), true).await;
    assert_eq!((report.made, report.skipped, report.refused, report.people_made), (2, 0, 2, 1), "{report:?}");
    for name in ["broken.png", "page.jpg"] {
        let named = report.refusals.iter().find(|(what, _)| what.contains(name));
        assert!(named.is_some_and(|(_, why)| !why.is_empty()), "{name} is named: {:?}", report.refusals);
    }
    let again = import(&site, &ada, Folder::open(&root, None).unwrap(), true).await;
    assert_eq!((again.made, again.skipped, again.refused, again.people_made, again.boards_made), (0, 2, 2, 0, 0), "{again:?}");
    site.settle().await;
    let nobody = Viewer::anonymous();
    let adas = boards(&site, &nobody, ada.id).await;
    assert_eq!(adas.iter().map(|card| (card.board.data.name.as_str(), card.pin_count)).collect::<Vec<_>>(), [("Animals", 1)]);
    let grace = site.app.user_named(&nobody, "grace-hopper").await.unwrap();
    let found = site.app.search_pins(&nobody, "tabby", Default::default(), &PageRequest::first(9)).await.unwrap().page.items;
    assert_eq!(found.len(), 1);
    let pin = &found[0].pin.data;
    assert_eq!((pin.title.as_str(), pin.link.as_str(), pin.owner.id()), ("Tom", "https://example.org/tom", grace.id));
    assert!(pin.tags.contains("cat") && pin.section.is_some(), "{pin:?}");
    assert!(grace.data.password_hash.is_empty(), "nobody can sign in as an author");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_deleted_for_ever_comes_in_again() {
    let site = Site::start().await;
    let ada = site.person("ada").await;
    let root = site.folder().join("collection");
    std::fs::create_dir_all(root.join("Animals")).unwrap();
    std::fs::write(root.join("Animals/dog.png"), site.new_picture()).unwrap();
    assert_eq!(import(&site, &ada, Folder::open(&root, None).unwrap(), false).await.made, 1);
    let pins = site.app.storage.scan::<Pin>(None, 10).await.unwrap();
    let pin = model::PinId::try_from(pins[0].id).unwrap();
    let eyes = site.eyes(&ada).await;
    site.app.trash_pin(&eyes, pin).await.unwrap();
    assert_eq!(import(&site, &ada, Folder::open(&root, None).unwrap(), false).await.skipped, 1, "what is in the trash is there");
    site.app.purge_from_trash(&eyes, pin).await.unwrap();
    let again = import(&site, &ada, Folder::open(&root, None).unwrap(), false).await;
    assert_eq!(again.made, 1, "{again:?}");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_imports_at_once_make_nothing_twice() {
    let site = Site::start().await;
    let ada = site.person("ada").await;
    let root = site.folder().join("collection");
    std::fs::create_dir_all(root.join("Animals/Cats")).unwrap();
    for n in 0..12 {
        std::fs::write(root.join(format!("Animals/Cats/{n}.png")), site.new_picture()).unwrap();
    }
    let one = import(&site, &ada, Folder::open(&root, None).unwrap(), false);
    let two = import(&site, &ada, Folder::open(&root, None).unwrap(), false);
    let (one, two) = tokio::join!(one, two);
    let third = import(&site, &ada, Folder::open(&root, None).unwrap(), false).await;
    site.settle().await;
    let pins = site.app.storage.scan::<Pin>(None, 100).await.unwrap();
    assert_eq!(pins.iter().filter(|pin| pin.active).count(), 12, "{one:?} {two:?} {third:?}");
    assert_eq!(one.made + two.made + third.made, 12);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_comes_in_once_and_private_rows_stay_private() {
    let site = Site::start().await;
    let (ada, bob) = (site.person("ada").await, site.person("bob").await);
    let folder = site.folder().join("table");
    std::fs::create_dir_all(&folder).unwrap();
    for name in ["a.png", "b.png"] {
        std::fs::write(folder.join(name), site.new_picture()).unwrap();
    }
    let rows = "title,image,board,private,link\nOne,a.png,Lace,no,https://example.org/1\nTwo,b.png,Lace,yes,\nThree,missing.png,Lace,no,\n";
    std::fs::write(folder.join("pins.csv"), rows).unwrap();
    let report = import(&site, &ada, Table::open(&folder.join("pins.csv")).unwrap(), false).await;
    assert_eq!((report.made, report.refused), (2, 1), "{report:?}");
    assert!(
        report.refusals[0].0.contains("pins.csv") || report.refusals[0].1.contains("missing.png") || report.refusals[0].0.contains("4"),
        "{report:?}"
    );
    let again = import(&site, &ada, Table::open(&folder.join("pins.csv")).unwrap(), false).await;
    assert_eq!((again.made, again.skipped, again.boards_made), (0, 2, 0), "{again:?}");
    site.settle().await;
    let seen = boards(&site, &site.eyes(&bob).await, ada.id).await;
    assert_eq!(seen.iter().map(|card| card.pin_count).collect::<Vec<_>>(), [1], "Bob sees one board with one pin");
    let own = boards(&site, &site.eyes(&ada).await, ada.id).await;
    assert_eq!(own.len(), 2);
    assert!(own.iter().any(|card| card.board.data.privacy == Privacy::Secret && card.pin_count == 1));
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bookmarks_of_this_machine_are_refused_and_say_why() {
    let site = Site::start().await;
    let ada = site.person("ada").await;
    // A page that answers, on an address that no import may reach: this very site.
    let file = site.folder().join("bookmarks.html");
    let html = format!(
        "<!DOCTYPE NETSCAPE-Bookmark-file-1><DL><p><DT><H3>Reading</H3><DL><p><DT><A HREF=\"{}/explore\">Local</A>\
         <DT><A HREF=\"http://169.254.169.254/latest\">Metadata</A><DT><A HREF=\"javascript:alert(1)\">Script</A></DL><p></DL>",
        site.base_url
    );
    std::fs::write(&file, html).unwrap();
    for _ in 0..2 {
        let report = import(&site, &ada, Bookmarks::open(&file).unwrap(), false).await;
        assert_eq!((report.made, report.skipped), (0, 0), "{report:?}");
        assert!(report.refused >= 2, "{report:?}");
        assert!(report.refusals.iter().all(|(what, why)| !what.is_empty() && why.len() > 10 && !why.contains("went wrong")), "{report:?}");
    }
    assert!(site.app.storage.scan::<Pin>(None, 10).await.unwrap().is_empty());
    assert_eq!(site.app.storage.scan::<User>(None, 10).await.unwrap().len(), 1);
    site.finish().await;
}
