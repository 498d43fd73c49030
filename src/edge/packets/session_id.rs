//! Session ids as clients see them: the pod and its own id of the session, encrypted and authenticated.
//!
//! Gap: a session's id in socketioxide is its `socket.id`, which clients tell each other, and whoever
//! knows it could poll as that client. It says nothing of the pod either. So clients get another id:
//! AES-256-GCM-SIV (RFC 8452) over both, under a key that all pods of the cluster derive from one secret.
//! Nobody else can make one, and one of another cluster does not open.

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, KeyType, Salt},
    hmac, rand,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use parking_lot::RwLock;
use socketioxide_core::Sid;

/// Bytes of a [`Sid`], as text.
const SID: usize = 16;
/// Bytes of the tag that authenticates.
const TAG: usize = 16;
/// Characters of a sealed id.
const SEALED: usize = (2 * SID + TAG).div_ceil(3) * 4;
/// Bytes of a secret that a pod makes up.
const SECRET: usize = 32;
/// Secrets that are remembered: ids that were sealed with them still open.
const KEPT: usize = 4;

/// Seals and opens the session ids of a cluster, and tells its pods from others.
pub struct Seal {
    /// The id of this pod.
    pod: Sid,
    /// The newest first, never empty.
    keys: RwLock<Vec<Key>>,
}

/// The pod that has a session, and the session's id there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SessionLocation {
    pub pod: Sid,
    pub sid: Sid,
}

/// What is derived from one secret.
struct Key {
    secret: String,
    ids: LessSafeKey,
    pods: hmac::Key,
    /// Apart from those: who asks a pod for a proof must not get a pass by it.
    proofs: hmac::Key,
}

impl Seal {
    /// That of a pod, with the secret of its cluster. Without one, a new secret is made.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub fn new(pod: Sid, secret: &str) -> Result<Self, aws_lc_rs::error::Unspecified> {
        let secret = if secret.is_empty() {
            let mut random = [0; SECRET];
            rand::fill(&mut random)?;
            BASE64_URL_SAFE_NO_PAD.encode(random)
        } else {
            secret.to_owned()
        };
        Ok(Self { pod, keys: RwLock::new(vec![Key::derive(secret)?]) })
    }

    /// The secret in use.
    pub fn secret(&self) -> String {
        self.keys.read().first().map(|key| key.secret.clone()).unwrap_or_default()
    }

    /// Uses another secret from now on. What was sealed with the one before still opens.
    pub fn adopt(&self, secret: &str) {
        if self.keys.read().first().is_some_and(|key| key.secret == secret) {
            return;
        }
        if let Ok(key) = Key::derive(secret.to_owned()) {
            let mut keys = self.keys.write();
            keys.insert(0, key);
            keys.truncate(KEPT);
        }
    }

    /// The id that a client gets for a session of this pod.
    pub(crate) fn seal(&self, sid: Sid) -> String {
        let mut id = [self.pod.as_str().as_bytes(), sid.as_str().as_bytes()].concat();
        if let Some(key) = self.keys.read().first() {
            // It fails for texts of many gigabytes only.
            let _ = key.ids.seal_in_place_append_tag(nonce(), Aad::empty(), &mut id);
        }
        BASE64_URL_SAFE_NO_PAD.encode(id)
    }

    /// Where the session of an id is, if a pod of this cluster sealed it.
    pub(crate) fn open(&self, sealed: &str) -> Option<SessionLocation> {
        if sealed.len() != SEALED {
            return None;
        }
        let id = BASE64_URL_SAFE_NO_PAD.decode(sealed).ok()?;
        self.keys.read().iter().find_map(|key| {
            let mut id = id.clone();
            let opened = key.ids.open_in_place(nonce(), Aad::empty(), &mut id).ok()?;
            let (pod, sid) = std::str::from_utf8(opened).ok()?.split_at_checked(SID)?;
            Some(SessionLocation { pod: pod.parse().ok()?, sid: sid.parse().ok()? })
        })
    }

    /// Whether a session is on this pod.
    pub(crate) fn is_here(&self, place: SessionLocation) -> bool {
        place.pod == self.pod
    }

    /// The id of this pod.
    pub(crate) fn pod(&self) -> Sid {
        self.pod
    }

    /// Shows to who asks with a nonce that this pod has this id, and is of the cluster.
    pub(crate) fn proof(&self, nonce: &str) -> String {
        let said = said(self.pod, nonce);
        let proof = self.keys.read().first().map(|key| hmac::sign(&key.proofs, said.as_bytes()));
        BASE64_URL_SAFE_NO_PAD.encode(proof.as_ref().map_or(&[][..], AsRef::as_ref))
    }

    /// Whether a pod of this cluster with this id answered so to a nonce.
    pub(crate) fn proves(&self, pod: Sid, nonce: &str, proof: &str) -> bool {
        let Ok(proof) = BASE64_URL_SAFE_NO_PAD.decode(proof) else { return false };
        let said = said(pod, nonce);
        let keys = self.keys.read();
        keys.iter().any(|key| hmac::verify(&key.proofs, said.as_bytes(), &proof).is_ok())
    }

    /// What this pod shows another one, to be taken for one of the cluster.
    pub(crate) fn pass_for(&self, pod: Sid) -> String {
        let pass =
            self.keys.read().first().map(|key| hmac::sign(&key.pods, pod.as_str().as_bytes()));
        BASE64_URL_SAFE_NO_PAD.encode(pass.as_ref().map_or(&[][..], AsRef::as_ref))
    }

    /// Whether it is a pod of this cluster that shows this.
    pub(crate) fn admits(&self, pass: &str) -> bool {
        let Ok(pass) = BASE64_URL_SAFE_NO_PAD.decode(pass) else { return false };
        let me = self.pod.as_str().as_bytes();
        // Compares in constant time.
        self.keys.read().iter().any(|key| hmac::verify(&key.pods, me, &pass).is_ok())
    }
}

impl Key {
    fn derive(secret: String) -> Result<Self, aws_lc_rs::error::Unspecified> {
        let source = Salt::new(HKDF_SHA256, b"roomcast").extract(secret.as_bytes());
        let derive = |purpose: &[u8]| {
            let mut key = [0; 32];
            source.expand(&[purpose], Length(key.len()))?.fill(&mut key)?;
            Ok::<_, aws_lc_rs::error::Unspecified>(key)
        };
        Ok(Self {
            ids: LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, &derive(b"session id")?)?),
            pods: hmac::Key::new(hmac::HMAC_SHA256, &derive(b"pod to pod")?),
            proofs: hmac::Key::new(hmac::HMAC_SHA256, &derive(b"pod identity")?),
            secret,
        })
    }
}

/// What a proof is of. An id has always the same length.
fn said(pod: Sid, nonce: &str) -> String {
    format!("{pod}{nonce}")
}

/// GCM-SIV with one nonce for all hides everything but that two texts are the same, and no two sessions are.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

/// Bytes that HKDF shall give.
struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const SECRET: &str = "a secret for the tests only, long enough";

    #[test]
    fn any_pod_with_the_secret_opens_it() {
        let (here, there) = (Sid::new(), Sid::new());
        let seals = [here, there].map(|pod| Seal::new(pod, SECRET).unwrap());
        let sid = Sid::new();
        let id = seals[0].seal(sid);
        assert_eq!(id.len(), SEALED);
        let place = SessionLocation { pod: here, sid };
        assert_eq!(seals[1].open(&id), Some(place));
        assert!(seals[0].is_here(place) && !seals[1].is_here(place));
        assert!(!id.contains(sid.as_str()), "it is not to be read");
    }

    #[test]
    fn what_was_forged_shortened_or_comes_from_elsewhere_does_not_open() {
        let seal = Seal::new(Sid::new(), SECRET).unwrap();
        let id = seal.seal(Sid::new());
        for at in 0..id.len() {
            let other = if &id[at..=at] == "A" { "B" } else { "A" };
            let forged = format!("{}{other}{}", &id[..at], &id[at + 1..]);
            assert_eq!(seal.open(&forged), None, "at {at}");
            assert_eq!(seal.open(&id[..at]), None, "up to {at}");
        }
        assert_eq!(seal.open(&format!("{id}A")), None);
        assert_eq!(seal.open(Sid::new().as_str()), None);
        assert_eq!(Seal::new(Sid::new(), "").unwrap().open(&id), None);
    }

    #[test]
    fn a_new_secret_does_not_end_old_sessions() {
        let pod = Sid::new();
        let seal = Seal::new(pod, "").unwrap();
        let (own, sid) = (seal.secret(), Sid::new());
        let before = seal.seal(sid);
        seal.adopt(SECRET);
        seal.adopt(SECRET);
        assert_ne!(seal.seal(sid), before);
        assert_eq!(seal.open(&before), Some(SessionLocation { pod, sid }));
        assert_eq!(seal.secret(), SECRET);
        assert_ne!(own, SECRET);
        assert_eq!(seal.keys.read().len(), 2);
    }

    #[test]
    fn pods_of_one_cluster_admit_each_other() {
        let (here, there) = (Sid::new(), Sid::new());
        let [a, b] = [here, there].map(|pod| Seal::new(pod, SECRET).unwrap());
        assert!(b.admits(&a.pass_for(there)));
        assert!(!b.admits(&a.pass_for(here)), "it is for one pod only");
        let stranger = Seal::new(here, "another secret for the tests, long enough").unwrap();
        assert!(!b.admits(&stranger.pass_for(there)));
        assert!(!b.admits("") && !b.admits("%"));
    }

    #[test]
    fn a_pod_proves_who_it_is_to_those_of_its_cluster() {
        let (here, there) = (Sid::new(), Sid::new());
        let [a, b] = [here, there].map(|pod| Seal::new(pod, SECRET).unwrap());
        let proof = b.proof("nonce");
        assert!(a.proves(there, "nonce", &proof));
        assert!(!a.proves(there, "another", &proof) && !a.proves(here, "nonce", &proof));
        assert!(!a.proves(there, "nonce", "") && !a.proves(there, "nonce", "%"));
        let stranger = Seal::new(there, "another secret for the tests, long enough").unwrap();
        assert!(!a.proves(there, "nonce", &stranger.proof("nonce")));
        assert!(!b.admits(&b.proof("")), "a proof is no pass");
    }
}
