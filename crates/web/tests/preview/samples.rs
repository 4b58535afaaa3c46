//! Sample people, pictures, boards and pins, as a site that is in use has them.

use model::object::{Privacy, Theme};
use model::{BoardId, CommentId, Id, NotificationId, PinId, ReportId, SectionId, SessionId, Shard, TakedownId, TokenId, UserId};
use web::view::card::{BoardCard, Cards, PersonCard, PinCard, TopicTile};
use web::view::form::Pressed;
use web::view::page::{Flash, Meta, Nav, Page, ViewerChip};
use web::view::picture::{Person, Picture, RichText, Time};
use web::view::pin::{BoardChoice, BoardRef, Comment, Comments, PinDetail, PinRights, SaveAction, SavePicker, Source};

/// Hash, width, height, colour, title.
const PICTURES: [(&str, u32, u32, &str, &str); 24] = [
    ("garden", 1200, 1600, "#ac6c23", "Evening in the walled garden"),
    ("dune", 1200, 900, "#9b9679", "Dune"),
    ("wood", 1200, 1800, "#d4d8b9", "Split oak, weathered"),
    ("wings", 1200, 1200, "#986b36", "Two wings"),
    ("storm", 1200, 750, "#56657f", "Storm coming over the plain"),
    ("meadow", 1200, 1500, "#70ae38", "Meadow before mowing"),
    ("rain", 1200, 2000, "#569647", "After the rain"),
    ("blinds", 1200, 960, "#5daf0f", ""),
    ("flower", 1200, 1500, "#bd3505", "Fresh flower, early light"),
    ("lady", 1200, 800, "#75894f", "Ladybird on a stem"),
    ("yellow", 1200, 1600, "#cd950a", "Yellow on green: a study in two colours, with a very long title that needs more than two lines"),
    ("leaf", 1200, 900, "#ab6d3d", "Fallen leaf"),
    ("path", 1200, 1800, "#20301d", "The path behind the house"),
    ("autumn", 1200, 1600, "#a5753b", "Autumn"),
    ("water", 1200, 750, "#959582", "By the water"),
    ("cups", 1200, 1200, "#846f86", "Colourful cups"),
    ("kite", 1200, 1600, "#255892", "Kite"),
    ("evening", 1200, 675, "#706761", "Evening glow"),
    ("ripple", 1200, 2000, "#818181", "Cold ripple"),
    ("hills", 1200, 900, "#d2b08c", "Pastel hills"),
    ("aqua", 1200, 1800, "#8eacc4", "Aqua"),
    ("stands", 1200, 1500, "#2f3316", "One stands out"),
    ("shell", 1200, 3600, "#8c58c2", "Shell, very tall"),
    ("honey", 1200, 300, "#675257", "Honeywave, very wide"),
];

const PEOPLE: [(&str, &str); 8] = [
    ("ada", "Ada Lovelace"),
    ("grace.h", "Grace Hopper"),
    ("yuki", "Yuki Tanaka"),
    ("olu", "Oluwaseun Adebayo-Featherstonehaugh"),
    ("marta", "Marta Nowak"),
    ("ines", "Inês <b>Duarte</b>"),
    ("per", "Per Åkesson"),
    ("zoe", "Zoë"),
];

pub const SHARD: Shard = Shard(7);

pub fn pin_id(at: usize) -> PinId {
    PinId::new(SHARD, 1_000 + at as u64)
}

pub fn board_id(at: usize) -> BoardId {
    BoardId::new(SHARD, 100 + at as u64)
}

pub fn section_id(at: usize) -> SectionId {
    SectionId::new(SHARD, 10 + at as u64)
}

pub fn session_id(at: usize) -> SessionId {
    SessionId::new(SHARD, 1 + at as u64)
}

pub fn token_id(at: usize) -> TokenId {
    TokenId::new(SHARD, 1 + at as u64)
}

pub fn report_id(at: usize) -> ReportId {
    ReportId::new(SHARD, 1 + at as u64)
}

pub fn takedown_id(at: usize) -> TakedownId {
    TakedownId::new(SHARD, 1 + at as u64)
}

pub fn notification_id(at: usize) -> NotificationId {
    NotificationId::new(SHARD, 1 + at as u64)
}

pub fn pin_as_id(at: usize) -> Id {
    pin_id(at).id()
}

pub fn person(at: usize) -> Person {
    let (username, name) = PEOPLE[at % PEOPLE.len()];
    Person {
        id: UserId::new(SHARD, 1 + (at % PEOPLE.len()) as u64 * 3),
        username: username.into(),
        name: name.into(),
        picture_url: (at.is_multiple_of(3)).then(|| format!("/media/{}/150x150.jpg", PICTURES[(at + 3) % PICTURES.len()].0)),
    }
}

pub fn picture(at: usize) -> Picture {
    let (hash, width, height, color, title) = PICTURES[at % PICTURES.len()];
    Picture {
        hash: hash.into(),
        extension: "jpg",
        original_extension: "jpg",
        width,
        height,
        color: color.into(),
        alt: if title.is_empty() { "Picture on the board Garden".into() } else { title.into() },
        alpha: false,
        animated: at % 11 == 4,
    }
}

pub fn time(text: &str) -> Time {
    Time { iso: "2026-03-01T12:00:00Z".into(), text: text.into() }
}

pub fn pin_card(at: usize) -> PinCard {
    let has_link = !at.is_multiple_of(3);
    PinCard {
        id: pin_id(at),
        title: PICTURES[at % PICTURES.len()].4.into(),
        picture: picture(at),
        domain: if has_link { "example.org".into() } else { String::new() },
        link: if has_link { "https://example.org/a?b=c&d=e".into() } else { String::new() },
        owner: person(at),
        board: Some(("Garden & field".into(), "/ada/garden-field".into())),
        liked: at % 5 == 1,
        saved_on: (at % 7 == 2).then(|| "Still life".into()),
        why: (at % 6 == 3).then(|| "From a topic you follow".into()),
    }
}

pub fn cards(count: usize) -> Cards {
    Cards { pins: (0..count).map(pin_card).collect(), next_url: Some("/?bookmark=MTIz".into()) }
}

/// Cards of a best-first feed: each says why it is there.
pub fn cards_with_reasons(count: usize) -> Cards {
    let mut cards = cards(count);
    for (at, pin) in cards.pins.iter_mut().enumerate() {
        let whys = ["Because you follow Garden & field", "Popular, and you follow #botany", "Because you often like or save what Ada pins"];
        pin.why = Some(whys[at % whys.len()].into());
    }
    cards
}

pub fn cards_on_board(count: usize) -> Cards {
    let mut cards = cards(count);
    for pin in &mut cards.pins {
        pin.board = None;
    }
    cards
}

const BOARDS: [(&str, Privacy); 7] = [
    ("Garden & field", Privacy::Public),
    ("Still life", Privacy::Public),
    ("Water", Privacy::Public),
    ("Presents for Zoë", Privacy::Secret),
    ("Family, only with the address", Privacy::Protected),
    ("Typography specimens and other letters", Privacy::Public),
    ("Empty so far", Privacy::Public),
];

pub fn board_card(at: usize) -> BoardCard {
    let (name, privacy) = BOARDS[at % BOARDS.len()];
    let covers = match at % BOARDS.len() {
        6 => 0,
        2 => 1,
        4 => 2,
        _ => 3,
    };
    BoardCard {
        id: board_id(at),
        name: name.into(),
        url: format!("/ada/board-{at}"),
        owner: None,
        pin_count: [128, 1, 12, 7, 1_204, 36, 0][at % 7],
        section_count: [3, 0, 0, 1, 0, 0, 0][at % 7],
        covers: (0..covers).map(|offset| picture(at * 3 + offset)).collect(),
        privacy,
        archived: false,
        collaborators: if at == 0 { vec![person(1), person(2)] } else { Vec::new() },
        updated: Some(time("3 days ago")),
        follow: None,
    }
}

pub fn boards(count: usize) -> Vec<BoardCard> {
    (0..count).map(board_card).collect()
}

/// Boards as others see them: with owners and a button to follow.
pub fn boards_of_others(count: usize) -> Vec<BoardCard> {
    let mut boards = boards(count);
    for (at, board) in boards.iter_mut().enumerate() {
        board.owner = Some(person(at + 1));
        board.follow = Some(Pressed::follow("board", board.id, &board.name, at % 2 == 1));
    }
    boards
}

pub fn person_card(at: usize) -> PersonCard {
    let who = person(at);
    PersonCard {
        follow: (at > 0).then(|| Pressed::follow("user", who.id, &who.name, at.is_multiple_of(2))),
        about: if at % 3 == 1 { "Gardens, analytical engines, and the light at six in the morning.".into() } else { String::new() },
        follower_count: 18_432 / (at as u64 + 1),
        pin_count: 1_204,
        pictures: if at % 4 == 3 { Vec::new() } else { (0..3).map(|offset| picture(at * 2 + offset)).collect() },
        why: (at == 2).then(|| "Followed by Grace and 3 others you know".into()),
        person: who,
    }
}

pub fn people(count: usize) -> Vec<PersonCard> {
    (0..count).map(person_card).collect()
}

pub fn topics(count: usize) -> Vec<TopicTile> {
    let tags = ["gardens", "stilllife", "typography", "water", "architecture", "ceramics", "maps", "öl"];
    (0..count)
        .map(|at| TopicTile {
            tag: tags[at % tags.len()].into(),
            pin_count: 320 - at as u64 * 20,
            picture: (at % 5 != 4).then(|| picture(at + 5)),
            follow: Some(Pressed::follow("topic", at, tags[at % tags.len()], at % 3 == 1)),
        })
        .collect()
}

pub fn viewer(theme: Theme) -> ViewerChip {
    ViewerChip { person: person(0), admin: true, unread_notifications: 3, theme, infinite_scroll: true }
}

/// The frame of a page that somebody who is logged in sees.
pub fn page(title: &str, nav: Nav) -> Page {
    Page {
        title: title.into(),
        viewer: Some(viewer(Theme::System)),
        nav,
        path: "/somewhere?a=b&c=d".into(),
        meta: Some(Meta {
            description: "A \"quoted\" description".into(),
            canonical_url: "https://pins.example.org/pin/1".into(),
            image_url: Some("https://pins.example.org/media/garden/1200x.jpg".into()),
        }),
        ..Page::default()
    }
}

/// The same for a stranger.
pub fn stranger(title: &str, nav: Nav) -> Page {
    Page { viewer: None, ..page(title, nav) }
}

pub fn with_messages(mut page: Page) -> Page {
    page.flashes = vec![Flash::done("Moved to trash.").with_undo("/pin/1/restore")];
    page.notices = vec!["Search is away for a moment. Everything else works.".into()];
    page
}

pub fn choices() -> Vec<BoardChoice> {
    (0..7)
        .map(|at| BoardChoice {
            id: board_id(at),
            name: BOARDS[at].0.into(),
            privacy: BOARDS[at].1,
            cover: (at != 6).then(|| picture(at * 3)),
            sections: if at == 0 { vec![(section_id(0), "Roses".into()), (section_id(1), "Tools".into())] } else { Vec::new() },
            owner_name: (at == 4).then(|| "Grace Hopper".into()),
        })
        .collect()
}

pub fn board_ref() -> BoardRef {
    BoardRef {
        name: "Garden & field".into(),
        url: "/ada/garden-field".into(),
        privacy: Privacy::Public,
        section: Some(("Roses".into(), "/ada/garden-field/7".into())),
    }
}

pub fn picker(action: SaveAction) -> SavePicker {
    SavePicker {
        pin: pin_id(0),
        already_on: Some(board_ref()),
        recent: choices().into_iter().take(2).collect(),
        boards: choices(),
        errors: Default::default(),
        action,
    }
}

fn comment(at: usize, replies: Vec<Comment>) -> Comment {
    let texts = [
        "What a light. Is that the one behind @ada's house? #gardens",
        "It is! In May, around seven.",
        "<script>alert(1)</script> & so on https://example.org/x",
        "Lovely.",
    ];
    Comment {
        id: CommentId::new(SHARD, 1 + at as u64),
        pin: pin_id(0),
        author: person(at + 1),
        text: RichText::of(texts[at % texts.len()]),
        at: time("2 hours ago"),
        liked: at == 0,
        like_count: [4, 0, 1, 0][at % 4],
        may_delete: at == 1,
        may_reply: true,
        replies,
        thread: CommentId::new(SHARD, 1 + at as u64),
    }
}

pub fn comments() -> Comments {
    Comments {
        pin: pin_id(0),
        count: 4,
        comments: vec![comment(0, vec![comment(1, Vec::new())]), comment(2, Vec::new()), comment(3, Vec::new())],
        next_url: Some("/pin/1/comments?bookmark=x".into()),
        writer: Some(person(0)),
        refused: None,
    }
}

pub fn pin_detail(at: usize) -> PinDetail {
    PinDetail {
        id: pin_id(at),
        title: PICTURES[at % PICTURES.len()].4.into(),
        description: RichText::of(
            "The last hour of the day, from the bench by the #roses.\nTaken with @grace.h; more at https://example.org/garden?a=1&b=2.",
        ),
        alt_text: "A gravel path between two borders; low sun behind a brick wall.".into(),
        picture: picture(at),
        link: "https://example.org/garden".into(),
        domain: "example.org".into(),
        at: time("3 days ago"),
        owner: person(1),
        owner_follower_count: 18_432,
        follow: Some(Pressed::follow("user", person(1).id, "Grace Hopper", false)),
        board: board_ref(),
        liked: true,
        like_count: 42,
        likers: (2..6).map(person).collect(),
        save_count: 7,
        saved_on: Some(BoardRef { section: None, name: "Still life".into(), ..board_ref() }),
        sources: vec![
            Source { url: "/pin/2".into(), owner: person(2), board: Some(("Light".into(), "/yuki/light".into())) },
            Source { url: "/pin/3".into(), owner: person(4), board: None },
        ],
        share_url: "https://pins.example.org/pin/1".into(),
        rights: PinRights { edit: true, delete: true, comment: true, report: true, take_down: true, cover_of: Some(board_id(0)) },
        hidden: false,
        takedown: None,
    }
}
