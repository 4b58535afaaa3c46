//! One server for many tests.

use anyhow::ensure;
use testkit::mariadb;

#[test]
fn every_test_has_an_empty_database_of_its_own() -> anyhow::Result<()> {
    let name = "every_test_has_an_empty_database_of_its_own";
    let (Some(first), Some(second)) = (mariadb::shared(name)?, mariadb::shared(name)?) else { return Ok(()) };
    ensure!(first.address() == second.address() && first.database() != second.database());
    ensure!(first.url() == format!("mysql://corkboard:corkboard@{}/{}", first.address(), first.database()));
    let [ada, bob] = [first.client(), second.client()];
    for (client, database) in [(&ada, first.database()), (&bob, second.database())] {
        client.sql(&format!("CREATE TABLE {database}.t (id BIGINT PRIMARY KEY)"))?;
    }
    let known = |database: &str| bob.sql(&format!("SHOW DATABASES LIKE '{database}'"));
    let database = first.database().to_owned();
    ensure!(known(&database)?.len() == 1);
    drop(first);
    ensure!(known(&database)?.is_empty(), "the database stayed behind");
    ensure!(known(second.database())?.len() == 1, "the other one's is still there");
    Ok(())
}
