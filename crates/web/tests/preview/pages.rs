//! Every page of the site, in the states that look different.

use model::Invalid;
use model::legal::TakedownReason;
use model::object::{BoardOrder, HomeOrder, Privacy, Role, Scope, Theme};
use web::view::FormErrors;
use web::view::auth::{Forgot, LogIn, Reset, SignUp};
use web::view::board::{BoardHeader, BoardPage, BoardRights, Organise, OrganisePin, SectionRef, SectionTile};
use web::view::board_edit::{BoardForm, CollaboratorRow, Collaborators, DeleteBoard, MergeBoard, SectionForm};
use web::view::card::{BoardCards, Cards, PersonCards};
use web::view::create::{Create, CreateFromUrl, FoundPicture, FoundPictures};
use web::view::error::{ErrorPage, Offline};
use web::view::explore::{Explore, ExploreTab, Topic, Topics};
use web::view::form::Pressed;
use web::view::home::{Home, Landing, Suggestions};
use web::view::notifications::{Invitation, NotificationGroup, NotificationList, Notifications};
use web::view::page::{Nav, Page};
use web::view::picture::RichText;
use web::view::pin::{Comments, PinPage, PinRights, PinTakedown, SaveAction, SavePage};
use web::view::pin_edit::EditPin;
use web::view::profile::{Profile, ProfileContent, ProfileHeader, ProfileTab};
use web::view::report::ReportForm;
use web::view::search::{Guide, Results, Search};
use web::view::settings::{
    SessionRow, SettingsAccount, SettingsBlocked, SettingsDelete, SettingsPreferences, SettingsProfile, SettingsSessions, SettingsTokens,
    TokenRow,
};
use web::view::trash::{Trash, TrashedPin};

use crate::samples::{
    board_id, board_ref, boards, boards_of_others, cards, cards_on_board, cards_with_reasons, choices, comments, page, people, person,
    picker, picture, pin_as_id, pin_detail, pin_id, section_id, session_id, stranger, takedown_id, time, token_id, topics, viewer,
    with_messages,
};
use crate::{Rendered, fragment, shown};

mod admin;
mod legal;

pub fn all() -> Vec<Rendered> {
    let mut all = Vec::new();
    front(&mut all);
    finding(&mut all);
    pins(&mut all);
    making(&mut all);
    board_pages(&mut all);
    profiles(&mut all);
    personal(&mut all);
    settings(&mut all);
    admin::pages(&mut all);
    legal::pages(&mut all);
    fragments(&mut all);
    all
}

fn wrong(field: &'static str, message: &str) -> FormErrors {
    FormErrors(vec![Invalid::new(field, message)])
}

fn front(all: &mut Vec<Rendered>) {
    let nobody = || stranger("Log in", Nav::Elsewhere);
    all.push(shown("landing", Landing { page: stranger("", Nav::Home), about: String::new(), cards: cards(25) }));
    let home = |page, order, cards, suggestions| Home { page, order, cards, suggestions };
    all.push(shown("home", home(with_messages(page("", Nav::Home)), HomeOrder::Newest, cards(25), Suggestions::default())));
    all.push(shown("home_best_first", home(page("", Nav::Home), HomeOrder::Best, cards_with_reasons(25), Suggestions::default())));
    let suggestions = Suggestions { people: people(4), topics: topics(5), boards: boards_of_others(4) };
    all.push(shown("home_empty", home(page("", Nav::Home), HomeOrder::Newest, Cards::default(), suggestions)));
    let mut dark = page("", Nav::Home);
    dark.viewer = Some(viewer(Theme::Dark));
    all.push(shown("home_dark_chosen", home(dark, HomeOrder::Best, cards_with_reasons(25), Suggestions::default())));
    let sign_up =
        SignUp { page: nobody(), username: String::new(), email: String::new(), errors: FormErrors::none(), first: true, closed: false };
    let mut refused = sign_up.clone();
    refused.first = false;
    refused.username = "a\"b".into();
    refused.errors = FormErrors(vec![Invalid::new("username", "This name is taken."), Invalid::new("", "Something else is wrong.")]);
    all.push(shown("sign_up_closed", SignUp { closed: true, ..sign_up.clone() }));
    all.push(shown("sign_up", sign_up));
    all.push(shown("sign_up_refused", refused));
    let errors = wrong("", "User name and password don't belong together.");
    all.push(shown("log_in", LogIn { page: nobody(), login: "ada".into(), next: "/".into(), errors }));
    let forgot = Forgot { page: nobody(), email: String::new(), errors: FormErrors::none(), sent: false };
    all.push(shown("forgot_sent", Forgot { sent: true, ..forgot.clone() }));
    all.push(shown("forgot", forgot));
    let reset = Reset { page: nobody(), secret: "s".into(), errors: FormErrors::none(), expired: false };
    all.push(shown("reset_expired", Reset { expired: true, ..reset.clone() }));
    all.push(shown("reset", reset));
    for (name, status) in [
        ("error_400", 400),
        ("error_403", 403),
        ("error_404", 404),
        ("error_409", 409),
        ("error_429", 429),
        ("error_500", 500),
        ("error_503", 503),
    ] {
        let request_id = if status == 500 { "01J9Z3K7Q2".into() } else { String::new() };
        all.push(shown(
            name,
            ErrorPage { page: stranger("Something is in the way", Nav::Elsewhere), status, message: String::new(), request_id },
        ));
    }
    all.push(shown("offline", Offline { page: stranger("Offline", Nav::Elsewhere) }));
}

fn finding(all: &mut Vec<Rendered>) {
    let explore = Explore { page: page("Explore", Nav::Explore), tab: ExploreTab::Newest, cards: cards(25) };
    all.push(shown("explore", explore.clone()));
    all.push(shown("explore_empty", Explore { tab: ExploreTab::Popular, cards: Cards::default(), ..explore }));
    all.push(shown("topics", Topics { page: page("Topics", Nav::Explore), followed: topics(3), topics: topics(8) }));
    let topic = Topic {
        page: page("#gardens", Nav::Explore),
        tag: "gardens".into(),
        pin_count: 320,
        follower_count: 1_204,
        follow: Pressed::follow("topic", 9, "gardens", true),
        related: vec!["roses".into(), "tools".into(), "öl".into()],
        cards: cards(14),
    };
    all.push(shown("topic", topic.clone()));
    all.push(shown("topic_empty", Topic { cards: Cards::default(), ..topic }));
    let mut frame = page("Search", Nav::Explore);
    frame.query = "still life \"x\"".into();
    let guides =
        ["fruit", "flowers", "dutch", "kitchen"].map(|word| Guide { text: word.into(), url: format!("/search?q={word}") }).to_vec();
    let search = Search {
        page: frame,
        results: Results::Pins(cards(20)),
        notes: vec!["Showing results for “still life”.".into()],
        guides,
        trending: Vec::new(),
    };
    all.push(shown("search", search.clone()));
    let found = BoardCards { boards: boards_of_others(6), next_url: Some("/search?x".into()), order_url: None };
    all.push(shown("search_boards", Search { results: Results::Boards(found), ..search.clone() }));
    all.push(shown(
        "search_people",
        Search { results: Results::People(PersonCards { people: people(7), next_url: None }), ..search.clone() },
    ));
    all.push(shown(
        "search_nothing",
        Search { results: Results::Pins(Cards::default()), notes: Vec::new(), guides: Vec::new(), ..search.clone() },
    ));
    let trending = vec!["gardens".into(), "still life".into(), "maps".into()];
    all.push(shown(
        "search_start",
        Search { page: page("Search", Nav::Explore), trending, results: Results::Pins(Cards::default()), ..search },
    ));
}

fn pins(all: &mut Vec<Rendered>) {
    let whole =
        PinPage { page: page("Evening in the walled garden", Nav::Elsewhere), pin: pin_detail(0), comments: comments(), more: cards(12) };
    all.push(shown("pin", whole.clone()));
    let mut bare = pin_detail(17);
    bare.title.clear();
    bare.description = RichText::default();
    bare.alt_text.clear();
    bare.link.clear();
    bare.domain.clear();
    bare.follow = None;
    bare.saved_on = None;
    bare.sources.clear();
    bare.likers.clear();
    (bare.liked, bare.like_count, bare.save_count, bare.hidden) = (false, 0, 0, true);
    bare.rights = PinRights::default();
    bare.takedown = Some(PinTakedown { id: takedown_id(0), reason: TakedownReason::Copyright, own: true, can_appeal: true });
    let none = Comments { pin: pin_id(17), count: 0, comments: Vec::new(), next_url: None, writer: None, refused: None };
    all.push(shown("pin_bare", PinPage { page: stranger("Pin", Nav::Elsewhere), pin: bare, comments: none, more: Cards::default() }));
    let mut refused = comments();
    refused.refused = Some(("What I <wrote>".into(), "A comment has at most 500 characters.".into()));
    all.push(shown("pin_tall", PinPage { pin: pin_detail(22), comments: refused, ..whole }));
    for (name, action) in [("save_pin", SaveAction::Save), ("move_pin", SaveAction::Move), ("copy_pin", SaveAction::Copy)] {
        all.push(shown(
            name,
            SavePage { page: page("Save", Nav::Elsewhere), title: "Two wings".into(), picture: picture(3), picker: picker(action) },
        ));
    }
    let edit = EditPin {
        page: page("Edit pin", Nav::Elsewhere),
        id: pin_id(0),
        picture: picture(0),
        title: "Evening".into(),
        description: "First line\n#roses".into(),
        alt_text: String::new(),
        link: "ftp://x".into(),
        board: board_id(0),
        section: Some(section_id(1)),
        boards: choices(),
        errors: wrong("link", "A link starts with http:// or https:// and names a site, like https://example.org/page."),
    };
    all.push(shown("edit_pin", edit));
}

fn making(all: &mut Vec<Rendered>) {
    let create = Create {
        page: page("Create pins", Nav::Create),
        boards: choices(),
        board: Some(board_id(1)),
        file_bytes_max: 20_000_000,
        refused: Vec::new(),
        errors: FormErrors::none(),
    };
    let refused = vec![("holiday.heic".into(), "This is no JPEG, PNG, GIF or WebP.".into())];
    all.push(shown("create_first", Create { boards: Vec::new(), board: None, refused, ..create.clone() }));
    all.push(shown("create", create));
    let found = FoundPictures {
        url: "https://example.org/garden".into(),
        domain: "example.org".into(),
        title: "The walled garden".into(),
        description: "A \"page\" about it".into(),
        pictures: (0..7)
            .map(|at| FoundPicture {
                url: format!("https://example.org/{at}.jpg"),
                preview_url: format!("/media/{}/600x.jpg", picture(at).hash),
                width: picture(at).width,
                height: picture(at).height,
                alt: if at == 1 { "A dune".into() } else { String::new() },
            })
            .collect(),
        boards: choices(),
        board: None,
    };
    let from_url =
        CreateFromUrl { page: page("Pin from a web page", Nav::Create), url: String::new(), errors: FormErrors::none(), found: None };
    all.push(fragment("fragment_found", found.clone()));
    all.push(shown("from_url_found", CreateFromUrl { url: "https://example.org/garden".into(), found: Some(found), ..from_url.clone() }));
    all.push(shown(
        "from_url",
        CreateFromUrl { errors: wrong("url", "This address can't be reached."), url: "https://nowhere.invalid".into(), ..from_url },
    ));
}

fn header(rights: BoardRights) -> BoardHeader {
    BoardHeader {
        id: board_id(0),
        name: "Garden & field".into(),
        url: "/ada/garden-field".into(),
        description: RichText::of("Borders, hedges and what grows between. #gardens"),
        privacy: Privacy::Public,
        archived: false,
        order: BoardOrder::ByTime,
        owner: person(0),
        collaborators: vec![person(1), person(2)],
        pin_count: 128,
        follower_count: 42,
        follow: None,
        leave_out: None,
        rights,
    }
}

fn tiles() -> Vec<SectionTile> {
    [("Roses", 12), ("Tools", 1), ("Empty yet", 0)]
        .iter()
        .enumerate()
        .map(|(at, (name, pin_count))| SectionTile {
            id: section_id(at),
            name: (*name).into(),
            url: format!("/ada/garden-field/{at}"),
            pin_count: *pin_count,
            covers: (0..(*pin_count).min(3) as usize).map(|offset| picture(at * 4 + offset)).collect(),
        })
        .collect()
}

fn board_pages(all: &mut Vec<Rendered>) {
    let owner = BoardRights { add: true, edit: true, own: true, leave: false, report: false };
    let own = BoardPage {
        page: page("Garden & field", Nav::Profile),
        board: header(owner),
        section: None,
        sections: tiles(),
        cards: cards_on_board(16),
    };
    let section = SectionRef { id: section_id(0), name: "Roses".into(), url: "/ada/garden-field/7".into(), pin_count: 12 };
    all.push(shown(
        "board_section",
        BoardPage { section: Some(section.clone()), sections: Vec::new(), cards: cards_on_board(12), ..own.clone() },
    ));
    let mut secret = header(owner);
    (secret.privacy, secret.archived, secret.pin_count, secret.follower_count) = (Privacy::Secret, true, 0, 0);
    secret.collaborators.clear();
    all.push(shown("board_empty", BoardPage { board: secret, sections: Vec::new(), cards: Cards::default(), ..own.clone() }));
    let mut foreign = header(BoardRights { report: true, leave: true, ..BoardRights::default() });
    foreign.follow = Some(Pressed::follow("board", board_id(0), "Garden & field", true));
    foreign.leave_out = Some(Pressed::leave_out(board_id(0), "Garden & field", false));
    all.push(shown("board_foreign", BoardPage { page: page("Garden & field", Nav::Elsewhere), board: foreign, ..own.clone() }));
    all.push(shown("board", own));
    let organise = Organise {
        page: page("Organise", Nav::Profile),
        board: header(owner),
        section: None,
        pins: (0..20).map(|at| OrganisePin { id: pin_id(at), title: picture(at).alt, picture: picture(at) }).collect(),
        next_url: Some("?organise=1&bookmark=x".into()),
        order_url: "/board/1/order".into(),
        sections: tiles(),
        sections_order_url: "/board/1/sections/order".into(),
        boards: choices(),
    };
    all.push(shown("organise", organise.clone()));
    let mut by_hand = header(owner);
    by_hand.order = BoardOrder::ByHand;
    all.push(shown(
        "organise_section",
        Organise { board: by_hand, section: Some(section), sections: Vec::new(), next_url: None, ..organise },
    ));
    let form = BoardForm {
        page: page("New board", Nav::Elsewhere),
        id: None,
        back_url: "/ada".into(),
        name: String::new(),
        description: String::new(),
        privacy: Privacy::Public,
        errors: FormErrors::none(),
    };
    all.push(shown("board_new", form.clone()));
    let errors = wrong("name", "You have a board of this name already.");
    all.push(shown("board_edit", BoardForm { id: Some(board_id(0)), name: "Garden".into(), privacy: Privacy::Secret, errors, ..form }));
    let part = SectionForm {
        page: page("New section", Nav::Elsewhere),
        board: board_id(0),
        board_name: "Garden & field".into(),
        back_url: "/ada/garden-field".into(),
        id: None,
        name: String::new(),
        errors: FormErrors::none(),
    };
    all.push(shown("section_new", part.clone()));
    all.push(shown("section_edit", SectionForm { id: Some(section_id(0)), name: "Roses".into(), ..part }));
    let row = |at, role, accepted| CollaboratorRow { person: person(at), role, accepted, since: time("3 days ago") };
    let collaborators = Collaborators {
        page: page("Collaborators", Nav::Elsewhere),
        board: board_id(0),
        board_name: "Garden & field".into(),
        board_url: "/ada/garden-field".into(),
        owner: person(0),
        people: vec![row(1, Role::Edit, true), row(2, Role::Add, false)],
        login: "@nobody".into(),
        errors: wrong("login", "There is nobody of this name."),
    };
    all.push(shown("collaborators", collaborators));
    let targets = choices().into_iter().map(|choice| (choice.id, choice.name)).collect();
    let merge = MergeBoard {
        page: page("Merge", Nav::Elsewhere),
        board: board_id(0),
        board_name: "Garden & field".into(),
        board_url: "/ada/garden-field".into(),
        pin_count: 128,
        targets,
        errors: FormErrors::none(),
    };
    all.push(shown("merge", merge));
    let delete = DeleteBoard {
        page: page("Delete", Nav::Elsewhere),
        board: board_id(0),
        board_name: "Garden & field".into(),
        board_url: "/ada/garden-field".into(),
        pin_count: 128,
    };
    all.push(shown("board_delete", delete));
}

fn profiles(all: &mut Vec<Rendered>) {
    let header = ProfileHeader {
        person: person(0),
        about: RichText::of("Gardens, analytical engines, and the light at six in the morning. #gardens"),
        website: "https://example.org".into(),
        website_domain: "example.org".into(),
        follower_count: 18_432,
        following_count: 212,
        pin_count: 1_204,
        board_count: 7,
        like_count: 86,
        follow: None,
        is_own: true,
        follows_viewer: false,
        blocked: false,
        muted: false,
        may_block: false,
        suspended: false,
    };
    let mut archived = boards(1);
    archived[0].archived = true;
    let list = BoardCards { boards: boards(7), next_url: None, order_url: Some("/boards/order".into()) };
    let own = Profile {
        page: page("Ada", Nav::Profile),
        header,
        tab: ProfileTab::Boards,
        content: ProfileContent::Boards { boards: list, archived },
    };
    all.push(shown("profile", own.clone()));
    all.push(shown("profile_pins", Profile { tab: ProfileTab::Pins, content: ProfileContent::Pins(cards(18)), ..own.clone() }));
    all.push(shown(
        "profile_likes_empty",
        Profile { tab: ProfileTab::Likes, content: ProfileContent::Pins(Cards::default()), ..own.clone() },
    ));
    let followers = PersonCards { people: people(8), next_url: Some("/ada/followers?bookmark=x".into()) };
    all.push(shown("profile_followers", Profile { tab: ProfileTab::Followers, content: ProfileContent::People(followers), ..own.clone() }));
    let mut other = own.header.clone();
    other.person = person(1);
    (other.is_own, other.follows_viewer, other.may_block) = (false, true, true);
    other.follow = Some(Pressed::follow("user", other.person.id, "Grace Hopper", true));
    let content = ProfileContent::Boards { boards: BoardCards { boards: boards(3), ..BoardCards::default() }, archived: Vec::new() };
    let foreign = Profile { page: page("Grace", Nav::Elsewhere), header: other, tab: ProfileTab::Boards, content };
    let mut blocked = foreign.clone();
    (blocked.header.blocked, blocked.header.follow) = (true, None);
    all.push(shown("profile_foreign", foreign));
    all.push(shown("profile_blocked", blocked));
}

fn personal(all: &mut Vec<Rendered>) {
    let group = |unread, at: usize, verb: &str, icon, quote: Option<&str>| NotificationGroup {
        unread,
        people: (at..at + 1 + at % 3).map(person).collect(),
        other_count: if at == 2 { 12 } else { 0 },
        verb: verb.into(),
        subject: (at != 3).then(|| ("Evening in the walled garden".into(), "/pin/1".into())),
        quote: quote.map(str::to_owned),
        picture: (at != 3).then(|| picture(at)),
        url: "/pin/1".into(),
        icon,
        at: time("2 hours ago"),
    };
    let groups = vec![
        group(true, 1, "liked", "heart", None),
        group(true, 2, "saved", "save", None),
        group(false, 3, "followed you", "person", None),
        group(false, 4, "wrote about", "comment", Some("What a light. Is that the one behind the house?")),
        group(false, 5, "mentioned you on", "at", None),
    ];
    let invitation = Invitation {
        board: board_id(1),
        board_name: "Light".into(),
        board_url: "/yuki/light".into(),
        from: person(2),
        allows: "add pins to".into(),
        at: time("yesterday"),
    };
    let list = NotificationList { groups, next_url: Some("/notifications?bookmark=x".into()) };
    all.push(fragment("fragment_notifications", list.clone()));
    all.push(shown(
        "notifications",
        Notifications { page: page("Notifications", Nav::Notifications), list, invitations: vec![invitation] },
    ));
    let empty =
        Notifications { page: page("Notifications", Nav::Notifications), list: NotificationList::default(), invitations: Vec::new() };
    all.push(shown("notifications_empty", empty));
    let pins = (0..7)
        .map(|at| TrashedPin {
            id: pin_id(at),
            title: if at == 2 { String::new() } else { picture(at).alt },
            picture: picture(at),
            board_name: "Garden & field".into(),
            purged: time("in 12 days"),
            restore_to: Vec::new(),
        })
        .collect();
    all.push(shown("trash", Trash { page: page("Trash", Nav::Elsewhere), pins, next_url: Some("/trash?bookmark=x".into()) }));
    all.push(shown("trash_empty", Trash { page: page("Trash", Nav::Elsewhere), pins: Vec::new(), next_url: None }));
    let report = ReportForm {
        page: page("Report", Nav::Elsewhere),
        subject: pin_as_id(0),
        subject_text: "the pin “Two wings” by Grace".into(),
        back_url: "/pin/1".into(),
        reason: "spam".into(),
        note: String::new(),
        errors: FormErrors::none(),
        sent: false,
    };
    all.push(shown("report_sent", ReportForm { sent: true, ..report.clone() }));
    all.push(shown("report", report));
}

fn settings(all: &mut Vec<Rendered>) {
    let frame = || -> Page { page("Settings", Nav::Elsewhere) };
    let none = FormErrors::none;
    let profile = SettingsProfile {
        page: frame(),
        person: person(0),
        name: "Ada Lovelace".into(),
        about: "Gardens.".into(),
        website: "https://example.org".into(),
        errors: wrong("picture", "This picture is broken; choose another one."),
    };
    all.push(shown("settings_profile", profile));
    let errors = wrong("current_password", "This is not your password.");
    all.push(shown("settings_account", SettingsAccount { page: frame(), username: "ada".into(), email: "ada@example.org".into(), errors }));
    let preferences = SettingsPreferences {
        page: frame(),
        theme: Theme::Dark,
        infinite_scroll: true,
        mail_notifications: false,
        discoverable: true,
        home_order: HomeOrder::Best,
    };
    all.push(shown("settings_preferences", preferences));
    let sessions = ["Firefox on Linux", "Chrome on Android"].iter().enumerate();
    let sessions = sessions.map(|(at, device)| SessionRow {
        id: session_id(at),
        device: (*device).into(),
        address: "192.0.2.7".into(),
        last_seen: time("now"),
        current: at == 0,
    });
    all.push(shown("settings_sessions", SettingsSessions { page: frame(), sessions: sessions.collect() }));
    let tokens = vec![
        TokenRow {
            id: token_id(0),
            name: "Backup".into(),
            scopes: Scope::ALL[..3].to_vec(),
            made: time("last week"),
            last_used: Some(time("an hour ago")),
        },
        TokenRow { id: token_id(1), name: "Camera".into(), scopes: vec![Scope::PinsWrite], made: time("today"), last_used: None },
    ];
    let made = Some("cork_9f3kQm2Xr7TbVdLpYhNwZ4sEaJ6uGc8D".into());
    all.push(shown(
        "settings_tokens",
        SettingsTokens { page: frame(), tokens, made, name: String::new(), errors: wrong("scope", "Choose at least one.") },
    ));
    all.push(shown("settings_blocked", SettingsBlocked { page: frame(), blocked: vec![person(3), person(5)], muted: Vec::new() }));
    let export = Some(("/settings/export/1".into(), time("yesterday")));
    all.push(shown("settings_delete", SettingsDelete { page: frame(), export, export_running: false, errors: none() }));
}

fn fragments(all: &mut Vec<Rendered>) {
    all.push(fragment("fragment_cards", cards(25)));
    all.push(fragment("fragment_picker", picker(SaveAction::Save)));
    all.push(fragment("fragment_comments", comments()));
    all.push(fragment("fragment_people", PersonCards { people: people(3), next_url: None }));
    all.push(fragment("fragment_boards", BoardCards { boards: boards(3), next_url: None, order_url: None }));
    let mut first = picker(SaveAction::Save);
    (first.already_on, first.recent, first.boards) = (Some(board_ref()), Vec::new(), Vec::new());
    first.errors = wrong("board_name", "Give the board a name.");
    all.push(fragment("fragment_picker_first", first));
}
