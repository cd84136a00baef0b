//! Contents of files, and the error messages for them.

use super::*;
use std::fs;
use std::os::unix::fs::symlink;
use tempfile::TempDir;

fn identity() -> (String, String, Vec<u8>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let wanted = rcgen::CertificateParams::new(vec!["mq.example".into()]).unwrap();
    let certificate = wanted.self_signed(&key).unwrap();
    (
        certificate.pem(),
        key.serialize_pem(),
        certificate.der().to_vec(),
    )
}

fn problem(key: &str, folder: &TempDir, content: &[u8]) -> Option<String> {
    let path = folder.path().join("file");
    fs::write(&path, content).unwrap();
    let fault = match key {
        KEY_FILE => private_key(&path).err(),
        _ => certificates(key, &path).err(),
    };
    fault.map(|fault| fault.problem.0)
}

fn labelled(label: &str) -> Vec<u8> {
    format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n").into_bytes()
}

#[test]
fn a_bad_file_is_explained_by_its_content() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key, der) = identity();
    let both = format!("{key}{certificate}");
    let legacy = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    let pkcs12 = [&[0x30, 0x82, 0, 4][..], &[2, 1, 3, 0]].concat();
    for (name, content, words) in [
        (CERT_FILE, certificate.as_bytes(), None),
        (CERT_FILE, both.as_bytes(), None),
        (CERT_FILE, b"", Some("is empty; check")),
        (CERT_FILE, b"hello", Some("no certificate in it; check")),
        (
            CERT_FILE,
            key.as_bytes(),
            Some("but a private key; are broker.tls.cert_file and broker.tls.key_file swapped?"),
        ),
        (
            CA_FILE,
            key.as_bytes(),
            Some("but a private key; name the authority's certificate"),
        ),
        (
            CERT_FILE,
            &der,
            Some("it is DER, not PEM; convert it (openssl x509 -inform der"),
        ),
        (
            CERT_FILE,
            &pkcs12,
            Some("it is PKCS#12, not PEM; convert it (openssl pkcs12"),
        ),
        (
            CERT_FILE,
            &labelled("CERTIFICATE REQUEST"),
            Some("a request for one; have it signed"),
        ),
        (
            CERT_FILE,
            &labelled("TRUSTED CERTIFICATE"),
            Some("OpenSSL's own format"),
        ),
        (
            CERT_FILE,
            b"-----BEGIN CERTIFICATE-----\n~\n-----END CERTIFICATE-----\n",
            Some("not valid PEM"),
        ),
        (KEY_FILE, key.as_bytes(), None),
        (KEY_FILE, both.as_bytes(), None),
        (KEY_FILE, b"", Some("is empty; check")),
        (
            KEY_FILE,
            certificate.as_bytes(),
            Some("but a certificate; are broker.tls.cert_file"),
        ),
        (
            KEY_FILE,
            &labelled("ENCRYPTED PRIVATE KEY"),
            Some("encrypted with a passphrase; decrypt it"),
        ),
        (
            KEY_FILE,
            legacy.as_bytes(),
            Some("encrypted with a passphrase; decrypt it"),
        ),
        (
            KEY_FILE,
            &labelled("OPENSSH PRIVATE KEY"),
            Some("OpenSSH's own format; convert it"),
        ),
        (
            KEY_FILE,
            &labelled("DSA PRIVATE KEY"),
            Some("of a kind that is not supported; use RSA"),
        ),
        (KEY_FILE, &labelled("PUBLIC KEY"), Some("but a public one")),
        (
            KEY_FILE,
            &labelled("PRIVATE KEY"),
            Some("of a kind or size that is not supported; use RSA"),
        ),
        (
            KEY_FILE,
            &der,
            Some("it is DER, not PEM; convert it (openssl pkey"),
        ),
        (KEY_FILE, &pkcs12, Some("it is PKCS#12, not PEM")),
    ] {
        let text = problem(name, &folder, content);
        match (&text, words) {
            (None, None) => {}
            (Some(text), Some(words)) => {
                let path = folder.path().join("file");
                let begin = format!("{name}: cannot use {}: ", path.display());
                assert!(text.starts_with(&begin) && text.contains(words), "{text}");
            }
            _ => panic!("{words:?}: {text:?}"),
        }
    }
}

#[test]
fn bad_system_authorities_are_reported_with_the_variable() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("empty"), "").unwrap();
    symlink(path("loop"), path("loop")).unwrap();
    let load = |file: &str| rustls_native_certs::load_certs_from_paths(Some(&path(file)), None);
    let file = ("SSL_CERT_FILE".to_owned(), "/f".to_owned());
    let dir = ("SSL_CERT_DIR".to_owned(), "/d".to_owned());
    for (found, set, words) in [
        (
            load("missing"),
            vec![file.clone()],
            "where SSL_CERT_FILE=/f says: F/missing: no such file; correct or unset SSL_CERT_FILE",
        ),
        (
            load("missing"),
            vec![file.clone(), dir],
            "where SSL_CERT_FILE=/f SSL_CERT_DIR=/d says: ",
        ),
        (load("loop"), vec![file.clone()], "F/loop: Too many levels"),
        (
            load("empty"),
            vec![file.clone()],
            "there is no certificate in PEM; correct or unset SSL_CERT_FILE",
        ),
        (
            load("missing"),
            vec![],
            "in the system's files: F/missing: no such file; install ca-certificates",
        ),
    ] {
        let error = system_fault(&found, &set).unwrap();
        let text = error.message.replace(folder.path().to_str().unwrap(), "F");
        assert!(text.contains(words), "{text}");
        assert_eq!(error.kind, Kind::Local);
    }
    assert!(system_fault(&load("empty"), &[]).is_none());

    let mut short = CertificateResult::default();
    short.errors.push(rustls_native_certs::Error {
        context: "opening",
        kind: ErrorKind::Io {
            inner: io::Error::from(rustix::io::Errno::MFILE),
            path: "/f".into(),
        },
    });
    let error = system_fault(&short, &[file]).unwrap();
    assert_eq!(error.kind, Kind::Shortage);
    assert!(error.message.contains("LimitNOFILE="), "{error}");
}
