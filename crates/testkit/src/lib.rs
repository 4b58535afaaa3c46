//! What tests and benches of the whole site stand on: a private running site, a client, made-up pictures, load, figures.
//! Depends on no other crate of the project, so that everything here sees the site only from outside.
//!
//! ```text
//! site.rs       a private corkboard process: start, kill -9, restart, terminate
//! client.rs     a blocking HTTP client with cookies: forms, multipart, JSON
//! http.rs       bytes of HTTP/1.1 to responses, for the client and for the load
//! person.rs     somebody with a session and a token: what people do, and what they then see
//! mariadb.rs    private MariaDB servers: start, replicate, kill -9, freeze; one for many tests
//! redis.rs      private Redis servers, and clusters of three masters
//! memcached.rs  private memcached servers
//! private.rs    what private servers of every kind stand on: a folder, a port, a process that ends with the test
//! proxy.rs      a way to a server that can be cut for one party
//! picture.rs    small valid PNG and JPEG files of a colour
//! load.rs       open-loop load with latency from the intended send time
//! histogram.rs  latencies in logarithmic buckets
//! figure.rs     one JSON object per measured figure, and the table of them
//! calibrate.rs  how fast this machine is just now
//! procfs.rs     CPU time, resident memory and threads of a process
//! program.rs    finding programs of the machine
//! random.rs     chance that can be replayed from a seed
//! seeds.rs      a program once per seed, some at a time
//! skip.rs       skipping loudly, or failing when nothing may be skipped
//! wait.rs       waiting for a state
//! ```

pub mod calibrate;
pub mod client;
pub mod figure;
pub mod histogram;
pub mod http;
pub mod load;
pub mod mariadb;
pub mod memcached;
pub mod person;
pub mod picture;
mod private;
pub mod procfs;
pub mod program;
pub mod proxy;
pub mod random;
pub mod redis;
pub mod seeds;
pub mod site;
pub mod skip;
pub mod wait;

pub use client::{Client, Upload};
pub use figure::Figure;
pub use histogram::Histogram;
pub use http::Response;
pub use person::Person;
pub use proxy::{Cut, Proxy};
pub use random::Random;
pub use site::Site;
pub use wait::wait_for;
