//! Commands beside a running server: what they change counts at once, though the server has it in its cache.

use std::time::Duration;

use testkit::{Person, Site, person, wait_for};

/// The server looks for other processes' commits every quarter of a second.
const NOTICED_WITHIN: Duration = Duration::from_secs(20);

#[test]
fn what_a_command_changes_counts_at_once() -> anyhow::Result<()> {
    let site = Site::start()?;
    // The first account is the admin; the second one is made one by a command.
    let _admin = Person::create(&site, "founder")?;
    let mut ada = Person::create(&site, "ada")?;
    anyhow::ensure!(ada.pages.get("/admin")?.status == 403, "somebody else is an admin");
    person::run_with_input(&mut site.command(&["user", "promote", "ada"]), "")?;
    wait_for("the new admin to get in", NOTICED_WITHIN, || match ada.pages.get("/admin") {
        Ok(response) if response.status == 200 => Ok(()),
        Ok(response) => Err(format!("status {}", response.status)),
        Err(error) => Err(format!("{error:#}")),
    })?;
    person::run_with_input(&mut site.command(&["user", "password", "ada", "--password-stdin"]), "another password\n")?;
    wait_for("the old session to end", NOTICED_WITHIN, || match ada.pages.get("/settings") {
        Ok(response) if response.status == 303 => Ok(()),
        Ok(response) => Err(format!("status {}", response.status)),
        Err(error) => Err(format!("{error:#}")),
    })?;
    Ok(())
}
