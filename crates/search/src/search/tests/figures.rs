//! What commits and queries cost. The small input runs in every test run, so that this does not rot; the real one with
//! `SEARCH_FIGURE_DOCUMENTS=100000 cargo test --release -p search -- --nocapture figures`.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use model::{Timestamp, time::ManualClock};

use crate::{
    Doc, Kind, Search, SearchRequest, Viewers,
    contract::{NOW, page, pin_id, request, user},
};

/// A run: documents that are there from the start, and puts in a second for some seconds.
struct Load {
    documents: u64,
    puts_per_second: u64,
    seconds: u64,
    queries: u64,
}

/// Small, so that it never rots. `SEARCH_FIGURE_DOCUMENTS=100000` in an optimised build gives figures that mean something.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures() {
    let asked = std::env::var("SEARCH_FIGURE_DOCUMENTS").ok().and_then(|text| text.parse::<u64>().ok());
    run(match asked {
        Some(documents) => Load { documents, puts_per_second: 300, seconds: 20, queries: 200 },
        None => Load { documents: 50, puts_per_second: 40, seconds: 1, queries: 5 },
    })
    .await;
}

async fn run(load: Load) {
    let folder = tempfile::tempdir().expect("a folder");
    let search = Search::open(&format!("tantivy:{}", folder.path().display()), Arc::new(ManualClock::at(NOW))).expect("an index");
    println!("opened: {}", resident());
    search.put(vec![document(0)]).await.expect("a put");
    search.flush().await.expect("a flush");
    println!("after one put: {}", resident());
    let started = (Instant::now(), cpu());
    for first in (0..load.documents).step_by(1_000) {
        let docs = (first..load.documents.min(first + 1_000)).map(document).collect();
        search.put(docs).await.expect("a put");
    }
    search.flush().await.expect("a flush");
    report("fill", started, load.documents);

    let started = (Instant::now(), cpu());
    let pause = Duration::from_secs(1) / load.puts_per_second as u32;
    let mut tick = tokio::time::interval(pause);
    let mut watchers = tokio::task::JoinSet::new();
    for number in 0..load.puts_per_second * load.seconds {
        tick.tick().await;
        if number % load.puts_per_second == 7 {
            watchers.spawn(until_visible(search.clone(), number));
        }
        // A third are documents that are there already: saves change them.
        let local = if number.is_multiple_of(3) { number } else { load.documents + number };
        search.put(vec![document(local)]).await.expect("a put");
    }
    let mut visible: Vec<Duration> = watchers.join_all().await;
    search.flush().await.expect("a flush");
    report("puts", started, load.puts_per_second * load.seconds);
    visible.sort_unstable();
    println!("from put to found: median {:?}, slowest {:?}", visible[visible.len() / 2], visible[visible.len() - 1]);
    println!("{:?}; {}", search.stats().await.expect("stats"), resident());
    queries(&search, load.queries).await;
}

/// Puts a document that nothing else is like, and waits until it is found.
async fn until_visible(search: Search, number: u64) -> Duration {
    let text = format!("marker{number}");
    let Doc::Pin { id, owner, board_name, owner_username, owner_name, domain, color, at, saves, viewers, image_hash, tags, .. } =
        document(1_000_001 + number * 20)
    else {
        unreachable!("documents are pins")
    };
    let title = text.clone();
    let (description, alt_text) = (String::new(), String::new());
    let doc = Doc::Pin {
        id,
        owner,
        title,
        description,
        alt_text,
        tags,
        board_name,
        owner_username,
        owner_name,
        domain,
        color,
        at,
        saves,
        viewers,
        image_hash,
    };
    let started = Instant::now();
    search.put(vec![doc]).await.expect("a put");
    while page(&search, request(&text)).await.hits.is_empty() {
        assert!(started.elapsed() < Duration::from_secs(20), "{text} is not found");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    started.elapsed()
}

async fn queries(search: &Search, count: u64) {
    for text in [
        "word3",
        "word3 word17",
        "word1 word2 word5",
        "\"word3 word4\"",
        "wrod3x",
        "word99",
        "by:user5",
        "#tag7 word3",
        "word5000 word4000",
        "",
    ] {
        let mut times: Vec<Duration> = Vec::new();
        let mut hits = 0;
        for _ in 0..count {
            let started = Instant::now();
            hits = page(search, SearchRequest { viewer: Some(user(3)), kind: Kind::Pins, ..request(text) }).await.hits.len();
            times.push(started.elapsed());
        }
        summary(&format!("query {text:?} ({hits} hits)"), times);
    }
    let mut times = [Vec::new(), Vec::new(), Vec::new(), Vec::new()];
    for number in 0..count {
        let started = Instant::now();
        search.suggest("wor", None, 10).await.expect("suggestions");
        times[0].push(started.elapsed());
        let started = Instant::now();
        search.similar(pin_id(number), None, 25).await.expect("hits");
        times[1].push(started.elapsed());
        let started = Instant::now();
        search.guides("word3", 10).await.expect("guides");
        times[2].push(started.elapsed());
        let started = Instant::now();
        search.topics(20).await.expect("topics");
        times[3].push(started.elapsed());
    }
    for (name, times) in ["suggest", "similar", "guides", "topics"].into_iter().zip(times) {
        summary(name, times);
    }
}

fn summary(name: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_micros();
    println!("{name}: p50 {} µs, p99 {} µs", at(50), at(99));
}

fn report(name: &str, (started, cpu_before): (Instant, Duration), documents: u64) {
    let (wall, used) = (started.elapsed(), cpu() - cpu_before);
    println!(
        "{name}: {documents} documents in {} ms, CPU {} ms = {:.1} % of a core, {} µs per document",
        wall.as_millis(),
        used.as_millis(),
        used.as_secs_f64() / wall.as_secs_f64() * 100.0,
        used.as_micros() / u128::from(documents.max(1)),
    );
}

/// Returns the CPU time that this process has used, from /proc; zero where there is none.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string(Path::new("/proc/self/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

/// Returns what of this process is in memory: its own, and pages of mapped files.
fn resident() -> String {
    let status = std::fs::read_to_string(Path::new("/proc/self/status")).unwrap_or_default();
    status.lines().filter(|line| line.starts_with("Rss")).map(|line| line.replace('\t', " ")).collect::<Vec<_>>().join(", ")
}

/// A pin with words whose frequencies fall like those of a language.
fn document(number: u64) -> Doc {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let mut words = |count: usize| (0..count).map(|_| format!("word{}", (10_000_f64.powf(random())) as u64)).collect::<Vec<_>>().join(" ");
    Doc::Pin {
        id: pin_id(number),
        owner: user(number % 97),
        title: words(5),
        description: words(25),
        alt_text: words(8),
        tags: vec![format!("tag{}", number % 211), format!("tag{}", number % 13)],
        board_name: words(2),
        owner_username: format!("user{}", number % 97),
        owner_name: format!("User {}", number % 97),
        domain: format!("site{}.example.org", number % 50),
        color: "#1e90ff".to_owned(),
        at: NOW.plus(-(number as i64 % 900) * Timestamp::DAY),
        saves: number % 40,
        viewers: if number.is_multiple_of(20) { Viewers::Only(vec![user(number % 97)]) } else { Viewers::Everyone },
        image_hash: (number % 5_000).to_string(),
    }
}
