//! What can happen to nodes and to the ways to them, under load.

use testkit::{Cut, memcached};

use crate::fleet::{Fleet, NODES};

/// Steps of all processes together in each state.
const STEPS: u64 = 300;

fn fleet(test: &str) -> anyhow::Result<Option<Fleet>> {
    if !memcached::is_available(test) {
        return Ok(None);
    }
    let mut fleet = Fleet::start(NODES, 3)?;
    fleet.work(1);
    fleet.steps(STEPS)?;
    Ok(Some(fleet))
}

#[test]
fn nodes_are_killed_one_by_one_and_all_at_once() -> anyhow::Result<()> {
    let Some(mut fleet) = fleet("nodes_are_killed_one_by_one_and_all_at_once")? else { return Ok(()) };
    for node in 0..NODES {
        fleet.servers[node].kill9();
        fleet.steps(STEPS)?;
        fleet.servers[node].restart()?;
        fleet.steps(STEPS)?;
    }
    for server in &mut fleet.servers {
        server.kill9();
    }
    fleet.steps(STEPS)?;
    for server in &mut fleet.servers {
        server.restart()?;
    }
    fleet.steps(STEPS)?;
    fleet.settle("killed")
}

#[test]
fn a_node_stands_still_and_goes_on_with_what_it_had() -> anyhow::Result<()> {
    let Some(mut fleet) = fleet("a_node_stands_still_and_goes_on_with_what_it_had")? else { return Ok(()) };
    for node in 0..NODES {
        fleet.servers[node].freeze()?;
        fleet.steps(STEPS)?;
        fleet.servers[node].thaw()?;
        fleet.steps(STEPS)?;
    }
    for server in &mut fleet.servers {
        server.freeze()?;
    }
    fleet.steps(STEPS)?;
    for server in &mut fleet.servers {
        server.thaw()?;
    }
    fleet.steps(STEPS)?;
    fleet.settle("frozen")
}

#[test]
fn everything_is_flushed_again_and_again() -> anyhow::Result<()> {
    let Some(mut fleet) = fleet("everything_is_flushed_again_and_again")? else { return Ok(()) };
    for _ in 0..4 {
        for server in &fleet.servers {
            server.flush()?;
        }
        fleet.steps(STEPS)?;
    }
    fleet.settle("flushed")
}

#[test]
fn one_process_is_cut_off_from_nodes_that_the_others_reach() -> anyhow::Result<()> {
    let Some(mut fleet) = fleet("one_process_is_cut_off_from_nodes_that_the_others_reach")? else { return Ok(()) };
    for cut in [Cut::Refuse, Cut::BlackHole] {
        for node in 0..NODES {
            fleet.ways[node].cut_off(cut);
            fleet.steps(STEPS)?;
            fleet.ways[node].reconnect();
            fleet.steps(STEPS)?;
        }
    }
    fleet.settle("cut off")
}

/// No load here that would hide it: what one process wrote while it could not reach a node must be seen by those who could, and the node
/// must not bring back what it had.
#[test]
fn what_is_written_while_a_node_is_out_of_reach_is_seen_by_those_who_reach_it() -> anyhow::Result<()> {
    let test = "what_is_written_while_a_node_is_out_of_reach_is_seen_by_those_who_reach_it";
    if !memcached::is_available(test) {
        return Ok(());
    }
    for cut in [Cut::Refuse, Cut::BlackHole] {
        let fleet = Fleet::start(NODES, 2)?;
        for index in [0, 1] {
            fleet.await_truth(index)?;
        }
        fleet.ways[0].cut_off(cut);
        for n in 0..40 {
            fleet.runtime.block_on(fleet.processes[0].write(n));
        }
        fleet.await_truth(0)?;
        fleet.await_truth(1)?;
        // Process 0 reads from the spares meanwhile, which the other one must tell too.
        for n in 20..60 {
            fleet.runtime.block_on(fleet.processes[1].write(n));
        }
        fleet.await_truth(0)?;
        fleet.ways[0].reconnect();
        for n in 40..80 {
            fleet.runtime.block_on(fleet.processes[1].write(n));
        }
        fleet.await_truth(0)?;
        fleet.await_truth(1)?;
    }
    Ok(())
}

/// With a single node nobody can tell the others; but the writer comes back and does.
#[test]
fn a_writer_that_was_cut_off_from_the_only_node_makes_up_for_it() -> anyhow::Result<()> {
    if !memcached::is_available("a_writer_that_was_cut_off_from_the_only_node_makes_up_for_it") {
        return Ok(());
    }
    let fleet = Fleet::start(1, 2)?;
    for index in [0, 1] {
        fleet.await_truth(index)?;
    }
    fleet.ways[0].cut_off(Cut::Refuse);
    for n in 0..40 {
        fleet.runtime.block_on(fleet.processes[0].write(n));
    }
    fleet.await_truth(0)?;
    fleet.ways[0].reconnect();
    fleet.await_truth(1)
}
