//! `corkboard status`: asks the running server how it is.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use discovery::{Endpoint, Member, Registry};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::config::Config;
use crate::table;

/// A server on this machine answers within milliseconds.
const TIME_MAX: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: u64 = 1 << 20;

#[derive(Args)]
pub struct StatusArgs {
    /// Prints JSON for machines.
    #[arg(long)]
    json: bool,
}

/// One server that was found.
struct Server {
    /// What it is, as people call it.
    what: &'static str,
    member: Member,
    /// Where its probes answer.
    at: Endpoint,
}

pub async fn run(args: &StatusArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let registry = Registry::open(&config.discovery.url)?;
    let mut servers: Vec<Server> = Vec::new();
    for (service, what) in [("web", "server"), ("storage", "storage service"), ("feeds", "feeds service")] {
        for member in registry.members(service)? {
            let at = member.additional_endpoints.get("http").unwrap_or(&member.service_endpoint).clone();
            servers.push(Server { what, member, at });
        }
    }
    if servers.is_empty() {
        if args.json {
            println!("{}", json!({ "running": false }));
        } else {
            println!("No server is running on {}. `corkboard serve` starts one.", config.data.display());
        }
        return Ok(ExitCode::FAILURE);
    }
    let (mut is_all_ready, mut list) = (true, Vec::new());
    for server in &servers {
        let ready = ask(server).await.with_context(|| format!("the {} (process {})", server.what, server.member.pid))?;
        let is_ready = ready["ready"].as_bool().unwrap_or(false);
        is_all_ready &= is_ready;
        let end = &server.member.service_endpoint;
        list.push(json!({ "what": server.what, "running": true, "pid": server.member.pid, "host": reachable(&end.host), "port": end.port, "ready": is_ready, "parts": ready["parts"] }));
    }
    if args.json {
        // The site's own line, and beside it the services of this folder.
        let services = |what: &str| list.iter().filter(|line| line["what"] == what).cloned().collect::<Vec<Value>>();
        let mut first = list.first().cloned().unwrap_or_default();
        first["storage"] = json!(services("storage service"));
        first["feeds"] = json!(services("feeds service"));
        println!("{first}");
    } else {
        for line in &list {
            show(line);
        }
    }
    Ok(if is_all_ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints one server for people.
fn show(line: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    println!(
        "The {} (process {}) listens on {}:{} and is {}.\n",
        text(&line["what"]),
        line["pid"],
        text(&line["host"]),
        line["port"],
        if line["ready"] == true { "ready" } else { "NOT ready" }
    );
    let parts = line["parts"].as_object().cloned().unwrap_or_default();
    let rows: Vec<_> = parts.iter().map(|(name, part)| vec![name.clone(), text(&part["state"]), text(&part["reason"])]).collect();
    println!("{}", table::render(&["part", "state", "reason"], &rows));
}

/// Returns where to call a server that listens on every address.
fn reachable(host: &str) -> &str {
    match host {
        "0.0.0.0" => "127.0.0.1",
        "::" => "::1",
        host => host,
    }
}

async fn ask(server: &Server) -> anyhow::Result<Value> {
    let answer = tokio::time::timeout(TIME_MAX, ready(reachable(&server.at.host), server.at.port));
    answer.await.context("did not answer in time")?.context("did not answer")
}

/// Asks `/readyz`. One request on loopback needs no HTTP client.
async fn ready(host: &str, port: u16) -> anyhow::Result<Value> {
    let mut stream = tokio::net::TcpStream::connect((host, port)).await?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer).await?;
    let body = answer.split_once("\r\n\r\n").context("the answer is no HTTP")?.1;
    Ok(serde_json::from_str(body)?)
}
