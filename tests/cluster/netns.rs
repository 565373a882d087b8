//! Pulled cables: nodes in network namespaces of their own, on one bridge. Needs root and `ip`
//! (iproute2); where these are missing, the tests say so and do nothing.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use stegcluster::api::cluster::Role;

use crate::support::{Client, Cluster, Host, commit_all};

/// Nobody has this address, so what is sent there is lost.
const NOWHERE: &str = "02:00:00:00:de:ad";
/// Patience with a node that must not acknowledge anything.
const HASTY: Duration = Duration::from_millis(700);

/// A node that is cut off for long would serve alone, which is another matter.
const NEVER_ALONE: &[&str] = &["solo_after=never"];

/// Three namespaces, each with one cable into a hub. Gone when dropped.
pub struct Lan {
    hub: String,
    pub spokes: Vec<String>,
}

impl Lan {
    /// # Errors
    /// Why there can be none here.
    pub fn lay(tag: &str) -> Result<Self, String> {
        let name = |place: &str| format!("stegcluster-{}-{tag}-{place}", std::process::id());
        let spokes = ["n1", "n2", "n3"].map(name).to_vec();
        let lan = Self { hub: name("hub"), spokes };
        ip(&["netns", "add", &lan.hub])?;
        let hub = ["-n", &lan.hub];
        let in_hub = |args: &[&str]| ip(&[&hub[..], args].concat());
        in_hub(&["link", "set", "lo", "up"])?;
        in_hub(&["link", "add", "bridge", "type", "bridge"])?;
        in_hub(&["addr", "add", "10.231.0.254/24", "dev", "bridge"])?;
        in_hub(&["link", "set", "bridge", "up"])?;
        for (index, spoke) in lan.spokes.iter().enumerate() {
            let port = port(index);
            ip(&["netns", "add", spoke])?;
            let peer = ["peer", "name", "eth0", "netns", spoke.as_str()];
            in_hub(&[&["link", "add", &port, "type", "veth"][..], &peer].concat())?;
            in_hub(&["link", "set", &port, "master", "bridge", "up"])?;
            let in_spoke = |args: &[&str]| ip(&[&["-n", spoke.as_str()][..], args].concat());
            in_spoke(&["addr", "add", &format!("{}/24", address(index)), "dev", "eth0"])?;
            in_spoke(&["link", "set", "lo", "up"])?;
            in_spoke(&["link", "set", "eth0", "up"])?;
        }
        Ok(lan)
    }

    fn hosts(&self) -> Vec<Host> {
        let host = |(index, netns): (usize, &String)| Host {
            ip: address(index),
            netns: Some(netns.clone()),
        };
        self.spokes.iter().enumerate().map(host).collect()
    }

    /// Pulls the cable of one node, or plugs it in again.
    pub fn cable(&self, index: usize, state: &str) {
        ip(&["-n", &self.hub, "link", "set", &port(index), state]).expect("the link is there");
    }

    /// Loses everything that `from` sends to `to`; nobody is told.
    fn mute(&self, from: usize, to: usize) {
        let to = address(to);
        let neighbour = ["neigh", "replace", &to, "lladdr", NOWHERE, "nud", "permanent"];
        let args = [&["-n", &self.spokes[from]], &neighbour[..], &["dev", "eth0"]].concat();
        ip(&args).expect("the link is there");
    }

    fn unmute(&self, from: usize, to: usize) {
        let to = address(to);
        ip(&["-n", &self.spokes[from], "neigh", "del", &to, "dev", "eth0"]).expect("it was muted");
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        for netns in self.spokes.iter().chain([&self.hub]) {
            // Those that were not made cannot be removed.
            let _ = ip(&["netns", "del", netns]);
        }
    }
}

pub fn address(index: usize) -> String {
    format!("10.231.0.{}", index + 1)
}

fn port(index: usize) -> String {
    format!("port{}", index + 1)
}

fn ip(args: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(args).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("ip: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("ip {}: {}", args.join(" "), said.trim()))
}

/// Runs `body` on a thread of its own inside the namespace: no other test may end up there.
pub fn inside<T: Send>(netns: &str, body: impl FnOnce() -> T + Send) -> T {
    let enter = || {
        let file = File::open(format!("/run/netns/{netns}")).expect("ip made it");
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
            .expect("root may enter");
    };
    let run = || {
        enter();
        body()
    };
    let joined = std::thread::scope(|scope| scope.spawn(run).join());
    joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Says that a test did nothing, and why. Not by a macro: the harness hides what a test that
/// passes prints.
pub fn skip(tag: &str, why: &str) {
    let said = format!("{tag}: skipped: namespaces need root and iproute2: {why}\n");
    std::io::stderr().write_all(said.as_bytes()).expect("standard error is open");
}

/// Runs `test` with a formed cluster of nodes with `settings`, from the hub; or says why not.
pub fn on_a_lan(tag: &str, settings: &[&str], test: impl FnOnce(&Lan, &mut Cluster) + Send) {
    let lan = match Lan::lay(tag) {
        Ok(lan) => lan,
        Err(why) => return skip(tag, &why),
    };
    inside(&lan.hub, || {
        let mut cluster = Cluster::on(&lan.hosts(), settings);
        (0..lan.spokes.len()).for_each(|index| cluster.start(index));
        cluster.whole();
        test(&lan, &mut cluster);
    });
}

/// Offers a few records, all at once. Fails if one is acknowledged.
fn refuses_to_acknowledge(client: &Client, prefix: &str) {
    let client = client.hasty(HASTY);
    std::thread::scope(|scope| {
        for number in 0..4 {
            let (client, id) = (&client, format!("{prefix}-{number}"));
            scope.spawn(move || {
                if let Ok(reply) = client.commit(&id) {
                    assert_ne!(reply.status, 200, "{id}: {}", reply.text());
                }
            });
        }
    });
}

/// Waits for a leader other than `old`, and commits through all but `old`. Its term.
fn succeeded(cluster: &Cluster, old: usize, term: u64, prefix: &str) -> (u64, BTreeSet<String>) {
    let survivors: Vec<usize> = (0..cluster.nodes.len()).filter(|index| *index != old).collect();
    let new_term = cluster.wait("the others have a leader of their own", |cluster| {
        let own = survivors.iter().map(|index| cluster.own(*index));
        let own: Vec<_> = own.collect::<Option<_>>()?;
        let leader = own.iter().find(|own| own.role == Role::Leader && own.term > term)?;
        own.iter().all(|own| own.term == leader.term).then_some(leader.term)
    });
    let clients: Vec<&Client> =
        survivors.iter().map(|index| &cluster.nodes[*index].client).collect();
    (new_term, commit_all(&clients, prefix, 20))
}

/// Waits until `old` follows in `term` or later.
fn steps_down(cluster: &Cluster, old: usize, term: u64) {
    cluster.wait("the old leader follows", |cluster| {
        cluster.own(old).filter(|own| own.role == Role::Follower && own.term >= term)
    });
    cluster.whole();
}

#[test]
fn a_leader_whose_cable_is_pulled_is_replaced_and_acknowledges_nothing() {
    on_a_lan("pull", NEVER_ALONE, |lan, cluster| {
        let old = cluster.whole();
        let term = cluster.term(old);
        let clients: Vec<&Client> = cluster.nodes.iter().map(|node| &node.client).collect();
        let mut acknowledged = commit_all(&clients, "before", 30);
        let alone = cluster.nodes[old].client.clone();

        lan.cable(old, "down");
        std::thread::scope(|scope| {
            // Nobody else can reach it: a client on the same machine must not be told yes.
            let offered =
                scope.spawn(|| inside(&lan.spokes[old], || refuses_to_acknowledge(&alone, "cut")));
            let (new_term, during) = succeeded(cluster, old, term, "during");
            acknowledged.extend(during);
            offered.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            inside(&lan.spokes[old], || refuses_to_acknowledge(&alone, "still-cut"));
            lan.cable(old, "up");
            steps_down(cluster, old, new_term);
        });
        cluster.assert_kept(&acknowledged);
    });
}

#[test]
fn a_leader_that_is_heard_or_hears_no_more_is_replaced_and_acknowledges_nothing() {
    on_a_lan("mute", NEVER_ALONE, |lan, cluster| {
        let mut acknowledged = BTreeSet::new();
        for deaf in [false, true] {
            let old = cluster.whole();
            let term = cluster.term(old);
            let survivors = [1, 2].map(|step| (old + step) % 3);
            let ways = survivors.map(|other| if deaf { (other, old) } else { (old, other) });
            let word = if deaf { "deaf" } else { "mute" };
            for (from, to) in ways {
                lan.mute(from, to);
            }
            let (new_term, during) = succeeded(cluster, old, term, word);
            acknowledged.extend(during);
            // The hub still reaches it.
            refuses_to_acknowledge(&cluster.nodes[old].client, &format!("{word}-cut"));
            for (from, to) in ways {
                lan.unmute(from, to);
            }
            steps_down(cluster, old, new_term);
        }
        cluster.assert_kept(&acknowledged);
    });
}
