//! The keys that the bundle holds: which files they are in, and whether they belong together.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::apiserver::{ApiServer, on_host};
use super::der::{Pem, blocks};
use super::topic::Topic;
use super::{Check, encryption};
use crate::node::manifest::StaticPod;
use crate::protocol::KeyFiles;

/// Where kubeadm and ACK have them.
const FOLDER: &str = "/etc/kubernetes/pki";

const SERVICE_ACCOUNT: Topic = Topic::new(
    "service_account_keys",
    "the managed side must prove the tokens that pods have already, and sign new ones",
);
const FRONT_PROXY: Topic = Topic::new(
    "front_proxy_ca",
    "aggregated APIs such as metrics believe the API server by certificates of this authority",
);

const CLUSTER_CA: Topic = Topic::new(
    "cluster_ca",
    "--bundle-extra hands it out, so that the managed side's certificates are believed as before",
);
const CLUSTER_CA_ADVICE: &str = "the authority's certificate and key in PEM beside each other, as \
     kubeadm has them in /etc/kubernetes/pki (ca.crt, ca.key), on each master; or no --bundle-extra";

/// The files that every bundle holds, on the host, and those that it can't.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SigningKeys {
    /// Signs service account tokens.
    pub sakey: PathBuf,
    /// Proves them. With several, the one of the key that signs.
    pub sapub: PathBuf,
    /// Other public keys that prove tokens: the bundle has no place for them.
    pub more_sapubs: Vec<PathBuf>,
    /// The front proxy's authority.
    pub frontcrt: PathBuf,
    /// Its key.
    pub frontkey: PathBuf,
}

impl SigningKeys {
    /// As the flags of the static pods say, and else where they usually are. `root` stands for the
    /// host's root folder.
    fn find(pods: &[StaticPod], root: &Path) -> Self {
        let flagged = |component: &str, flag: &str| {
            let pod = pods.iter().find(|pod| pod.runs(component))?;
            let path = pod.flag(flag).filter(|path| !path.is_empty())?;
            Some(on_host(root, &pod.host_path(Path::new(path))))
        };
        let usual = |name: &str| on_host(root, &Path::new(FOLDER).join(name));
        // Before 1.20 an API server need not sign, so only the controller manager knows the key.
        let sakey = flagged("kube-apiserver", "service-account-signing-key-file")
            .or_else(|| flagged("kube-controller-manager", "service-account-private-key-file"))
            .unwrap_or_else(|| usual("sa.key"));
        let frontcrt = flagged("kube-apiserver", "requestheader-client-ca-file")
            .unwrap_or_else(|| usual("front-proxy-ca.crt"));
        let mut sapubs = public_keys(pods, root);
        let own = sapubs.iter().position(|file| is_pair(&sakey, file)).unwrap_or_default();
        let sapub = match sapubs.is_empty() {
            true => usual("sa.pub"),
            false => sapubs.remove(own),
        };
        let frontkey = frontcrt.with_extension("key");
        Self { sakey, sapub, more_sapubs: sapubs, frontcrt, frontkey }
    }
}

/// Those of `--service-account-key-file`, which may be given several times and may name private keys.
fn public_keys(pods: &[StaticPod], root: &Path) -> Vec<PathBuf> {
    let Some(pod) = pods.iter().find(|pod| pod.runs("kube-apiserver")) else { return Vec::new() };
    let flags = pod.containers.iter().flat_map(|it| it.flags("service-account-key-file"));
    let files = flags.map(|path| on_host(root, &pod.host_path(Path::new(path))));
    let is_private =
        |file: &PathBuf| read(file).is_ok_and(|all| all.iter().all(Pem::is_private_key));
    let mut files: Vec<PathBuf> = files.filter(|file| !is_private(file)).collect();
    let mut known = std::collections::BTreeSet::new();
    files.retain(|file| known.insert(file.clone()));
    files
}

fn is_pair(private: &Path, public: &Path) -> bool {
    pair(private, public, Pem::is_public_key).is_ok_and(|pair| pair.belongs == Some(true))
}

/// All files that a bundle may hold, on the host.
pub(super) fn files(server: &ApiServer<'_>, pods: &[StaticPod]) -> KeyFiles {
    let SigningKeys { sakey, sapub, frontcrt, frontkey, .. } = SigningKeys::find(pods, server.root);
    let file = |flag| server.flag(flag).map(|path| server.host_path(path));
    let usual = || on_host(server.root, &Path::new(FOLDER).join("ca.crt"));
    let cacrt = file("client-ca-file").unwrap_or_else(usual);
    let cakey = cacrt.with_extension("key");
    let encryption_config = encryption::file(server);
    KeyFiles { sakey, sapub, frontcrt, frontkey, cacrt, cakey, encryption_config }
}

/// Whether the cluster's own authority can go into the bundle; only asked where it is to.
pub(super) fn authority(files: &KeyFiles) -> Check {
    let (certificate, key) = (files.cacrt.display(), files.cakey.display());
    match pair(&files.cakey, &files.cacrt, Pem::is_certificate) {
        Ok(found) if found.belongs == Some(false) => {
            CLUSTER_CA.fail(format!("{certificate} and {key} are no pair"), CLUSTER_CA_ADVICE)
        }
        Ok(_) => CLUSTER_CA.ok(format!("{certificate}, {key}")),
        Err((file, why)) => {
            CLUSTER_CA.fail(format!("{}: {why}", file.display()), CLUSTER_CA_ADVICE)
        }
    }
}

/// What was found, and digests of the public parts to compare hosts by.
pub(super) fn checks(
    server: &ApiServer<'_>,
    pods: &[StaticPod],
) -> (Vec<Check>, BTreeMap<String, String>) {
    let files = SigningKeys::find(pods, server.root);
    let mut digests = BTreeMap::new();
    let sa = pair(&files.sakey, &files.sapub, Pem::is_public_key);
    let sa = match sa {
        Ok(found) => {
            digests.insert("sapub".to_owned(), found.digest.clone());
            service_account(&files, &found)
        }
        Err((file, why)) => {
            let advice = missing_advice(&files, &file);
            SERVICE_ACCOUNT.fail(format!("{}: {why}", file.display()), advice)
        }
    };
    let front = match pair(&files.frontkey, &files.frontcrt, Pem::is_certificate) {
        Ok(found) => {
            digests.insert("frontcrt".to_owned(), found.digest.clone());
            front_proxy(&files, &found)
        }
        Err((file, why)) => FRONT_PROXY.fail(
            format!("{}: {why}", file.display()),
            "the authority's certificate and key in PEM beside each other, as kubeadm has them in \
             /etc/kubernetes/pki (front-proxy-ca.crt, front-proxy-ca.key), on each master",
        ),
    };
    (vec![sa, front], digests)
}

fn missing_advice(files: &SigningKeys, missing: &Path) -> String {
    if missing == files.sapub && read(&files.sakey).is_ok() {
        let (key, public) = (files.sakey.display(), files.sapub.display());
        return format!("openssl pkey -in {key} -pubout -out {public}, on each master");
    }
    "the API server's signing key and its public key in PEM, as kubeadm has them in \
     /etc/kubernetes/pki (sa.key, sa.pub), on each master"
        .to_owned()
}

fn service_account(files: &SigningKeys, found: &Pair) -> Check {
    let told = format!("{}, {}", files.sakey.display(), files.sapub.display());
    if found.belongs == Some(false) {
        let found = format!("{told} are no pair");
        return SERVICE_ACCOUNT.fail(
            found,
            "the public key of the key that signs: openssl pkey -in KEY -pubout; and to see which \
             key the API servers use",
        );
    }
    let more = files.more_sapubs.len() + found.publics.saturating_sub(1);
    if more > 0 {
        return SERVICE_ACCOUNT.warn(
            format!("{told}, and {more} more public keys"),
            "to have all pods and secrets get tokens of the present key first: those of other keys \
             are refused after the move",
        );
    }
    SERVICE_ACCOUNT.ok(told)
}

fn front_proxy(files: &SigningKeys, found: &Pair) -> Check {
    let told = format!("{}, {}", files.frontcrt.display(), files.frontkey.display());
    match found.belongs {
        Some(false) => FRONT_PROXY.fail(
            format!("{told} are no pair"),
            "the key of the authority in --requestheader-client-ca-file, beside its certificate",
        ),
        _ => FRONT_PROXY.ok(told),
    }
}

/// A private key and what is public of it.
struct Pair {
    /// Whether they belong together, if that can be told.
    belongs: Option<bool>,
    /// How many public keys or certificates there are in the file.
    publics: usize,
    /// The SHA-256 of the public part, in hexadecimal.
    digest: String,
}

type Unusable = (PathBuf, String);

fn pair(private: &Path, public: &Path, is_public: fn(&Pem) -> bool) -> Result<Pair, Unusable> {
    let key = usable(private, Pem::is_private_key)?;
    let publics = usable(public, is_public)?;
    let (Some(key), Some(first)) = (key.first(), publics.first()) else {
        return Err((private.to_owned(), "it has no key".to_owned()));
    };
    let matches: Vec<_> = publics.iter().map(|public| key.belongs_to(public)).collect();
    let belongs = if matches.contains(&Some(true)) { Some(true) } else { key.belongs_to(first) };
    let digest = etcdprefix_core::format::trailer::hex(&Sha256::digest(&*first.der).into());
    Ok(Pair { belongs, publics: publics.len(), digest })
}

fn usable(file: &Path, is_kind: fn(&Pem) -> bool) -> Result<Vec<Pem>, Unusable> {
    let mut found = read(file).map_err(|why| (file.to_owned(), why))?;
    found.retain(is_kind);
    match found.is_empty() {
        true => Err((file.to_owned(), "it has no PEM of the kind that belongs there".to_owned())),
        false => Ok(found),
    }
}

fn read(file: &Path) -> Result<Vec<Pem>, String> {
    let text = fs::read(file).map_err(|error| format!("cannot read it: {error}"))?;
    let text = Zeroizing::new(text);
    match blocks(&String::from_utf8_lossy(&text)) {
        none if none.is_empty() => Err("it is no PEM".to_owned()),
        found => Ok(found),
    }
}
