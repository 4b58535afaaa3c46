//! Carries the schedule out, and mends everything at its end.

use std::thread;
use std::time::Instant;

use crate::history::History;
use crate::schedule::{Act, Schedule};
use crate::stage::{Redis, Stage};

/// Does each thing at its time; one that takes longer delays those behind it.
pub fn run(schedule: &Schedule, stage: &mut Stage, history: &History) -> anyhow::Result<()> {
    let started = Instant::now();
    for (at, act) in &schedule.acts {
        // Not a wait for a state: the moment of the trouble is left to the schedule.
        thread::sleep(at.saturating_sub(started.elapsed()));
        history.note(format!("{act:?}"));
        carry_out(stage, *act)?;
    }
    thread::sleep(schedule.lasts.saturating_sub(started.elapsed()));
    Ok(())
}

fn carry_out(stage: &mut Stage, act: Act) -> anyhow::Result<()> {
    match act {
        Act::KillSite => stage.kill_site(),
        Act::StartSite => stage.start_site()?,
        Act::KillRedis(member) => stage.redis.member(member).kill9(),
        Act::StartRedis(member) => stage.redis.member(member).restart().map(drop)?,
        Act::FreezeRedis(member) => stage.redis.member(member).freeze()?,
        Act::ThawRedis(member) => stage.redis.member(member).thaw()?,
        Act::CutRedis(cut) => {
            if let Redis::One(_, way) = &stage.redis {
                way.cut_off(cut);
            }
        }
        Act::OpenRedis => {
            if let Redis::One(_, way) = &stage.redis {
                way.reconnect();
            }
        }
        Act::EmptyRedis => {
            for server in stage.redis.members() {
                server.command(&["FLUSHALL"])?;
            }
        }
        Act::SaveRedis => {
            for server in stage.redis.members() {
                server.command(&["SAVE"])?;
            }
        }
        Act::KillNode(node) => stage.nodes[node].0.kill9(),
        Act::StartNode(node) => stage.nodes[node].0.restart().map(drop)?,
        Act::FreezeNode(node) => stage.nodes[node].0.freeze()?,
        Act::ThawNode(node) => stage.nodes[node].0.thaw()?,
        Act::CutNode(node, cut) => stage.nodes[node].1.cut_off(cut),
        Act::OpenNode(node) => stage.nodes[node].1.reconnect(),
        // Those that are killed hold nothing, and those that are frozen can't be asked.
        Act::EmptyNodes => stage.nodes.iter().for_each(|(node, _)| drop(node.flush())),
    }
    Ok(())
}
