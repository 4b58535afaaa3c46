//! Debian's openclipart goes in whole: thousands of real pictures with titles, keywords, authors and categories.

use std::path::Path;

use testkit::{Person, Site, person, skip};

const PICTURES: &str = "/usr/share/openclipart/png";
const METADATA: &str = "/usr/share/openclipart/svg";
/// Files that are broken may be refused, each by name; not more than this part of all.
const REFUSED_PART_MAX: f64 = 0.01;

#[test]
fn openclipart_goes_in_whole() -> anyhow::Result<()> {
    if !Path::new(PICTURES).is_dir() || !Path::new(METADATA).is_dir() {
        skip::skip("live_import", "openclipart-png and openclipart-svg are not installed");
        return Ok(());
    }
    let files = count_files(Path::new(PICTURES), "png")?;
    let site = Site::start()?;
    let mut curator = Person::create(&site, "curator")?;
    let arguments = ["import", "folder", PICTURES, "--user", "curator", "--metadata", METADATA, "--people-from", "author"];
    let report = person::run_with_input(&mut site.command(&arguments), "")?;
    println!("{report}");
    let boards = curator.boards()?;
    anyhow::ensure!(boards.len() >= 20, "{} boards from the categories", boards.len());
    let pins: u64 = boards.iter().filter_map(|board| board["pin_count"].as_u64()).sum();
    let refused_max = (files as f64 * REFUSED_PART_MAX) as u64;
    println!("{files} files, {pins} pins on {} boards of the importing person", boards.len());
    let again = person::run_with_input(&mut site.command(&arguments), "")?;
    println!("{again}");
    let after: u64 = curator.boards()?.iter().filter_map(|board| board["pin_count"].as_u64()).sum();
    anyhow::ensure!(after == pins, "the second run changed {pins} pins to {after}");
    let output = person::run_with_input(&mut site.command(&["status", "--json"]), "")?;
    let status: serde_json::Value = serde_json::from_str(&output)?;
    println!("{status}");
    anyhow::ensure!(pins + refused_max >= files, "{pins} pins from {files} files");
    Ok(())
}

fn count_files(folder: &Path, extension: &str) -> anyhow::Result<u64> {
    let mut count = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            count += count_files(&entry.path(), extension)?;
        } else if entry.path().extension().is_some_and(|own| own == extension) {
            count += 1;
        }
    }
    Ok(count)
}
