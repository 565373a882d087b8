//! `stegcluster certs`: a CA and certificates, for those who have none.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;

use super::output;
use crate::ident::NodeName;
use crate::trust::certificates::{Facts, read_chain};
use crate::trust::make::{self, Authority, CA_CERT, CA_KEY, Issued, MakeError};

/// Where everything goes unless said otherwise.
const FOLDER: &str = "certs";
/// Ten years: to change the CA, every node and client must get another file.
const CA_DAYS: u32 = 3650;
/// Long enough for those who renew by hand; a warning comes 30 days before.
const NODE_DAYS: u32 = 825;

/// Make a CA, and certificates for nodes
///
/// For a cluster that speaks TLS. Each node gets a folder of its own, to be copied to its machine;
/// the CA's key stays where it was made, since whoever has it can make nodes. Nothing is ever
/// overwritten, and keys can be read by their owner only.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  stegcluster certs init
  stegcluster certs node n1 --host 10.0.0.1 --host n1.example
  stegcluster certs show certs/n1/node.pem
  stegcluster serve --id n1 --tls-dir certs/n1 --peers ...
  stegcluster status --servers 10.0.0.1:8081 --ca certs/ca.pem")]
pub struct CertsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Make the CA: once for a cluster
    Init(InitArgs),
    /// Make the certificate of a node
    ///
    /// It names the node as stegcluster://node/NAME, by which the other nodes know it, and the
    /// hosts by which clients reach it; localhost, 127.0.0.1 and ::1 are always among them.
    Node(NodeArgs),
    /// Make the certificate of a host that is no node, such as a proxy for clients
    ///
    /// For tls.client_cert, or for what stands before the client ports. No Raft port lets it in.
    Host(HostArgs),
    /// Show what certificates say, and until when they are valid
    Show(ShowArgs),
}

#[derive(Debug, clap::Args)]
struct InitArgs {
    /// The folder that is made, with ca.pem and ca.key
    #[arg(long, value_name = "DIR", default_value = FOLDER)]
    dir: PathBuf,
    /// The cluster's name in the CA's, for people
    #[arg(long, value_name = "NAME", default_value = "stegcluster")]
    name: String,
    /// How long the CA is valid
    #[arg(long, value_name = "DAYS", default_value_t = CA_DAYS, value_parser = days())]
    days: u32,
}

#[derive(Debug, clap::Args)]
struct NodeArgs {
    /// The node's name, as in serve --id
    #[arg(value_name = "NAME")]
    node: NodeName,
    #[command(flatten)]
    issue: IssueArgs,
}

#[derive(Debug, clap::Args)]
struct HostArgs {
    /// A name for people and for the folder
    #[arg(value_name = "NAME")]
    name: NodeName,
    #[command(flatten)]
    issue: IssueArgs,
}

#[derive(Debug, clap::Args)]
struct IssueArgs {
    /// A host name or an IP address by which clients reach it; may be repeated
    #[arg(long = "host", value_name = "HOST")]
    hosts: Vec<String>,
    /// The folder with ca.pem and ca.key
    #[arg(long, value_name = "DIR", default_value = FOLDER)]
    dir: PathBuf,
    /// Where ca.pem, node.pem and node.key go [default: a folder of the given name in --dir]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// How long the certificate is valid
    #[arg(long, value_name = "DAYS", default_value_t = NODE_DAYS, value_parser = days())]
    days: u32,
}

#[derive(Debug, clap::Args)]
struct ShowArgs {
    /// Certificates in PEM form
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

fn days() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=36_500)
}

/// Makes or shows.
///
/// # Errors
/// A file exists, or cannot be read or written.
pub fn run(args: &CertsArgs) -> anyhow::Result<ExitCode> {
    let text = match &args.action {
        Action::Init(args) => init(args)?,
        Action::Node(args) => node(args)?,
        Action::Host(args) => host(args)?,
        Action::Show(args) => show(args)?,
    };
    output::print(&text);
    Ok(ExitCode::SUCCESS)
}

fn init(args: &InitArgs) -> anyhow::Result<String> {
    let dir = &args.dir;
    let (cert, key) = (dir.join(CA_CERT), dir.join(CA_KEY));
    if let Some(there) = [&cert, &key].into_iter().find(|file| file.exists()) {
        return Err(MakeError::Exists(there.clone()).into());
    }
    let (_, issued) = Authority::new(&args.name, args.days)?;
    make::make_folder(dir)?;
    make::write_new(&key, issued.key.as_bytes(), 0o600)?;
    make::write_new(&cert, issued.cert.as_bytes(), 0o644)?;
    let (cert, key) = (cert.display(), key.display());
    let again =
        if dir == Path::new(FOLDER) { String::new() } else { format!(" --dir {}", dir.display()) };
    Ok(format!(
        "{cert}  the CA's certificate: for every node and every client\n\
         {key}  its key: whoever has it can make nodes; keep it off the nodes, and a copy elsewhere\n\n\
         Next, for each node, with every name and address by which clients reach it:\n  \
         stegcluster certs node n1{again} --host 10.0.0.1 --host n1.example\n"
    ))
}

fn node(args: &NodeArgs) -> anyhow::Result<String> {
    let name = args.node.as_str();
    let (folder, facts) =
        issue(&args.issue, name, |ca| ca.node(&args.node, &args.issue.hosts, args.issue.days))?;
    let shown = folder.display();
    let mut text = format!(
        "{shown}/  ca.pem, node.pem and node.key of {name}, valid until {}\n  for clients: {}\n\n\
         Next, copy the folder to {name}'s machine, and start the node with it:\n  \
         stegcluster serve --id {name} --tls-dir {shown} ...\n",
        humantime::format_rfc3339_seconds(facts.not_after),
        facts.hosts.join(", ")
    );
    text += &format!(
        "Clients name the CA:\n  stegcluster status --ca {} --servers ...\n",
        args.issue.dir.join(CA_CERT).display()
    );
    if args.issue.hosts.is_empty() {
        text += "\nNo --host was given: clients on other machines will not believe this node.\n";
    }
    Ok(text)
}

fn host(args: &HostArgs) -> anyhow::Result<String> {
    let name = args.name.as_str();
    let (folder, facts) =
        issue(&args.issue, name, |ca| ca.host(name, &args.issue.hosts, args.issue.days))?;
    let shown = folder.display();
    Ok(format!(
        "{shown}/  ca.pem, node.pem and node.key, valid until {}\n  for: {}\n\n\
         It is no node's. To show it to clients instead of a node's certificate:\n  \
         stegcluster serve --set tls.client_cert={shown}/node.pem --set tls.client_key={shown}/node.key ...\n",
        humantime::format_rfc3339_seconds(facts.not_after),
        facts.hosts.join(", ")
    ))
}

fn issue(
    args: &IssueArgs,
    name: &str,
    make: impl FnOnce(&Authority) -> Result<Issued, MakeError>,
) -> anyhow::Result<(PathBuf, Facts)> {
    let ca = Authority::open(&args.dir)
        .with_context(|| format!("no CA in {} (stegcluster certs init)", args.dir.display()))?;
    let folder = args.out.clone().unwrap_or_else(|| args.dir.join(name));
    let issued = make(&ca)?;
    make::write_node(&folder, ca.cert(), &issued)?;
    let facts = facts(&folder.join(make::NODE_CERT))?;
    Ok((folder, facts.into_iter().next().context("the certificate that was just written")?))
}

fn facts(file: &Path) -> anyhow::Result<Vec<Facts>> {
    let chain = read_chain(file)?;
    let facts = chain.iter().map(Facts::of).collect::<Result<Vec<_>, _>>();
    facts.map_err(|cause| anyhow::anyhow!("{}: {cause}", file.display()))
}

fn show(args: &ShowArgs) -> anyhow::Result<String> {
    let mut text = String::new();
    for file in &args.files {
        for facts in facts(file)? {
            push(&mut text, &format!("{}: {}", file.display(), facts.subject));
            let line = |text: &mut String, what: &str, value: &str| {
                push(text, &format!("  {what:<12} {value}"));
            };
            let nodes: Vec<&str> = facts.nodes.iter().map(NodeName::as_str).collect();
            let kind = match (facts.is_ca, nodes.is_empty()) {
                (true, _) => "a CA".to_owned(),
                (false, true) => "no node".to_owned(),
                (false, false) => format!("node {}", nodes.join(", ")),
            };
            line(&mut text, "for", &kind);
            if !facts.hosts.is_empty() {
                line(&mut text, "hosts", &facts.hosts.join(", "));
            }
            line(&mut text, "issued by", &facts.issuer);
            let date = humantime::format_rfc3339_seconds;
            let (from, until) = (date(facts.not_before), date(facts.not_after));
            line(&mut text, "valid", &format!("{from} to {until}"));
            if let Some(warning) = facts.warning("this") {
                line(&mut text, "WARNING", &warning);
            }
        }
    }
    Ok(text)
}

fn push(text: &mut String, line: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{line}");
}
