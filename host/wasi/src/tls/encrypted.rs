//! Private keys that take a password: PKCS #8's `EncryptedPrivateKeyInfo` (RFC 5958 section 3), as `openssl`
//! has written it since version 1.1, in 2016.
//!
//! That is PBES2 (RFC 8018 section 6.2): PBKDF2 makes a key of the password, and AES in CBC mode encrypts. Older
//! formats, with DES or MD5, are not secure any more, and others are rare. `openssl` converts all of them to
//! this one.

use super::der::{self, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE};
use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockDecryptMut, KeyIvInit};
use aes::{Aes128, Aes192, Aes256};
use cbc::Decryptor;
use ring::pbkdf2;
use std::fmt;
use std::num::NonZeroU32;

/// The most rounds that PBKDF2 may take: ten million, some ten times what is recommended today and seconds of
/// computing. A file names the number, and the largest would take hours.
pub(super) const MAX_ROUNDS: u32 = 10_000_000;

/// Why a key can't be decrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// It is encrypted in another way, or broken.
    Unknown,
    /// It takes more than [`MAX_ROUNDS`].
    TooManyRounds,
    /// What comes out is no key.
    WrongPassword,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Unknown => f.write_str(
                "the key's encryption is not supported: `openssl pkcs8 -topk8 -in FILE -out NEW` encrypts it in a supported way",
            ),
            Problem::TooManyRounds => write!(
                f,
                "the key's encryption needs more than {MAX_ROUNDS} rounds of PBKDF2: `openssl pkcs8 -topk8 -in FILE \
                 -out NEW` encrypts the key with fewer"
            ),
            Problem::WrongPassword => f.write_str("the password does not decrypt the key"),
        }
    }
}

/// What a file says of how its key is encrypted.
struct Scheme<'a> {
    salt: &'a [u8],
    rounds: NonZeroU32,
    hash: pbkdf2::Algorithm,
    cipher: Cipher,
    iv: &'a [u8],
}

#[derive(Clone, Copy)]
enum Cipher {
    Aes128,
    Aes192,
    Aes256,
}

const PBES2: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0d";
const PBKDF2: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0c";
const HMAC_SHA1: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x02\x07";
const HMAC_SHA256: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x02\x09";
const HMAC_SHA384: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x02\x0a";
const HMAC_SHA512: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x02\x0b";
const AES128_CBC: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x01\x02";
const AES192_CBC: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x01\x16";
const AES256_CBC: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x01\x2a";

/// The `PrivateKeyInfo` in an `EncryptedPrivateKeyInfo`.
pub(super) fn decrypt(info: &[u8], password: &[u8]) -> Result<Vec<u8>, Problem> {
    let (scheme, data) = read(info)?;
    let derive = |key: &mut [u8]| {
        pbkdf2::derive(scheme.hash, scheme.rounds, scheme.salt, password, key);
    };
    let decrypted = match scheme.cipher {
        Cipher::Aes128 => {
            let mut key = [0; 16];
            derive(&mut key);
            decrypted::<Decryptor<Aes128>>(&key, scheme.iv, data)
        }
        Cipher::Aes192 => {
            let mut key = [0; 24];
            derive(&mut key);
            decrypted::<Decryptor<Aes192>>(&key, scheme.iv, data)
        }
        Cipher::Aes256 => {
            let mut key = [0; 32];
            derive(&mut key);
            decrypted::<Decryptor<Aes256>>(&key, scheme.iv, data)
        }
    };
    // One wrong password in 256 leaves padding that looks right, and what is before it is nonsense.
    decrypted
        .filter(|key| {
            der::first(key).is_some_and(|(it, rest)| it.tag == SEQUENCE && rest.is_empty())
        })
        .ok_or(Problem::WrongPassword)
}

fn decrypted<D: KeyIvInit + BlockDecryptMut>(
    key: &[u8],
    iv: &[u8],
    data: &[u8],
) -> Option<Vec<u8>> {
    let decryptor = D::new_from_slices(key, iv).ok()?;
    decryptor.decrypt_padded_vec_mut::<Pkcs7>(data).ok()
}

fn read(info: &[u8]) -> Result<(Scheme<'_>, &[u8]), Problem> {
    let fields = |bytes| {
        let sequence = der::expect(bytes, SEQUENCE)?;
        Some(der::elements(sequence.content))
    };
    // An algorithm's name, and the element that says more of it.
    let algorithm = |bytes| {
        let mut fields = fields(bytes)?;
        let name = fields.next().filter(|it| it.tag == OBJECT_IDENTIFIER)?;
        Some((name.content, fields.next()))
    };
    let string = |it: der::Element<'_>| it.tag == OCTET_STRING;
    let found = || {
        let mut info = fields(info)?;
        let (name, parameters) = algorithm(info.next()?.whole)?;
        let data = info.next().filter(|it| string(*it))?.content;
        let mut parameters = fields(parameters.filter(|_| name == PBES2)?.whole)?;
        let (derivation, derivation_parameters) = algorithm(parameters.next()?.whole)?;
        let (cipher, iv) = algorithm(parameters.next()?.whole)?;
        let derivation = fields(
            derivation_parameters
                .filter(|_| derivation == PBKDF2)?
                .whole,
        )?;
        let iv = iv.filter(|iv| string(*iv))?.content;
        Some((derivation, cipher, iv, data))
    };
    let (mut derivation, cipher, iv, data) = found().ok_or(Problem::Unknown)?;
    let cipher = match cipher {
        AES128_CBC => Cipher::Aes128,
        AES192_CBC => Cipher::Aes192,
        AES256_CBC => Cipher::Aes256,
        _ => return Err(Problem::Unknown),
    };
    let salt = derivation.next().filter(|it| string(*it));
    let salt = salt.ok_or(Problem::Unknown)?.content;
    let rounds = derivation.next().and_then(der::number);
    let rounds = match rounds.ok_or(Problem::Unknown)? {
        rounds if rounds > u64::from(MAX_ROUNDS) => return Err(Problem::TooManyRounds),
        rounds => u32::try_from(rounds).ok().and_then(NonZeroU32::new),
    };
    // The key's length, which the cipher says as well, may stand before the hash.
    let hash = derivation.find(|it| it.tag == SEQUENCE);
    let hash = match hash.map(|it| algorithm(it.whole)) {
        None => HMAC_SHA1,
        Some(name) => name.ok_or(Problem::Unknown)?.0,
    };
    let hash = match hash {
        HMAC_SHA1 => pbkdf2::PBKDF2_HMAC_SHA1,
        HMAC_SHA256 => pbkdf2::PBKDF2_HMAC_SHA256,
        HMAC_SHA384 => pbkdf2::PBKDF2_HMAC_SHA384,
        HMAC_SHA512 => pbkdf2::PBKDF2_HMAC_SHA512,
        _ => return Err(Problem::Unknown),
    };
    let scheme = Scheme {
        salt,
        rounds: rounds.ok_or(Problem::Unknown)?,
        hash,
        cipher,
        iv,
    };
    Ok((scheme, data))
}

#[cfg(test)]
mod tests {
    use super::super::pem;
    use super::*;

    /// A key on Ed25519, made for these tests.
    const PLAIN: &str = "\
-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIDtJfl/fSoMmcDKBG37kqHXkuh4C8OeYapIoCXiC75/g
-----END PRIVATE KEY-----
";

    /// `openssl pkcs8 -topk8`, with the password `secret`.
    const AES_256: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAhBv/MPgRruhQICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEELmACecW2LfyhOtqG2CXNukEQE7u
Y73cT4EtqoFPR+5Ea/Bcx8s2wfQ5YK9LMMTPdQBdL2lI/3QLyP3aXV3zZbkZFtLN
Z6NXe/0nnc0bdVHdas8=
-----END ENCRYPTED PRIVATE KEY-----
";

    /// The same with `-v2 aes-128-cbc -v2prf hmacWithSHA1`.
    const AES_128_SHA_1: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIGNMEkGCSqGSIb3DQEFDTA8MBsGCSqGSIb3DQEFDDAOBAguKHrq07w0bAICCAAw
HQYJYIZIAWUDBAECBBCSL07XIKYXZyHzYKskJlkfBEBI3yM2/vivhVCXSczGGjON
aa3FCGxh+rmVBUZIVOxUSmWSYgt4X8lar3qG/4posED/N0wZgTXh/TyX/L+n013j
-----END ENCRYPTED PRIVATE KEY-----
";

    /// The same with `-v2 aes-192-cbc -v2prf hmacWithSHA512`.
    const AES_192_SHA_512: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAgAQsgui1YwEgICCAAw
DAYIKoZIhvcNAgsFADAdBglghkgBZQMEARYEEFOLfVJsM87fl7ROdf/xrmAEQN55
kg3ZwMCBgv9QJjHKm0GzEHmgjNgBDO8JgnAHSn5ztlv8yZpKnaUBk1CDkxEvUDlC
+lMod5RlOq2EYqair3U=
-----END ENCRYPTED PRIVATE KEY-----
";

    /// The same with `-v2 des3`.
    const TRIPLE_DES: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIGKME4GCSqGSIb3DQEFDTBBMCkGCSqGSIb3DQEFDDAcBAiLXrnWN/l68AICCAAw
DAYIKoZIhvcNAgkFADAUBggqhkiG9w0DBwQIxo0oTW5OP6kEON6e0GONi9g4KpUI
uCiaxoPopv3GafYYVBGdk7OpnyaZi85B9r/yi4aNHLjYJn8wjjdCRqC3Zk70
-----END ENCRYPTED PRIVATE KEY-----
";

    /// The same with `-scrypt`.
    const SCRYPT: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIGTME8GCSqGSIb3DQEFDTBCMCEGCSsGAQQB2kcECzAUBAgbOCtBrWnTfwICQAAC
AQgCAQEwHQYJYIZIAWUDBAEqBBDOm1kEk89pdWxlgUpKryEBBEC6fwfrO61jGaH8
iS/BJhEanmh5uJEzqReIiXNHN/QSkjqVfyP95u3SzyKmVZOu5m6bnPGLF/BkFj9g
ualGAUV9
-----END ENCRYPTED PRIVATE KEY-----
";

    fn read_pem(text: &str) -> Vec<u8> {
        let mut blocks = pem::blocks(text.as_bytes());
        blocks.next().unwrap().der.unwrap()
    }

    #[test]
    fn keys_that_openssl_has_encrypted_are_decrypted() {
        let plain = read_pem(PLAIN);
        for encrypted in [AES_256, AES_128_SHA_1, AES_192_SHA_512] {
            let encrypted = read_pem(encrypted);
            let found = decrypt(&encrypted, b"secret");
            // One has attributes that the other hasn't.
            assert_eq!(found.as_deref(), Ok(plain.as_slice()));
            assert_eq!(decrypt(&encrypted, b"wrong"), Err(Problem::WrongPassword));
            assert_eq!(decrypt(&encrypted, b""), Err(Problem::WrongPassword));
        }
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for other in [TRIPLE_DES, SCRYPT, PLAIN] {
            assert_eq!(decrypt(&read_pem(other), b"secret"), Err(Problem::Unknown));
        }
        let encrypted = read_pem(AES_256);
        for end in 0..encrypted.len() {
            let found = decrypt(&encrypted[..end], b"secret");
            assert_eq!(found, Err(Problem::Unknown), "{end}");
        }
    }

    #[test]
    fn a_file_cannot_make_it_compute_for_hours() {
        // 2048 rounds, and then 10,000,000 and one more.
        let encrypted = read_pem(AES_256);
        let rounds = b"\x02\x02\x08\x00";
        let at = encrypted.windows(4).position(|it| it == rounds).unwrap();
        for (rounds, expected) in [
            (MAX_ROUNDS, None),
            (MAX_ROUNDS + 1, Some(Problem::TooManyRounds)),
        ] {
            let digits = rounds.to_be_bytes();
            let mut changed = encrypted.clone();
            changed.splice(at..at + 4, [&[2, 4], &digits[..]].concat());
            // The sequences around it are two bytes longer, each.
            for position in around(&changed, at) {
                changed[position] += 2;
            }
            let found = read(&changed).err();
            assert_eq!(found, expected, "{rounds}");
        }
    }

    /// The positions of the lengths of all elements that the one at `at` is in; each has one byte, or two
    /// behind 0x81.
    fn around(bytes: &[u8], at: usize) -> Vec<usize> {
        let mut positions = Vec::new();
        let mut start = 0;
        while start < at {
            let (length_at, content) = match bytes[start + 1] {
                0x81 => (start + 2, start + 3),
                _ => (start + 1, start + 2),
            };
            let end = content + usize::from(bytes[length_at]);
            match bytes[start] {
                SEQUENCE if end > at => {
                    positions.push(length_at);
                    start = content;
                }
                _ => start = end,
            }
        }
        positions
    }
}
