use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};

use crate::{CertsError, Host, Role, files};

/// How many times longer than what it signs an authority is valid: replacing it means to touch every machine.
const TIMES_LONGER: u32 = 10;

/// Whoever signs certificates.
///
/// Properties:
/// - its name follows from its key, so the key alone is enough to sign again later;
/// - certificates of two authorities never look alike.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
}

pub(crate) fn certificate_file(folder: &Path) -> PathBuf {
    folder.join("authority.pem")
}

pub(crate) fn key_file(folder: &Path) -> PathBuf {
    folder.join("authority-key.pem")
}

impl Authority {
    /// The one in `folder`, or a new one, which is written there; says whether it is new.
    pub fn open_or_make(folder: &Path, from: SystemTime, days: u32) -> Result<(Self, bool), CertsError> {
        let (certificate, key) = (certificate_file(folder), key_file(folder));
        match (certificate.exists(), key.exists()) {
            (true, true) => {
                let pair = KeyPair::from_pem(&files::read(&key)?)?;
                Ok((Self { issuer: Issuer::new(named_by(&pair)?, pair) }, false))
            }
            (true, false) => Err(CertsError::HalfAnAuthority { there: certificate, missing: key }),
            (false, true) => Err(CertsError::HalfAnAuthority { there: key, missing: certificate }),
            (false, false) => {
                let pair = KeyPair::generate()?;
                let params = valid(named_by(&pair)?, from, days.saturating_mul(TIMES_LONGER))?;
                let pem = params.self_signed(&pair)?.pem();
                files::make_folder(folder)?;
                files::write_private(&key, &pair.serialize_pem())?;
                files::write_public(&certificate, &pem)?;
                Ok((Self { issuer: Issuer::new(params, pair) }, true))
            }
        }
    }

    /// A certificate and its key, in PEM.
    pub fn issue(
        &self,
        role: Role,
        host: &Host,
        from: SystemTime,
        days: u32,
    ) -> Result<(String, String), CertsError> {
        let own = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let mut names = vec![role.name().to_owned()];
        names.extend(host.names().iter().chain(&own).cloned());
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, format!("cutwater {role} on {host}"));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // Workers accept connections and make them.
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let pair = KeyPair::generate()?;
        let certificate = valid(params, from, days)?.signed_by(&pair, &self.issuer)?;
        Ok((certificate.pem(), pair.serialize_pem()))
    }
}

fn named_by(pair: &KeyPair) -> Result<CertificateParams, CertsError> {
    let mut params = CertificateParams::new(Vec::new())?;
    let digest = blake3::hash(pair.public_key_raw()).to_hex();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("cutwater authority {}", &digest[..16]));
    // It signs certificates of processes, and no other authorities.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn valid(
    mut params: CertificateParams,
    from: SystemTime,
    days: u32,
) -> Result<CertificateParams, CertsError> {
    let until =
        from.checked_add(Duration::from_secs(u64::from(days) * 86_400)).ok_or(CertsError::Days(days))?;
    // Beyond the year 9999 neither the calendar nor certificates go.
    let year_10000 = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_800);
    if until >= year_10000 {
        return Err(CertsError::Days(days));
    }
    params.not_before = from.into();
    params.not_after = until.into();
    Ok(params)
}
