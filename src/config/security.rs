//! How nodes know each other, by configuration: certificates, a secret, or not at all.

use std::path::PathBuf;

use serde::Serialize;

use super::raw::{ConfigError, Source, Sourced, key};
use super::resolve::Merge;
use crate::trust::TlsFiles;
use crate::trust::make::{CA_CERT, NODE_CERT, NODE_KEY};

/// What is configured of it. The files may still be unusable.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Security {
    /// TLS on both ports, and between nodes certificates on both sides.
    pub tls: Option<TlsFiles>,
    /// The cluster's secret. Not used where there is TLS.
    pub secret_file: Option<PathBuf>,
    /// Debuggers and core dumps may see the process's memory.
    pub core_dumps: bool,
}

impl Security {
    /// In a word, for the comparison of nodes.
    pub fn peer_trust(&self) -> &'static str {
        match (&self.tls, &self.secret_file) {
            (Some(_), _) => "tls",
            (None, Some(_)) => "secret",
            (None, None) => "open",
        }
    }
}

impl Merge<'_> {
    pub(super) fn security(&mut self, id: &str) -> Result<Security, ConfigError> {
        let tls = self.tls(id)?;
        let secret_file = self.path(key::SECRET_FILE, id)?.map(|file| file.value);
        let core_dumps =
            self.parsed(key::CORE_DUMPS, false, bool::to_string, super::resolve::yes_or_no)?;
        Ok(Security { tls, secret_file, core_dumps: core_dumps.value })
    }

    fn tls(&mut self, id: &str) -> Result<Option<TlsFiles>, ConfigError> {
        let dir = self.path(key::TLS_DIR, id)?;
        let ca = self.path_in(key::TLS_CA, id, dir.as_ref(), CA_CERT)?;
        let cert = self.path_in(key::TLS_CERT, id, dir.as_ref(), NODE_CERT)?;
        let key = self.path_in(key::TLS_KEY, id, dir.as_ref(), NODE_KEY)?;
        let client_cert = self.path(key::TLS_CLIENT_CERT, id)?;
        let client_key = self.path(key::TLS_CLIENT_KEY, id)?;
        let given = [&ca, &cert, &key, &client_cert, &client_key].into_iter().flatten().next();
        let Some(at) = given.map(|given| given.source.clone()) else { return Ok(None) };
        let missing = |name: &str| {
            let cause = format!(
                "{name} is missing: TLS takes tls.ca, tls.cert and tls.key, or tls.dir with all three"
            );
            ConfigError::Value { at: at.clone(), field: "tls".to_owned(), cause }
        };
        let client = match (client_cert, client_key) {
            (None, None) => None,
            (Some(cert), Some(key)) => Some((cert.value, key.value)),
            (Some(_), None) => return Err(missing(key::TLS_CLIENT_KEY)),
            (None, Some(_)) => return Err(missing(key::TLS_CLIENT_CERT)),
        };
        Ok(Some(TlsFiles {
            ca: ca.ok_or_else(|| missing(key::TLS_CA))?.value,
            cert: cert.ok_or_else(|| missing(key::TLS_CERT))?.value,
            key: key.ok_or_else(|| missing(key::TLS_KEY))?.value,
            client,
        }))
    }

    /// A file that may be left unset; `{id}` stands for the node's name.
    fn path(
        &mut self,
        key: &'static str,
        id: &str,
    ) -> Result<Option<Sourced<PathBuf>>, ConfigError> {
        if self.given(key).is_none() {
            self.show(key, "", &Source::Default);
            return Ok(None);
        }
        let path = self.text(key, "", |text| match text {
            "" => Err("must name a file".to_owned()),
            text => Ok(PathBuf::from(text.replace("{id}", id))),
        })?;
        Ok(Some(path))
    }

    /// The same, in the folder `dir` where it is left unset.
    fn path_in(
        &mut self,
        key: &'static str,
        id: &str,
        dir: Option<&Sourced<PathBuf>>,
        name: &str,
    ) -> Result<Option<Sourced<PathBuf>>, ConfigError> {
        let given = self.path(key, id)?;
        Ok(given.or_else(|| {
            let dir = dir?;
            Some(Sourced { value: dir.value.join(name), source: dir.source.clone() })
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::raw::Partial;
    use super::super::resolve::{Layers, resolve};
    use super::*;

    fn resolved(settings: &[(&str, &str)]) -> Result<Security, String> {
        let mut flags = Partial::default();
        for (key, value) in settings {
            flags.assignment(&format!("{key}={value}")).unwrap();
        }
        let resolved = resolve(&Layers { flags, ..Layers::default() });
        resolved.map(|resolved| resolved.config.security).map_err(|error| error.to_string())
    }

    #[test]
    fn a_folder_names_three_files_and_each_can_be_named_alone() {
        assert_eq!(resolved(&[]), Ok(Security::default()));
        let tls =
            resolved(&[("tls.dir", "/etc/{id}"), ("tls.ca", "/ca.pem")]).unwrap().tls.unwrap();
        assert_eq!(tls.ca, PathBuf::from("/ca.pem"));
        assert_eq!(tls.cert, PathBuf::from("/etc/n1/node.pem"));
        assert_eq!((tls.key, tls.client), (PathBuf::from("/etc/n1/node.key"), None));
        let words = |settings: &[(&str, &str)]| resolved(settings).unwrap().peer_trust();
        assert_eq!(words(&[("tls.dir", "x"), ("secret_file", "y")]), "tls");
        assert_eq!(words(&[("secret_file", "y")]), "secret");
        assert_eq!(words(&[]), "open");
    }

    #[test]
    fn half_of_it_is_refused() {
        for (settings, missing) in [
            (&[("tls.ca", "a")][..], "tls.cert is missing"),
            (&[("tls.ca", "a"), ("tls.cert", "b")], "tls.key is missing"),
            (&[("tls.key", "a")], "tls.ca is missing"),
            (&[("tls.dir", "a"), ("tls.client_cert", "b")], "tls.client_key is missing"),
        ] {
            let error = resolved(settings).unwrap_err();
            assert!(error.contains(missing) && error.starts_with("--set: tls:"), "{error}");
        }
    }
}
