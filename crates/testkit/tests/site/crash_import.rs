//! Kills an import at chance moments, runs it again, and looks: every picture is there exactly once, whatever was cut short.

use std::{collections::BTreeSet, fs, path::Path, process::Stdio, thread, time::Duration};

use testkit::{Person, Random, Site, person, picture};

const BOARDS: usize = 4;
const SECTIONS: usize = 2;
/// Of each board, and of each section.
const PICTURES: usize = 15;
const KILLS: usize = 5;
/// An import runs between these before the kill.
const RUN_MS: std::ops::Range<u64> = 50..1_200;

#[test]
fn an_import_that_was_killed_is_taken_up() -> anyhow::Result<()> {
    let mut random = Random::from_environment("crash_import");
    let mut site = Site::start()?;
    let mut person = Person::create(&site, "importer")?;
    let pictures = tempfile::tempdir()?;
    let titles = write_tree(pictures.path())?;
    let folder = pictures.path().to_string_lossy().into_owned();
    let arguments = ["import", "folder", &folder, "--user", "importer"];
    for kill in 0..KILLS {
        // Beside the running site and without it: both are ways in which people import.
        let is_beside = kill % 2 == 0;
        if !is_beside {
            site.terminate()?;
        }
        let mut command = site.command(&arguments);
        let mut import = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let lasting = Duration::from_millis(RUN_MS.start + random.below(RUN_MS.end - RUN_MS.start));
        thread::sleep(lasting); // not a wait for a state: the moment of the kill is left to chance
        import.kill()?;
        import.wait()?;
        println!("kill {kill}: after {lasting:?}, {}", if is_beside { "beside the site" } else { "alone" });
        if !is_beside {
            site.restart()?;
            person.set_base_url(site.base_url());
        }
        check(&mut person, &titles, false)?;
    }
    let report = person::run_with_input(&mut site.command(&arguments), "")?;
    println!("{report}");
    check(&mut person, &titles, true)?;
    let report = person::run_with_input(&mut site.command(&arguments), "")?;
    println!("{report}");
    check(&mut person, &titles, true)?;
    person::run_with_input(&mut site.command(&["doctor"]), "")?;
    Ok(())
}

/// Writes folders, sub-folders and pictures; gives the titles that the pins will have.
fn write_tree(root: &Path) -> anyhow::Result<BTreeSet<String>> {
    let mut titles = BTreeSet::new();
    for board in 0..BOARDS {
        let mut folders = vec![root.join(format!("Board {board}"))];
        folders.extend((0..SECTIONS).map(|section| root.join(format!("Board {board}/Section {section}"))));
        for (place, folder) in folders.iter().enumerate() {
            fs::create_dir_all(folder)?;
            for number in 0..PICTURES {
                let title = format!("picture {board} {place} {number}");
                let mark = (board * 1_000 + place * 100 + number) as u64;
                let png = picture::marked_png(60, 45, [90, 60, 150], mark);
                fs::write(folder.join(format!("{title}.png")), png)?;
                titles.insert(title);
            }
        }
    }
    Ok(titles)
}

/// Nothing is there twice, counts are those of the lists, and when it `is_done` nothing is missing.
fn check(person: &mut Person, titles: &BTreeSet<String>, is_done: bool) -> anyhow::Result<()> {
    let mut seen = BTreeSet::new();
    let boards = person.boards()?;
    let names: BTreeSet<&str> = boards.iter().filter_map(|board| board["name"].as_str()).collect();
    anyhow::ensure!(names.len() == boards.len(), "a board is there twice: {boards:?}");
    for board in &boards {
        let (Some(id), Some(count)) = (board["id"].as_str(), board["pin_count"].as_u64()) else {
            anyhow::bail!("not a board: {board}");
        };
        let pins = person.board_pins(id)?;
        anyhow::ensure!(pins.len() as u64 == count, "board {} says {count} pins and lists {}", board["name"], pins.len());
        for pin in pins {
            let title = pin.title.clone();
            anyhow::ensure!(titles.contains(&title), "a pin that no file stands for: {pin:?}");
            anyhow::ensure!(seen.insert(title), "a pin is there twice: {pin:?}");
        }
        let sections = person.all_items(&format!("/v5/boards/{id}/sections?page_size=100"))?;
        anyhow::ensure!(sections.len() <= SECTIONS, "a section is there twice: {sections:?}");
    }
    println!("{} of {} pictures are there", seen.len(), titles.len());
    let missing: Vec<&String> = titles.difference(&seen).take(5).collect();
    anyhow::ensure!(!is_done || missing.is_empty(), "the import ended, but these are missing: {missing:?}");
    anyhow::ensure!(!is_done || boards.len() == BOARDS, "{} boards instead of {BOARDS}", boards.len());
    Ok(())
}
