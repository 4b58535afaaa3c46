//! The end: every home feed equals what was acknowledged, and the site's own tools find nothing.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use serde_json::Value;
use testkit::wait_for;

use crate::history::History;
use crate::ledger::{Ledger, PEOPLE, Pin, out_of_order};
use crate::people::Actor;
use crate::stage::Stage;

/// The feeds are whole again within seconds after the last trouble, on a busy machine in some more.
const QUIET_LIMIT: Duration = Duration::from_secs(60);
/// A feed that was built while its owner's graph changed is not taken for 30 seconds.
const IN_MEMORY_LIMIT: Duration = Duration::from_secs(90);

pub fn check(stage: &mut Stage, actors: &mut [Actor<'_>], ledger: &Ledger, history: &History) -> anyhow::Result<()> {
    let started = Instant::now();
    wait_for("every home feed to equal what was acknowledged", QUIET_LIMIT, || compare(actors, ledger))?;
    history.note(format!("all feeds are whole after {:?}", started.elapsed()));
    found_sound(stage, &["feeds", "verify", "--json"], history)?;
    history.note(format!("the feeds are mended after {:?}", started.elapsed()));
    // Until then pages may have come from storage. From now on feeds are in memory, and what is new is delivered to them.
    compare(actors, ledger).or_else(|seen| bail!("the feeds changed once they were mended: {seen}"))?;
    for actor in &mut *actors {
        actor.pin_picture()?;
        actor.read_own()?;
    }
    wait_for("what is new to be delivered", QUIET_LIMIT, || compare(actors, ledger))?;
    wait_for("every home feed to be in memory", IN_MEMORY_LIMIT, || {
        // Whoever reads a feed that is not there builds it.
        compare(actors, ledger)?;
        let printed = found_sound(stage, &["feeds", "verify", "--json"], history).map_err(|error| format!("{error:#}"))?;
        let verified: Value = serde_json::from_str(&printed).map_err(|error| error.to_string())?;
        if verified["feeds"] == PEOPLE { Ok(()) } else { Err(printed) }
    })?;
    history.note(format!("all feeds are in memory after {:?}", started.elapsed()));
    found_sound(stage, &["doctor", "--json"], history)?;
    Ok(())
}

/// Asks one of the site's own tools, once the feeds are there. Gives what it printed.
fn found_sound(stage: &Stage, arguments: &[&str], history: &History) -> anyhow::Result<String> {
    let printed = wait_for("the feeds to be mended", QUIET_LIMIT, || {
        let output = stage.site.command(arguments).output().map_err(|error| error.to_string())?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        // While the feeds are being mended, pages come from storage, and there is nothing to look at.
        if printed.is_empty() { Err(String::from_utf8_lossy(&output.stderr).into_owned()) } else { Ok(printed) }
    })?;
    history.note(printed.trim());
    ensure!(printed.contains("\"sound\":true"), "corkboard {}: {printed}", arguments.join(" "));
    Ok(printed)
}

fn compare(actors: &mut [Actor<'_>], ledger: &Ledger) -> Result<(), String> {
    for (index, actor) in actors.iter_mut().enumerate() {
        let shown = actor.read_home().map_err(|error| format!("{error:#}"))?.ok_or("a home feed could not be read")?;
        difference(&shown, &ledger.feed_of(index)).map_err(|found| format!("person {index}: {found}"))?;
    }
    Ok(())
}

fn difference(shown: &[String], truth: &HashMap<String, Pin>) -> Result<(), String> {
    let there: HashSet<&String> = shown.iter().collect();
    let missing: Vec<&String> = truth.keys().filter(|id| !there.contains(id)).collect();
    let more: Vec<&String> = shown.iter().filter(|id| !truth.contains_key(*id)).collect();
    if !missing.is_empty() || !more.is_empty() {
        return Err(format!("of {} pins, missing {missing:?}, too much {more:?}", truth.len()));
    }
    if there.len() < shown.len() {
        return Err(format!("a pin is there twice: {shown:?}"));
    }
    match out_of_order(shown, truth) {
        Some((before, behind)) => Err(format!("{before} stands before {behind}, which is newer")),
        None => Ok(()),
    }
}
