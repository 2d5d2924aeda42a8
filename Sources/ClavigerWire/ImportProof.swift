/// The proof of a secure import: that whoever sends a wrapped key holds the key itself, for this import and no other.
///
/// It is IV || ciphertext || tag of AES-GCM under the key that is being imported, over the nonce that the import token gave. What it
/// authenticates names the import token, the key to be made and the length of the material. So a wrapped key cannot be passed off
/// under another name, with another length or a second time.
public enum ImportProof {
    /// Begins what the proof authenticates, so that none can stand in for another use of the key.
    public static let label = "claviger/import/1"
    /// The length of a nonce in bytes, as in Key Protect.
    public static let nonceLength = Limits.nonceLength
    /// The length of the initialisation vector in bytes.
    public static let ivLength = 12
    /// The length of the tag in bytes.
    public static let tagLength = 16
    /// The length of a proof in bytes.
    public static let byteCount = ivLength + nonceLength + tagLength

    /// What the proof authenticates: label, a zero byte, import token id, key id, the material's length in bits (u32). All but the label
    /// have fixed lengths, so that no two imports give the same bytes.
    ///
    /// - Parameter key: the new key's id, or that of the key to be rotated.
    public static func associatedData(token: ImportTokenID, key: KeyID, bits: UInt32) -> [UInt8] {
        Array(label.utf8) + [0] + token.bytes + key.bytes + withUnsafeBytes(of: bits.bigEndian) { Array($0) }
    }

    /// The lengths that an AES key can have, in bits.
    public static let keyBits: [UInt32] = [128, 192, 256]
}
