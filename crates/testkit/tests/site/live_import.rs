//! Debian's openclipart goes in whole: thousands of real pictures with titles, keywords, authors and categories.

use std::{path::Path, time::Duration};

use serde_json::Value;
use testkit::{Person, Site, person, skip, wait_for};

const PICTURES: &str = "/usr/share/openclipart/png";
const METADATA: &str = "/usr/share/openclipart/svg";
/// Pictures that are broken or beyond the site's limits are refused, each by name; not more than this part of all.
const REFUSED_PART_MAX: f64 = 0.01;
/// Categories times authors who drew for them; the set has hundreds of each.
const BOARDS_MIN: u64 = 500;
const PEOPLE_MIN: u64 = 400;
/// So many files have the word in their metadata; board names find more.
const FLOWERS_MIN: usize = 40;
/// A site that starts with a log of thousands of new pins has indexed them within this, unoptimised.
const INDEX_LIMIT: Duration = Duration::from_secs(240);

#[test]
fn openclipart_goes_in_whole() -> anyhow::Result<()> {
    if !Path::new(PICTURES).is_dir() || !Path::new(METADATA).is_dir() {
        skip::skip("live_import", "openclipart-png and openclipart-svg are not installed");
        return Ok(());
    }
    let files = count_files(Path::new(PICTURES), "png")?;
    let mut site = Site::start()?;
    let mut curator = Person::create(&site, "curator")?;
    site.terminate()?;
    let report = import(&site)?;
    let count = |report: &Value, key: &str| report[key].as_u64().unwrap_or(0);
    let (made, refused) = (count(&report, "made"), count(&report, "refused"));
    println!("{files} files: {made} made, {refused} refused, {} boards, {} people", report["boards_made"], report["people_made"]);
    anyhow::ensure!(made + refused == files, "{made} made and {refused} refused of {files} files");
    anyhow::ensure!(refused <= (files as f64 * REFUSED_PART_MAX) as u64, "{refused} refused: {}", report["refusals"]);
    let refusals = report["refusals"].as_array().map_or(&[][..], Vec::as_slice);
    let is_told = |refusal: &Value| refusal["what"].as_str().is_some_and(|what| what.ends_with(".png")) && refusal["why"].is_string();
    anyhow::ensure!(refusals.len() as u64 == refused && refusals.iter().all(is_told), "not every refusal is told: {refusals:?}");
    anyhow::ensure!(count(&report, "boards_made") >= BOARDS_MIN && count(&report, "people_made") >= PEOPLE_MIN, "{report}");

    let again = import(&site)?;
    anyhow::ensure!(count(&again, "made") == 0 && count(&again, "skipped") == made, "the second run: {again}");

    site.restart()?;
    curator.set_base_url(site.base_url());
    wait_for("the clips to be found", INDEX_LIMIT, || match curator.cards("/search?q=flower") {
        Ok(found) if found.len() >= FLOWERS_MIN => Ok(()),
        Ok(found) => Err(format!("{} clips of flowers", found.len())),
        Err(error) => Err(format!("{error:#}")),
    })?;
    Ok(())
}

/// Runs the import; gives its report.
fn import(site: &Site) -> anyhow::Result<Value> {
    let arguments = ["import", "folder", PICTURES, "--user", "curator", "--metadata", METADATA, "--people-from", "author", "--json"];
    let printed = person::run_with_input(&mut site.command(&arguments), "")?;
    Ok(serde_json::from_str(&printed)?)
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
