//! Boards kept together: invitations, roles on every action, leaving and being removed.

use app::boards::{BoardEdit, BoardFilter};
use app::hydrate::PageRequest;
use app::pins::{PinEdit, PinText};
use app::{Error, Result, Viewer};
use model::object::{BoardOrder, Privacy, Role};
use model::{BoardId, PinId, SectionId};

use crate::site::{Person, Site, at, text};

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Came {
    Done,
    Forbidden,
    NotFound,
}

fn came<T: std::fmt::Debug>(result: Result<T>) -> Came {
    match result {
        Ok(_) => Came::Done,
        Err(Error::Forbidden(_)) => Came::Forbidden,
        Err(Error::NotFound(_)) => Came::NotFound,
        Err(error) => panic!("{error:?}"),
    }
}

/// Tries everything that can be done on a board, from the least right to the most. Leaves the board as it was, as far as it stands.
async fn attempts(
    site: &Site,
    viewer: &Viewer,
    other: &Person,
    board: BoardId,
    of_owner: PinId,
    section: SectionId,
) -> Vec<(&'static str, Came)> {
    let app = &site.app;
    let rename = |name: &str| BoardEdit { name: Some(name.into()), ..BoardEdit::default() };
    let mut tried = vec![("open", came(app.board(viewer, board).await)), ("see a pin", came(app.pin(viewer, of_owner).await))];
    tried.push(("comment", came(app.add_comment(viewer, of_owner, "Seen", None).await)));
    let added = app.pin_upload(viewer, at(board), text("Mine"), site.new_picture()).await;
    let mine = added.as_ref().ok().map(|view| view.id());
    tried.push(("add", came(added)));
    if let Some(mine) = mine {
        tried.push(("edit one's own", came(app.edit_pin(viewer, mine, PinEdit { title: Some("M".into()), ..PinEdit::default() }).await)));
        tried.push(("delete one's own", came(app.trash_pin(viewer, mine).await)));
    }
    let title = Some("Changed".into());
    tried.push(("edit another's pin", came(app.edit_pin(viewer, of_owner, PinEdit { title, ..PinEdit::default() }).await)));
    tried.push(("make a section", came(app.create_section(viewer, board, &format!("S {}", site.now().0)).await)));
    tried.push(("rename a section", came(app.rename_section(viewer, section, "Renamed").await)));
    tried.push(("order a section", came(app.place_section(viewer, board, section, None).await)));
    tried.push(("order pins", came(app.place_pin(viewer, board, of_owner, None).await)));
    tried.push(("choose the order", came(app.set_order(viewer, board, BoardOrder::ByTime).await)));
    tried.push(("rename", came(app.edit_board(viewer, board, rename(&format!("Kept together {}", site.now().0))).await)));
    let archive = BoardEdit { archived: Some(false), ..BoardEdit::default() };
    tried.push(("archive", came(app.edit_board(viewer, board, archive).await)));
    let privacy = app.fresh::<model::Board>(board).await.unwrap().unwrap().data.privacy;
    let edit = BoardEdit { privacy: Some(privacy), ..BoardEdit::default() };
    tried.push(("change who sees it", came(app.edit_board(viewer, board, edit).await)));
    tried.push(("invite", came(app.invite(viewer, board, other.id, Role::View).await)));
    tried.push(("remove", came(app.remove_collaborator(viewer, board, other.id).await)));
    tried
}

/// What a role may do: everything up to its last word.
fn expected(role: Option<Role>, privacy: Privacy, tried: &[(&'static str, Came)]) -> Vec<(&'static str, Came)> {
    let no = if privacy == Privacy::Secret && role.is_none() { Came::NotFound } else { Came::Forbidden };
    let opens = privacy != Privacy::Secret || role.is_some();
    let may = |what: &str| match what {
        "open" | "see a pin" | "comment" => opens,
        "add" | "edit one's own" | "delete one's own" => role >= Some(Role::Add),
        "archive" | "change who sees it" | "invite" | "remove" => role == Some(Role::Owner),
        _ => role >= Some(Role::Edit),
    };
    tried.iter().map(|(what, _)| (*what, if may(what) { Came::Done } else { no })).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_role_may_what_it_says() {
    for privacy in [Privacy::Public, Privacy::Secret] {
        let site = Site::start().await;
        let (ada, bob, eve) = (site.person("ada").await, site.person("bob").await, site.person("eve").await);
        let adas = site.eyes(&ada).await;
        let board = site.board(&ada, "Kept together", privacy).await;
        let pin = site.pin(&ada, board, "Ada's").await;
        let section = SectionId::try_from(site.app.create_section(&adas, board, "Part").await.unwrap().id).unwrap();
        let bobs = site.eyes(&bob).await;
        for role in [None, Some(Role::View), Some(Role::Add), Some(Role::Edit)] {
            if let Some(role) = role {
                site.app.invite(&adas, board, bob.id, role).await.unwrap();
                if role == Role::View {
                    let invited = attempts(&site, &bobs, &eve, board, pin, section).await;
                    assert_eq!(invited, expected(None, privacy, &invited), "{privacy:?}: invited is not yet in");
                    site.app.accept_invitation(&bobs, board).await.unwrap();
                }
            }
            let tried = attempts(&site, &bobs, &eve, board, pin, section).await;
            assert_eq!(tried, expected(role, privacy, &tried), "{privacy:?} {role:?}");
            // Moving one's pin there is adding, too; taking another's away is editing.
            site.settle().await;
        }
        assert!(matches!(site.app.delete_board(&bobs, board).await, Err(Error::Forbidden(_))));
        assert!(matches!(site.app.invite(&adas, board, eve.id, Role::Owner).await, Err(Error::Invalid(_))));
        // Removed: at once, as a stranger.
        let bobs_pin = site.pin(&bob, board, "Bob's").await;
        site.app.remove_collaborator(&adas, board, bob.id).await.unwrap();
        let tried = attempts(&site, &bobs, &eve, board, pin, section).await;
        assert_eq!(tried, expected(None, privacy, &tried), "{privacy:?} removed");
        assert!(site.board_pins(&ada, board).await.contains(&bobs_pin), "what he added stays");
        site.settle().await;
        let mut page = site.browser(&bob);
        let status = if privacy == Privacy::Secret { 404 } else { 200 };
        assert_eq!(page.get(&format!("/pin/{pin}")).status, status);
        site.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_board_is_there_for_who_is_on_it() {
    let site = Site::start().await;
    let (ada, bob, eve) = (site.person("ada").await, site.person("bob").await, site.person("eve").await);
    let adas = site.eyes(&ada).await;
    let board = site.board(&ada, "The zanzibarite vault", Privacy::Secret).await;
    let words = PinText { title: "zanzibarite one".into(), ..PinText::default() };
    let pin = site.pin_text(&ada, board, words).await;
    site.app.invite(&adas, board, bob.id, Role::View).await.unwrap();
    site.settle().await;
    let found = |person: Person| {
        let site = &site;
        async move {
            let viewer = site.eyes(&person).await;
            let first = PageRequest::first(20);
            let pins = site.app.search_pins(&viewer, "zanzibarite", Default::default(), &first).await.unwrap().page.items.len();
            let boards = site.app.search_boards(&viewer, "zanzibarite", Default::default(), &first).await.unwrap().page.items.len();
            let on_adas = site.app.boards_of(&viewer, ada_id(site).await, BoardFilter::All, &first).await.unwrap().items.len();
            let own = site.app.boards_of(&viewer, person.id, BoardFilter::All, &first).await.unwrap().items.len();
            (pins, boards, on_adas, own)
        }
    };
    async fn ada_id(site: &Site) -> model::UserId {
        model::UserId::try_from(site.app.user_named(&Viewer::anonymous(), "ada").await.unwrap().id).unwrap()
    }
    assert_eq!(found(ada.clone()).await, (1, 1, 1, 1));
    assert_eq!(found(bob.clone()).await, (0, 0, 0, 0), "invited, not yet in");
    assert_eq!(site.app.invitations(&site.eyes(&bob).await).await.unwrap().len(), 1);
    site.app.accept_invitation(&site.eyes(&bob).await, board).await.unwrap();
    assert!(site.app.pin(&site.eyes(&bob).await, pin).await.is_ok(), "at once");
    site.settle().await;
    assert_eq!(found(bob.clone()).await, (1, 1, 1, 1));
    assert_eq!(found(eve.clone()).await, (0, 0, 0, 0));
    // On Bob's own profile Eve must not see that he is on it.
    let profile = site.app.profile(&site.eyes(&eve).await, bob.id).await.unwrap();
    assert_eq!((profile.board_count, profile.pin_count), (0, 0));
    let refused = site.app.remove_collaborator(&site.eyes(&eve).await, board, eve.id).await.unwrap_err();
    let missing = site.app.remove_collaborator(&site.eyes(&eve).await, BoardId::new(model::Shard(3), 9), eve.id).await.unwrap_err();
    assert_eq!(refused.to_string(), missing.to_string(), "a secret board and none are not told apart");

    site.app.remove_collaborator(&site.eyes(&bob).await, board, bob.id).await.unwrap();
    assert!(matches!(site.app.pin(&site.eyes(&bob).await, pin).await, Err(Error::NotFound(_))), "who left is out at once");
    site.settle().await;
    assert_eq!(found(bob.clone()).await, (0, 0, 0, 0));
    // Declining is leaving before it began.
    site.app.invite(&adas, board, bob.id, Role::Edit).await.unwrap();
    site.app.remove_collaborator(&site.eyes(&bob).await, board, bob.id).await.unwrap();
    assert_eq!(site.app.invitations(&site.eyes(&bob).await).await.unwrap().len(), 0);
    assert!(matches!(site.app.accept_invitation(&site.eyes(&bob).await, board).await, Err(Error::NotFound(_))));
    site.finish().await;
}
