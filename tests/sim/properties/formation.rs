//! At most one formation: every node that belongs to a cluster belongs to the same one.

use stegcluster::ident::{ClusterUuid, NodeName};

/// The one cluster, once somebody belongs to it.
#[derive(Default)]
pub struct Formations {
    cluster: Option<(ClusterUuid, NodeName)>,
}

impl Formations {
    pub fn saw(&mut self, node: &NodeName, cluster: ClusterUuid) -> Option<String> {
        let (first, by) = self.cluster.get_or_insert_with(|| (cluster, node.clone()));
        (*first != cluster).then(|| {
            format!("two clusters were formed: {by} belongs to {first}, {node} to {cluster}")
        })
    }
}
