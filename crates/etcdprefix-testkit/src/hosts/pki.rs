//! Certificates and keys as an ACK dedicated cluster or kubeadm has them on each master.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::accounts::write;
use super::{address, name};
use crate::certs::{Authority, Identity, Subject};
use crate::provisioned::network_tool;

/// What all masters of a cluster have in common.
pub struct Pki {
    /// Signs the certificates of etcd's members and clients.
    pub etcd: Authority,
    /// Signs the certificates of API servers and their clients.
    pub kubernetes: Authority,
    front_proxy: Authority,
    service_account: PathBuf,
}

/// A key of the kind that kubeadm makes, under way: it takes longer than all else.
pub struct ServiceAccount {
    file: PathBuf,
    child: Child,
}

impl ServiceAccount {
    pub fn generate(file: PathBuf) -> Result<Self> {
        let mut command = Command::new(network_tool("ssh-keygen")?);
        command.args(["-q", "-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "", "-f"]).arg(&file);
        command.stdin(Stdio::null());
        let child = command.spawn().context("cannot start ssh-keygen")?;
        Ok(Self { file, child })
    }

    fn ready(mut self) -> Result<PathBuf> {
        ensure!(self.child.wait()?.success(), "ssh-keygen makes no RSA key");
        Ok(self.file)
    }
}

impl Pki {
    pub fn new(service_account: ServiceAccount) -> Result<Self> {
        let (etcd, kubernetes) = (Authority::new()?, Authority::new()?);
        let service_account = service_account.ready()?;
        Ok(Self { etcd, kubernetes, front_proxy: Authority::new()?, service_account })
    }

    /// Puts a host's files into its folders.
    pub fn install(&self, folders: &Path, number: usize) -> Result<()> {
        self.shared(&folders.join("etc/kubernetes/pki"))?;
        self.own(folders, number)?;
        self.members(&folders.join("var/lib/etcd/cert"), number)?;
        let config = self.kubeconfig(&format!("https://{}:6443", address(number)))?;
        write(&folders.join("etc/kubernetes/admin.conf"), &config, 0o600)
    }

    /// What is the same on all masters.
    fn shared(&self, pki: &Path) -> Result<()> {
        for (name, authority) in [("ca", &self.kubernetes), ("front-proxy-ca", &self.front_proxy)] {
            write(&pki.join(format!("{name}.key")), &authority.key(), 0o600)?;
            fs::copy(authority.certificate(), pki.join(format!("{name}.crt")))?;
        }
        write(&pki.join("sa.key"), &fs::read_to_string(&self.service_account)?, 0o600)?;
        let mut public = Command::new(network_tool("ssh-keygen")?);
        let output =
            public.args(["-e", "-m", "PKCS8", "-f"]).arg(&self.service_account).output()?;
        ensure!(output.status.success(), "ssh-keygen: {}", String::from_utf8_lossy(&output.stderr));
        Ok(fs::write(pki.join("sa.pub"), output.stdout)?)
    }

    fn own(&self, folders: &Path, number: usize) -> Result<()> {
        let pki = folders.join("etc/kubernetes/pki");
        let names = [&address(number).to_string(), &name(number), "127.0.0.1", "kubernetes"];
        let server = Subject { names: &names, ..Subject::client("kube-apiserver") };
        place(
            &self.kubernetes.issue(server)?,
            &pki.join("apiserver.crt"),
            &pki.join("apiserver.key"),
        )?;
        let proxy = self.front_proxy.issue(Subject::client("front-proxy-client"))?;
        let file = |ending| pki.join(format!("front-proxy-client.{ending}"));
        place(&proxy, &file("crt"), &file("key"))?;
        let etcd = pki.join("etcd");
        fs::create_dir_all(&etcd)?;
        fs::copy(self.etcd.certificate(), etcd.join("ca.pem"))?;
        let client = self.etcd.issue(Subject::client("kube-apiserver-etcd-client"))?;
        place(&client, &etcd.join("etcd-client.pem"), &etcd.join("etcd-client-key.pem"))
    }

    fn members(&self, folder: &Path, number: usize) -> Result<()> {
        fs::create_dir_all(folder)?;
        fs::copy(self.etcd.certificate(), folder.join("ca.pem"))?;
        let names = [&address(number).to_string(), &name(number), "127.0.0.1", "localhost"];
        let server = Subject { names: &names, ..Subject::client("etcd") };
        let (certificate, key) = ("etcd-server.pem", "etcd-server-key.pem");
        place(&self.etcd.issue(server)?, &folder.join(certificate), &folder.join(key))
    }

    /// Of somebody who may everything, for the API server at this URL.
    pub fn kubeconfig(&self, server: &str) -> Result<String> {
        kubeconfig(&self.kubernetes, server)
    }
}

/// Of somebody with a certificate of the authority, for the API server at this URL.
pub fn kubeconfig(authority: &Authority, server: &str) -> Result<String> {
    let admin = authority.issue(Subject::client("kubernetes-admin"))?;
    let data = |path: &Path| anyhow::Ok(STANDARD.encode(fs::read(path)?));
    let (ca, certificate) = (data(authority.certificate())?, data(admin.certificate())?);
    let key = data(admin.key())?;
    Ok(format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- cluster:\n    certificate-authority-data: {ca}\n    \
         server: {server}\n  name: kubernetes\ncontexts:\n- context:\n    cluster: kubernetes\n    \
         user: kubernetes-admin\n  name: kubernetes-admin@kubernetes\n\
         current-context: kubernetes-admin@kubernetes\npreferences: {{}}\nusers:\n\
         - name: kubernetes-admin\n  user:\n    client-certificate-data: {certificate}\n    \
         client-key-data: {key}\n"
    ))
}

fn place(identity: &Identity, certificate: &Path, key: &Path) -> Result<()> {
    fs::copy(identity.certificate(), certificate)?;
    write(key, &fs::read_to_string(identity.key())?, 0o600)
}
