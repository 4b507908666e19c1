use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, DnValue, IsCa, KeyPair,
    date_time_ymd,
};
use rustls::crypto::ring;

use super::*;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn issue(by: &Authority, common_name: DnValue, names: &[&str]) -> CertificateDer<'static> {
    issue_until(2999, by, common_name, names)
}

fn issue_until(
    year: i32,
    by: &Authority,
    common_name: DnValue,
    names: &[&str],
) -> CertificateDer<'static> {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_after = date_time_ymd(year, 1, 1);
    params.signed_by(&KeyPair::generate().unwrap(), by).unwrap().der().clone()
}

fn utf8(text: &str) -> DnValue {
    DnValue::Utf8String(text.into())
}

/// What becomes of a certificate; `given` is `--tls-server-name`, without which the host is dialled.
fn judged(
    trust: Trust,
    der: &CertificateDer<'_>,
    given: Option<&str>,
) -> Result<(), rustls::Error> {
    let verifier = Verifier::new(trust, Arc::new(ring::default_provider()));
    let name = ServerName::try_from(given.unwrap_or("10.0.0.1")).unwrap();
    verifier.verify_server_cert(der, &[], &name, &[], UnixTime::now()).map(drop)
}

fn by_chain(
    authority: &Authority,
    der: &CertificateDer<'_>,
    given: Option<&str>,
) -> Result<(), rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let given_name = given.map(String::from);
    judged(Trust::Chain { roots, certificates: vec![], given_name }, der, given)
}

fn only_common_name(result: Result<(), rustls::Error>) -> Option<String> {
    match result {
        Err(rustls::Error::InvalidCertificate(CertificateError::Other(other))) => {
            other.0.downcast_ref::<CommonNameOnly>().map(|CommonNameOnly(name)| name.clone())
        }
        _ => None,
    }
}

#[test]
fn a_common_name_counts_only_if_it_is_given_and_alone() {
    let authority = authority();
    let printable = DnValue::PrintableString("etcd".try_into().unwrap());
    let teletex = DnValue::TeletexString("etcd".try_into().unwrap());
    for common_name in [utf8("etcd"), printable, teletex] {
        let der = issue(&authority, common_name, &[]);
        assert_eq!(by_chain(&authority, &der, Some("etcd")), Ok(()));
        for given in [None, Some("etcd2"), Some("ETCD"), Some("10.0.0.1")] {
            let refused = only_common_name(by_chain(&authority, &der, given));
            assert_eq!(refused.as_deref(), Some("etcd"), "{given:?}");
        }
    }
    // The host is no name that anybody has given.
    let der = issue(&authority, utf8("10.0.0.1"), &[]);
    assert!(by_chain(&authority, &der, None).is_err());
}

#[test]
fn a_common_name_counts_for_nothing_beside_others() {
    let authority = authority();
    for names in [&["other"][..], &["10.0.0.9"], &["10.0.0.1", "other"]] {
        let der = issue(&authority, utf8("etcd"), names);
        let refused = by_chain(&authority, &der, Some("etcd"));
        assert!(refused.is_err() && only_common_name(refused).is_none(), "{names:?}");
    }
    let der = issue(&authority, utf8("etcd"), &["10.0.0.1", "other"]);
    assert_eq!(by_chain(&authority, &der, None), Ok(()));
    assert_eq!(by_chain(&authority, &der, Some("other")), Ok(()));
}

#[test]
fn a_common_name_makes_up_for_nothing_else() {
    let (ours, theirs) = (authority(), authority());
    let foreign = issue(&theirs, utf8("etcd"), &[]);
    let expired = issue_until(2001, &ours, utf8("etcd"), &[]);
    for der in [foreign, expired] {
        let refused = by_chain(&ours, &der, Some("etcd"));
        assert!(refused.is_err() && only_common_name(refused).is_none());
    }
}

#[test]
fn a_pin_is_of_one_certificate_and_makes_up_for_all_else() {
    let authority = authority();
    let der = issue_until(2001, &authority, utf8("etcd"), &["other"]);
    let pin: [u8; 32] = Sha256::digest(&der).into();
    let pinned = |pins: &[[u8; 32]]| judged(Trust::Pinned(pins.to_vec()), &der, None);
    assert_eq!(pinned(&[[0; 32], pin]), Ok(()));
    let refused = pinned(&[[0; 32]]).unwrap_err();
    assert!(refused.to_string().contains(&hex(&pin)), "{refused}");
    assert!(pinned(&[]).is_err());
}

#[test]
fn a_self_signed_certificate_stands_for_itself_by_name_and_date_only_if_it_is_named() {
    let own = |year, names: &[&str]| {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_after = date_time_ymd(year, 1, 1);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    };
    let believed = |named: &CertificateDer<'static>, shown: &CertificateDer<'static>| {
        let mut roots = RootCertStore::empty();
        roots.add(named.clone()).unwrap();
        let certificates = vec![named.clone()];
        judged(Trust::Chain { roots, certificates, given_name: None }, shown, None)
    };
    let named = own(2999, &["10.0.0.1"]);
    believed(&named, &named).unwrap();
    assert!(believed(&named, &own(2999, &["10.0.0.1"])).is_err());
    let old = own(2000, &["10.0.0.1"]);
    assert!(believed(&old, &old).unwrap_err().to_string().contains("Expired"));
    let other = own(2999, &["10.0.0.2"]);
    assert!(believed(&other, &other).is_err());
}
